//! Errors that stop a run.

use crate::errors::{Code, Coded, Message};

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
    Output(#[from] crate::refinement::checkpoint::OutputError),
    /// Reading the run to be continued.
    #[error(transparent)]
    Resume(#[from] crate::refinement::checkpoint::resume::ResumeError),
    /// Anything else, in words for the user.
    #[error(transparent)]
    Invalid(#[from] Message),
    /// A rank of the job failed, this one or another.
    #[error(transparent)]
    Rank(crate::comm::Fault),
    /// Another rank stopped; why is learnt when ranks agree.
    #[error("this rank stopped since another one did, whose message says why")]
    Stopped,
    /// The abort file of `--pipeline_control` appeared.
    #[error(
        "the job scheduler asked the run to stop (RELION_JOB_ABORT_NOW); go on from the last finished iteration with --continue"
    )]
    Aborted,
}

impl Coded for RunError {
    fn code(&self) -> Code {
        match self {
            Self::Dataset(error) => error.code(),
            Self::Star(error) => error.code(),
            Self::Mrc(error) => error.code(),
            Self::Symmetry(error) => error.code(),
            Self::Optics(error) => error.code(),
            Self::Expectation(error) => error.code(),
            Self::Maximization(error) => error.code(),
            Self::Output(error) => error.code(),
            Self::Resume(error) => error.code(),
            Self::Invalid(message) => message.code,
            Self::Rank(fault) => fault.code(),
            Self::Stopped => Code::OTHER_RANK,
            Self::Aborted => Code::ABORTED,
        }
    }
}
