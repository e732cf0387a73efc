//! Turning maps in Fourier space, and searching all orientations for the one that fulfils a criterion best.

pub mod centre;
pub mod orientations;
pub mod search;
pub mod turner;
