//! Orientations: Euler angles, HEALPix directions, point groups, sampling grids, priors, random numbers.

pub mod euler;
pub mod healpix;
pub mod prior;
pub mod random;
pub mod relaxation;
pub mod sampling;
pub mod symmetry;
pub mod views;

/// 3×3 matrix, rows first.
pub type Matrix3 = [[f64; 3]; 3];
