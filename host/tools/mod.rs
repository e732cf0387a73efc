//! Tools around the refinement: simulated data, map and run comparisons, alignment with symmetry axes, subsets, machine check,
//! measurements, pages about runs.

pub mod align_symmetry;
pub mod compare;
pub mod density;
pub mod doctor;
pub mod fsc;
pub mod local_resolution;
pub mod local_symmetry;
pub mod mask_create;
pub mod measure;
pub mod moment;
pub mod postprocess;
pub mod progress;
pub mod reconstruct;
pub mod report;
pub mod rotation;
pub mod simulate;
pub mod subset;
pub mod subtract;
pub mod validate;
pub mod watch;
