//! GeRelion: Bayesian 3D classification and gold-standard auto-refinement of single-particle cryo-EM images.
//!
//! The module tree is the table of contents of the method; see `DESIGN.md` for the floors and
//! which module may use which.

#![warn(unreachable_pub)]

pub mod allocator;
pub mod comm;
pub mod dataset;
pub mod device;
pub mod errors;
pub mod expectation;
pub mod findings;
pub mod formats;
pub mod fourier;
pub mod geometry;
pub mod maximization;
pub mod model;
pub mod optics;
pub mod options;
pub mod refinement;
pub mod tools;
