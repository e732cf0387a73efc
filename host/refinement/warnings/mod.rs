//! Warnings that a run prints when images and references do not belong together.

pub(crate) mod contrast;
pub(crate) mod mismatch;
