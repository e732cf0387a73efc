//! The steps of an iteration: references, expectation, and maximisation or the gradient step.

pub mod expectation;
pub mod external;
pub(crate) mod fourier_references;
pub(crate) mod gradient;
pub mod maximization;
pub mod rank_expectation;
