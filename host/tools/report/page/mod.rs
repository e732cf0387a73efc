//! The page, section by section.

mod averages;
mod film;
mod gradient;
mod iterations;
mod maps;
mod orientations;
mod spectra;
mod summary;
mod validation;

use super::ReportError;
use super::findings;
use super::history::Run;
use super::html::{escaped, list};
use super::state::State;
use super::tables::Model;
use crate::tools::moment;
use std::time::SystemTime;

/// Curves in a chart: more cannot be told apart.
const MOST_CURVES: usize = 8;

/// The whole page. With `refresh` a browser loads it again after so many seconds.
pub(super) fn html(
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
        validation::section(run)?,
        averages::section(run)?,
        iterations::sections(run),
        film::section(run)?,
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

/// Classes (from 0) that get a curve of their own: all, or the largest where there are many.
fn shown_classes(model: &Model) -> Vec<usize> {
    let count = model.classes.len();
    match count > MOST_CURVES {
        true => model.by_occupancy().into_iter().take(MOST_CURVES).collect(),
        false => (0..count).collect(),
    }
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
