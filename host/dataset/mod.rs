//! Particles: optics and particle tables, scale groups, image stacks (spec 01 §3.1, 03 §1.3, §1.5).

pub mod images;
pub mod particles;

pub use images::ImageStore;
pub use particles::{CtfFields, OpticsGroup, Particle, ParticleSet, ReadOptions, ScaleGroup};

/// What went wrong with the data set: file, particle, why, what to try.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// STAR syntax or content.
    #[error(transparent)]
    Star(#[from] crate::formats::star::StarError),
    /// Image files.
    #[error(transparent)]
    Mrc(#[from] crate::formats::mrc::MrcError),
    /// Anything else, in words for the user.
    #[error("{0}")]
    Invalid(String),
}
