//! Output files under RELION's names, tables and columns (spec 03 §1.3–1.6).
//!
//! A set of files is written in an order that a kill cannot harm: an optimiser file of the same name left by an
//! earlier run is removed first, every file gets a temporary name and is renamed when complete, and the optimiser,
//! which names all the others, comes last. Whatever optimiser file exists therefore names files that are whole.

use super::settings::Settings;
use super::state::RunState;
use crate::dataset::{DatasetError, ParticleSet};
use crate::formats::mrc::MrcError;
use crate::formats::star::StarError;
use crate::geometry::sampling::Sampling;
use crate::model::Model;
use ndarray::Array3;
use std::path::PathBuf;

/// What went wrong while writing the files of an iteration.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// A STAR table.
    #[error("cannot write the output of iteration {iteration}: {source}")]
    Star {
        /// Iteration concerned.
        iteration: String,
        /// The cause.
        source: StarError,
    },
    /// A map.
    #[error("cannot write the output of iteration {iteration}: {source}")]
    Map {
        /// Iteration concerned.
        iteration: String,
        /// The cause.
        source: MrcError,
    },
    /// The particle table.
    #[error("cannot write the output of iteration {iteration}: {source}")]
    Particles {
        /// Iteration concerned.
        iteration: String,
        /// The cause.
        source: DatasetError,
    },
    /// A plain file.
    #[error(
        "cannot write {path}: {source}; check that the folder exists, is writable and has space left"
    )]
    Io {
        /// File concerned.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

/// The sampling at the start of the program run: what the `…Original` columns of `_sampling.star` hold and what the
/// change limits of spec 02 §5.3 and `--allow_coarser_sampling` refer to. On `--continue` of a RELION file it is the
/// sampling of that file (spec 03 §5); our own files bring back the one of the first run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OriginalSampling {
    /// HEALPix order.
    pub healpix_order: u32,
    /// Coarse psi step, degrees.
    pub psi_step: f64,
    /// Å.
    pub offset_range: f64,
    /// Coarse step, Å.
    pub offset_step: f64,
}

impl OriginalSampling {
    /// Take a sampling as the original one.
    pub fn of(sampling: &Sampling) -> Self {
        Self {
            healpix_order: sampling.healpix_order,
            psi_step: sampling.psi_step,
            offset_range: sampling.offset_range,
            offset_step: sampling.offset_step,
        }
    }
}

/// What the files of one iteration are made of.
pub struct IterationFiles<'a> {
    /// Options; `output_root` is the root of all names.
    pub settings: &'a Settings,
    /// State after the iteration; `iteration` gives the number in the names.
    pub state: &'a RunState,
    /// Particles; the three statistics columns are written when `iteration` > 0.
    pub particles: &'a ParticleSet,
    /// One model (classification), or those of half 1 and half 2.
    pub models: &'a [Model],
    /// Sampling of the iteration.
    pub sampling: &'a Sampling,
    /// Sampling at the start of the program run.
    pub original_sampling: OriginalSampling,
    /// Iteration whose number seeded the processing order of this run (1 in a fresh run; spec 03 §8).
    pub order_iteration: usize,
    /// Unregularised half maps (`--solvent_correct_fsc`), else empty.
    pub unfiltered: &'a [Array3<f64>],
}

/// Write the complete set of files of an iteration (0 = start-up); the optimiser last. Returns its path.
pub fn write_iteration(_files: &IterationFiles) -> Result<PathBuf, OutputError> {
    todo!()
}

/// What the files of a converged auto-refinement are made of.
pub struct FinalFiles<'a> {
    /// Options.
    pub settings: &'a Settings,
    /// State after the last iteration.
    pub state: &'a RunState,
    /// Particles.
    pub particles: &'a ParticleSet,
    /// Joined model.
    pub model: &'a Model,
    /// Sampling of the last iteration.
    pub sampling: &'a Sampling,
    /// Sampling at the start of the program run.
    pub original_sampling: OriginalSampling,
    /// See [`IterationFiles::order_iteration`].
    pub order_iteration: usize,
    /// Unregularised maps of half 1 and half 2.
    pub unfiltered: [&'a Array3<f64>; 2],
}

/// Write the files without iteration number that end an auto-refinement. Returns the optimiser's path.
pub fn write_final(_files: &FinalFiles) -> Result<PathBuf, OutputError> {
    todo!()
}
