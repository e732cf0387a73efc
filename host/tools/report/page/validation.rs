//! Checks before deposition, where `gerelion validate` has left them.

use crate::errors::Message;
use crate::tools::report::ReportError;
use crate::tools::report::history::Run;
use crate::tools::report::html::{paragraph, section as titled, table};
use crate::tools::validate::{read_table, table_path};

/// Returns the section; nothing where the run was not validated.
pub(super) fn section(run: &Run) -> Result<String, ReportError> {
    let path = table_path(&run.prefix);
    if !path.is_file() {
        return Ok(String::new());
    }
    let checks = read_table(&path).map_err(|e| Message::of(&e))?;
    let made = std::fs::metadata(&path).and_then(|m| m.modified()).ok();
    let is_old = made
        .zip(run.last().written)
        .is_some_and(|(made, run)| made < run);
    let lead = match is_old {
        true => {
            "These checks are older than the latest files of the run: run gerelion validate again."
        }
        false => "What gerelion validate found in the files of the finished refinement.",
    };
    let heads = ["check", "verdict", "figure", "reason", "what to do"].map(str::to_owned);
    let rows: Vec<Vec<String>> = checks
        .into_iter()
        .map(|c| {
            vec![
                c.name,
                c.verdict.word().into(),
                c.figure,
                c.reason,
                c.advice,
            ]
        })
        .collect();
    let body = [paragraph(lead), table("validation", &heads, &rows)].concat();
    Ok(titled("Before deposition", &body))
}
