//! Tools around the refinement: simulated data, map and run comparisons, subsets, machine check, measurements.

pub mod compare;
pub mod doctor;
pub mod fsc;
pub mod measure;
pub mod postprocess;
pub mod simulate;
pub mod subset;
