//! Continuing a run from an `_optimiser.star`, RELION's or ours (spec 03 §5).

use super::output::OriginalSampling;
use super::settings::Settings;
use super::state::RunState;
use crate::dataset::{DatasetError, ParticleSet};
use crate::formats::mrc::MrcError;
use crate::formats::star::StarError;
use crate::geometry::sampling::Sampling;
use crate::model::Model;
use std::path::Path;

/// Why a run cannot be continued: which file, what is wrong with it, what to try.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// STAR syntax or content.
    #[error(transparent)]
    Star(#[from] StarError),
    /// A reference map.
    #[error(transparent)]
    Map(#[from] MrcError),
    /// The particle table.
    #[error(transparent)]
    Particles(#[from] DatasetError),
    /// Anything else, in words for the user.
    #[error("{0}")]
    Invalid(String),
}

/// A run as it stood when its optimiser file was written.
#[derive(Debug, Clone)]
pub struct Resumed {
    /// Options stored in the files; those that the files do not store have their defaults (spec 03 §5). Sampling options
    /// (`healpix_order`, `psi_step`, `offset_range`, `offset_step`) are None: the grid itself is in `sampling`.
    /// Then `Settings::apply_continue_options`, then [`Resumed::apply_settings`].
    pub settings: Settings,
    /// Counters and flags; `iteration` is the one to continue after.
    pub state: RunState,
    /// Particles with the poses of that iteration.
    pub particles: ParticleSet,
    /// One model, or those of half 1 and half 2, maps included.
    pub models: Vec<Model>,
    /// Sampling of that iteration.
    pub sampling: Sampling,
    /// See [`OriginalSampling`].
    pub original_sampling: OriginalSampling,
    /// Iteration whose number seeds the processing order.
    pub order_iteration: usize,
    /// True for our own files, which hold everything: the loop goes on as if it had never stopped (no +1 on the no-gain
    /// counter, no initialisation draw of the perturbation). False for RELION's: its restart rules hold (spec 03 §5).
    pub exact: bool,
    /// Output root of the files that were read.
    pub old_root: String,
    /// Messages for the user.
    pub notices: Vec<String>,
}

/// Read an optimiser file and everything that it names. Paths are taken relative to the current folder and, where nothing
/// is there, relative to the optimiser's own folder (with a notice).
pub fn read_optimiser(_path: &Path) -> Result<Resumed, ResumeError> {
    todo!()
}

impl Resumed {
    /// Carry options changed on the command line over into models, sampling and output root: T, padding, σ of local
    /// searches, grid (not in auto-refine; a new HEALPix order resets the direction priors), `_ctI` root rule.
    pub fn apply_settings(&mut self) -> Result<(), ResumeError> {
        todo!()
    }
}

/// Root of the output of a continued run: the given one, or `<old>_ctI` when none or the old one was given (spec 03 §1.6).
pub fn continuation_root(old: &str, given: Option<&str>, iteration: usize) -> String {
    match given {
        Some(root) if !root.is_empty() && root != old => root.to_string(),
        _ => format!("{old}_ct{iteration}"),
    }
}
