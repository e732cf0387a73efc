//! Warnings that a run prints when images and references do not belong together.

pub(crate) mod at_end;
pub(crate) mod contrast;
pub(crate) mod mismatch;
pub(crate) mod search_size;
