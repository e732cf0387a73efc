//! The page, section by section.

mod iterations;
mod maps;
mod orientations;
mod spectra;
mod summary;

use super::ReportError;
use super::findings;
use super::history::Run;
use super::html::{escaped, list};
use super::state::State;
use crate::tools::moment;
use std::time::SystemTime;

/// The whole page. With `refresh` a browser loads it again after so many seconds.
pub fn html(
    run: &Run,
    state: State,
    now: SystemTime,
    refresh: Option<u64>,
) -> Result<String, ReportError> {
    let refresh = refresh.map_or_else(String::new, |seconds| {
        format!("<meta http-equiv=\"refresh\" content=\"{seconds}\"/>\n")
    });
    let body = [
        summary::header(run, state, now),
        boxed("look", "Worth a look", &findings::of(run, state, now)),
        boxed("notes", "What this page lacks", &run.notes),
        iterations::sections(run),
        spectra::section(run),
        maps::section(run)?,
        orientations::section(run)?,
    ]
    .concat();
    Ok(format!(
        "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n{refresh}<title>{}</title>\n\
         <style>\n{}</style>\n</head>\n<body>\n{body}<footer>Written {} by gerelion {} from the files of the run; nothing else was \
         read.</footer>\n</body>\n</html>\n",
        escaped(&format!("{} – {}", run.prefix, state.word())),
        include_str!("style.css"),
        moment::minute(now),
        env!("CARGO_PKG_VERSION"),
    ))
}

/// A framed list under a heading; nothing for no items.
fn boxed(class: &str, title: &str, items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    format!(
        "<aside class=\"{class}\">\n<h2>{}</h2>\n{}</aside>\n",
        escaped(title),
        list(items)
    )
}
