//! `docs/errors.md` and `gerelion explain`, made from the table of codes.

use super::{Code, Entry, entries, table};
use std::fmt::Write;

/// The documentation page of all codes (Markdown). `tests/tidy.rs` compares it with `docs/errors.md`.
pub fn errors_page() -> String {
    let mut page = format!(
        "# Errors of `relion_refine` and `gerelion`\n\
         \n\
         This page is made from the tables in `host/errors/table`; do not edit it. After a change of a table run \
         `UPDATE=1 cargo test --test tidy`.\n\
         \n\
         An error is printed after a line `ERROR:`, which log scanners look for, and begins with its code: what failed, on what, \
         why, and what to try. `gerelion explain GR-0203` prints what this page says about a code. \
         A code keeps its meaning in all later versions. There are {}.\n\
         \n\
         The exit status is 1 after an error, 2 after an abort on request ({}).\n",
        entries().count(),
        Code::ABORTED
    );
    for (subject, entries) in table::SUBJECTS {
        let _ = write!(page, "\n## {subject}\n");
        for entry in *entries {
            let _ = write!(page, "\n### {}", text(entry));
        }
    }
    page
}

/// Returns the table's text about a code as a user writes it (`GR-0203`, `203`); None: there is no such code.
pub fn explanation(code: &str) -> Option<String> {
    let code = Code::parse(code)?;
    entries().find(|entry| entry.code == code).map(text)
}

fn text(entry: &Entry) -> String {
    let list = |items: &[&str]| -> String { items.iter().map(|i| format!("* {i}\n")).collect() };
    format!(
        "{} {}\n\n{}\n\nUsual causes:\n\n{}\nWhat to try:\n\n{}",
        entry.code,
        entry.title,
        entry.meaning(),
        list(entry.causes),
        list(entry.remedies)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_however_they_are_written() {
        let entry = explanation("GR-0203").unwrap();
        assert!(entry.starts_with("GR-0203 "), "{entry}");
        for same in ["gr-0203", "0203", "203", " GR-203\n"] {
            assert_eq!(explanation(same).as_deref(), Some(&*entry), "{same}");
        }
        for none in ["", "GR-", "GR-0299", "stack", "-203"] {
            assert_eq!(explanation(none), None, "{none}");
        }
    }
}
