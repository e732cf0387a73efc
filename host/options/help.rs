//! The text of `--help`.

use super::entry::{Group, Kind, OptionEntry, Treatment};
use super::table;
use std::fmt::Write;

const NAME_WIDTH: usize = 34;
const LINE_WIDTH: usize = 100;

/// The usage text: every option with its default, unit, meaning and treatment.
pub fn usage() -> String {
    let mut text = String::from(
        "relion_refine: 3D classification and gold-standard auto-refinement of cryo-EM particles, with RELION's options and files.\n\
         \n\
         New run:    relion_refine --i particles.star --o Class3D/job001/run --ref map.mrc --K 3 --iter 25 --ctf …\n\
         Refinement: relion_refine --i particles.star --o Refine3D/job002/run --ref map.mrc --auto_refine --split_random_halves --ctf …\n\
         Continue:   relion_refine --continue Refine3D/job002/run_it010_optimiser.star\n\
         \n\
         Options marked with a star are accepted without effect; those marked with x are refused.\n",
    );
    for group in Group::ALL {
        let _ = writeln!(text, "\n====== {} ======", group.title());
        for entry in table::all().filter(|entry| entry.group == group) {
            write_entry(&mut text, entry);
        }
    }
    text
}

fn write_entry(text: &mut String, entry: &OptionEntry) {
    let mark = match entry.treatment {
        Treatment::Works => ' ',
        Treatment::WithoutEffect(_) => '*',
        Treatment::Refused(_) => 'x',
    };
    let mut head = format!("{mark} {}", entry.name);
    if entry.kind != Kind::Flag {
        let _ = write!(head, " {}", entry.kind.placeholder());
    }
    let mut body = String::from(entry.meaning);
    if !entry.default.is_empty() {
        let unit = if entry.unit.is_empty() { "" } else { " " };
        let _ = write!(body, " [{}{unit}{}]", entry.default, entry.unit);
    }
    match entry.treatment {
        Treatment::Works => {}
        Treatment::WithoutEffect(reason) => {
            let _ = write!(body, ". No effect: {reason}");
        }
        Treatment::Refused(reason) => {
            let _ = write!(body, ". Refused: {reason}");
        }
    }
    let lines = wrap(&body, LINE_WIDTH - NAME_WIDTH);
    for (number, line) in lines.iter().enumerate() {
        let left = if number == 0 { head.as_str() } else { "" };
        let _ = writeln!(text, "{left:<NAME_WIDTH$}{line}");
    }
}

/// Break at blanks into lines of at most `width` characters.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_has_a_line() {
        let text = usage();
        for entry in table::all() {
            assert!(
                text.lines().any(|line| line.get(2..).is_some_and(|rest| {
                    rest == entry.name || rest.starts_with(&format!("{} ", entry.name))
                })),
                "{} is missing",
                entry.name
            );
        }
    }

    #[test]
    fn lines_are_short_enough_to_read() {
        for line in usage().lines().skip(8) {
            assert!(line.chars().count() <= LINE_WIDTH + 8, "{line}");
        }
    }

    #[test]
    fn wrapping_loses_no_word() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("unbreakable", 3), ["unbreakable"]);
    }
}
