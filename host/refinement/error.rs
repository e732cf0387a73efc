//! What can stop a run.

/// Why a run stopped before its end. The texts are for the user: what failed, on what, why, what to try.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Particle table or images.
    #[error(transparent)]
    Dataset(#[from] crate::dataset::DatasetError),
    /// STAR files other than the particle table.
    #[error(transparent)]
    Star(#[from] crate::formats::star::StarError),
    /// Maps.
    #[error(transparent)]
    Mrc(#[from] crate::formats::mrc::MrcError),
    /// Point group.
    #[error(transparent)]
    Symmetry(#[from] crate::geometry::symmetry::SymmetryError),
    /// CTF parameters.
    #[error(transparent)]
    Optics(#[from] crate::optics::OpticsError),
    /// Expectation step.
    #[error(transparent)]
    Expectation(#[from] crate::expectation::ExpectationError),
    /// Maximisation step.
    #[error(transparent)]
    Maximization(#[from] crate::maximization::MaximizationError),
    /// Writing files.
    #[error(transparent)]
    Output(#[from] super::output::OutputError),
    /// Reading the run to be continued.
    #[error(transparent)]
    Resume(#[from] super::resume::ResumeError),
    /// Anything else, in words for the user.
    #[error("{0}")]
    Invalid(String),
    /// The abort file of `--pipeline_control` appeared.
    #[error("the run was aborted on request")]
    Aborted,
}
