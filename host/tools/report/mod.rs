//! A page about a run, finished or going on, made from the files that it wrote: progress, curves, class averages, maps,
//! orientations.
//!
//! One HTML file holds everything (curves as SVG, images as PNG in `data:` URIs), so it can be mailed or served by
//! anything. Files are only read: the run does not notice, and may be one of RELION or of this program.

mod averages;
pub(crate) mod chart;
mod directions;
pub(crate) mod files;
mod film;
mod findings;
pub(crate) mod history;
pub(crate) mod html;
mod image;
mod job;
mod latest;
mod maps;
mod mollweide;
pub(crate) mod pace;
mod page;
mod particles;
pub(crate) mod state;
mod surface;
pub(crate) mod tables;
mod ticks;
mod watch;

pub use watch::watch;

use crate::errors::{Code, Coded, Message};
use crate::formats::mrc::MrcError;
use crate::formats::replace::{Content, check_kind};
use crate::formats::star::{StarError, replace_file};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Error of a report: on which file, why, what to try.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A table of the run, or the page.
    #[error(transparent)]
    Star(#[from] StarError),
    /// A map of the run.
    #[error(transparent)]
    Map(#[from] MrcError),
    /// An image of the page.
    #[error("an image of the page cannot be encoded: {0}")]
    Image(#[from] png::EncodingError),
    /// Anything else, in words for the user.
    #[error(transparent)]
    Invalid(#[from] Message),
}

impl Coded for ReportError {
    fn code(&self) -> Code {
        match self {
            Self::Star(error) => error.code(),
            Self::Map(error) => error.code(),
            Self::Image(_) => Code::INTERNAL,
            Self::Invalid(message) => message.code,
        }
    }
}

/// Files that were written.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The page.
    pub page: PathBuf,
    /// Iterations on it; the final set counts as one.
    pub iterations: usize,
    /// Nothing more is to come from this run.
    pub ended: bool,
}

/// Options of a report.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// Output root of the run (its `--o`).
    pub prefix: &'a str,
    /// Page to write; by default `PREFIX_report.html`.
    pub page: Option<&'a Path>,
    /// Mass of the molecule, kDa, which says at which contour its surface is drawn.
    pub mass: Option<f64>,
}

/// Write the page of a run.
///
/// With `refresh` (seconds) a browser loads the page again while the run goes on. The page is written to a temporary
/// name and renamed.
///
/// # Errors
/// There is no iteration at all; a file of an iteration before the latest, or of both last ones, cannot be read; the page cannot be written.
pub fn write(wanted: Wanted, refresh: Option<u64>) -> Result<Written, ReportError> {
    let Wanted { prefix, page, mass } = wanted;
    let now = SystemTime::now();
    let run = history::Run::read(prefix, mass)?;
    let state = state::State::of(&run.prefix, &run.sets);
    let path = page.map_or_else(
        || PathBuf::from(format!("{prefix}_report.html")),
        Path::to_path_buf,
    );
    let refresh = refresh.filter(|_| !state.has_ended());
    let text = page::html(&run, state, now, refresh)?;
    check_kind(&path, Content::Page)
        .map_err(|e| Message::unwritten("the page", &e).about(path.display()))?;
    replace_file(&path, Content::Page, |out| {
        std::io::Write::write_all(out, text.as_bytes())
    })?;
    Ok(Written {
        page: path,
        iterations: run.sets.len(),
        ended: state.has_ended(),
    })
}
