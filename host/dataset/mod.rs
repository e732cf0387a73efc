//! Particles: optics and particle tables, scale groups, image stacks (spec 01 §3.1, 03 §1.3, §1.5).

mod columns;
pub mod copies;
pub mod examine;
pub mod fingerprints;
mod groups;
pub mod images;
mod labels;
mod legacy;
mod located;
mod open_stacks;
mod optics;
pub mod particle_checks;
mod particle_columns;
pub mod particles;
mod pixels;
pub mod power;
mod read;
pub mod rejected;
pub mod scratch;
mod write;

pub use fingerprints::Fingerprint;
pub use images::ImageStore;
pub use labels::REAL_LABELS;
pub use particles::{CtfFields, OpticsGroup, Particle, ParticleSet, ReadOptions, ScaleGroup};
pub use pixels::Pixels;

use crate::errors::{Code, Coded, Message};

/// Error of a data set: file, particle, why, what to try.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// STAR syntax or content.
    #[error(transparent)]
    Star(#[from] crate::formats::star::StarError),
    /// Image files.
    #[error(transparent)]
    Mrc(#[from] crate::formats::mrc::MrcError),
    /// Anything else, in words for the user.
    #[error(transparent)]
    Invalid(#[from] Message),
}

impl DatasetError {
    /// An error about a STAR file's content.
    fn about(code: Code, path: &std::path::Path, message: impl std::fmt::Display) -> Self {
        code.says(format!("{}: {message}", path.display())).into()
    }
}

impl Coded for DatasetError {
    fn code(&self) -> Code {
        match self {
            Self::Star(error) => error.code(),
            Self::Mrc(error) => error.code(),
            Self::Invalid(message) => message.code,
        }
    }
}
