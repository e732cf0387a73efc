//! `docs/options.md`, made from the option table.

use super::entry::{Group, Kind, OptionEntry, Treatment};
use super::table;
use std::fmt::Write;

/// The documentation page of all options (Markdown). `tests/tidy.rs` compares it with `docs/options.md`.
pub fn options_page() -> String {
    let count = |wanted: fn(&Treatment) -> bool| {
        table::all()
            .filter(|entry| wanted(&entry.treatment))
            .count()
    };
    let mut page = format!(
        "# Options of `relion_refine`\n\
         \n\
         This page is made from the option table in `host/options/table`; do not edit it. \
         After a change of the table run `UPDATE=1 cargo test --test tidy`.\n\
         \n\
         {} options work, {} are accepted without effect, {} are refused with the reason given here.\n\
         \n\
         Syntax is RELION's: an option's value is the next word, the last of repeated options wins (with a warning), flags stand anywhere. \
         Words that begin with a dash and are no options are errors, and the nearest name is suggested; \
         RELION only warns. A refused option that is given with its default value is accepted.\n\
         \n\
         The column *possible* gives the numbers that an option takes; another one is an error.\n\
         \n\
         The column *continue* tells what holds with `--continue`: empty, the value of the optimiser file; *start*, nothing, since it has an effect at the start of a run only; \
         *c*, the value given, or that of the optimiser file; *c (not auto)*, the same, but never in auto-refine; \
         *c (on only)*, the flag can be switched on, not off; \
         *c!*, always the command line, so repeat the option; *only*, it has no meaning without `--continue`.\n",
        count(|t| matches!(t, Treatment::Works)),
        count(|t| matches!(t, Treatment::WithoutEffect(_))),
        count(|t| matches!(t, Treatment::Refused(_))),
    );
    for group in Group::ALL {
        let _ = write!(
            page,
            "\n## {}\n\n| option | default | possible | continue | meaning | treatment |\n|---|---|---|---|---|---|\n",
            group.title()
        );
        for entry in table::all().filter(|entry| entry.group == group) {
            write_row(&mut page, entry);
        }
    }
    page
}

fn write_row(page: &mut String, entry: &OptionEntry) {
    let value = match entry.kind {
        Kind::Flag => String::new(),
        kind => format!(" {}", kind.placeholder()),
    };
    let default = match (entry.kind, entry.default, entry.unit) {
        (Kind::Flag, _, _) => "off".to_owned(),
        (_, "", _) => "–".to_owned(),
        (_, value, "") => value.to_owned(),
        (_, value, unit) => format!("{value} {unit}"),
    };
    let treatment = match entry.treatment {
        Treatment::Works => "works".to_owned(),
        Treatment::WithoutEffect(reason) => format!("no effect: {}", plain(reason)),
        Treatment::Refused(reason) => format!("**refused**: {}", plain(reason)),
    };
    let possible = match entry.treatment {
        Treatment::Works => entry.range.stated(),
        _ => String::new(),
    };
    let meaning = plain(entry.meaning);
    let _ = writeln!(
        page,
        "| `{}{value}` | {default} | {possible} | {} | {meaning} | {treatment} |",
        entry.name,
        entry.on_continue.mark(),
    );
}

/// Text in a cell of a table: without what Markdown would take for the end of the cell, or for markup.
fn plain(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}
