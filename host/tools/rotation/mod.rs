//! Turning maps in Fourier space, searching all orientations for the one that fulfils a criterion best, and laying maps and images
//! onto each other.

pub mod align;
pub mod in_plane;
pub mod orientations;
pub mod search;
pub mod turner;
