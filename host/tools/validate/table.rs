//! The table of checks: on the terminal, and in `PREFIX_validation.star`.

use super::{Check, ValidateError, Verdict};
use crate::errors::Code;
use crate::formats::star::{Document, Table};
use std::fmt;
use std::path::{Path, PathBuf};

/// Columns of reasons on the terminal.
const WIDTH: usize = 100;

const LABELS: [&str; 5] = [
    "gerelionCheckName",
    "gerelionCheckFigure",
    "gerelionCheckVerdict",
    "gerelionCheckReason",
    "gerelionCheckAdvice",
];

/// Returns the path of the table of a refinement.
pub fn table_path(prefix: &str) -> PathBuf {
    format!("{prefix}_validation.star").into()
}

/// Prints the checks, reasons and advice below each.
pub(super) fn print(f: &mut fmt::Formatter, checks: &[Check]) -> fmt::Result {
    let width = |of: fn(&Check) -> &str| {
        let lengths = checks.iter().map(|c| of(c).chars().count());
        lengths.max().unwrap_or(0)
    };
    let (name, figure) = (width(|c| &c.name), width(|c| &c.figure));
    for check in checks {
        writeln!(
            f,
            "{:7}  {:name$}  {:figure$}",
            check.verdict.word(),
            check.name,
            check.figure
        )?;
        for line in wrapped(&check.reason) {
            writeln!(f, "         {line}")?;
        }
        if !check.advice.is_empty() {
            for (i, line) in wrapped(&check.advice).iter().enumerate() {
                writeln!(f, "      {}  {line}", if i == 0 { "→" } else { " " })?;
            }
        }
    }
    let count = |verdict: Verdict| checks.iter().filter(|c| c.verdict == verdict).count();
    let words = Verdict::ALL.map(|v| format!("{} {}", count(v), v.word()));
    write!(f, "{}", words.join(", "))
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(word.into());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// Writes the table beside the files of the refinement.
pub(super) fn write(prefix: &str, checks: &[Check]) -> Result<(), ValidateError> {
    let mut table = Table::new_loop("validation", &LABELS);
    for check in checks {
        let texts = [
            &check.name,
            &check.figure,
            check.verdict.word(),
            &check.reason,
            &check.advice,
        ];
        table.push_row(texts.map(Into::into).to_vec());
    }
    let document = Document {
        header: vec![format!(
            "gerelion validate; version {}",
            env!("CARGO_PKG_VERSION")
        )],
        tables: vec![table],
    };
    document
        .write(&table_path(prefix))
        .map_err(|e| ValidateError::of(&e))
}

/// Reads the table that `gerelion validate` wrote.
///
/// # Errors
/// The file cannot be read, or is no such table.
pub fn read_table(path: &Path) -> Result<Vec<Check>, ValidateError> {
    let document = Document::read(path).map_err(|e| ValidateError::of(&e))?;
    let table = document
        .require("validation")
        .map_err(|e| ValidateError::of(&e))?;
    let text = |row: usize, label: usize| {
        let found = table.text(row, LABELS[label]);
        found.map(str::to_owned).map_err(|e| ValidateError::of(&e))
    };
    (0..table.len())
        .map(|row| {
            let word = text(row, 2)?;
            let verdict = Verdict::ALL.into_iter().find(|v| v.word() == word);
            Ok(Check {
                name: text(row, 0)?,
                figure: text(row, 1)?,
                verdict: verdict.ok_or_else(|| {
                    Code::STAR_VALUE.says(format!(
                        "{}: {word} is no verdict; run gerelion validate again",
                        path.display()
                    ))
                })?,
                reason: text(row, 3)?,
                advice: text(row, 4)?,
            })
        })
        .collect()
}
