//! Entry points of the device module. Each file is one stage; the arithmetic they share with the host lies beside this
//! folder. On the host they are the structs of their arguments, and what the emulator of `cuda_std` runs.

pub mod averages;
pub mod block;
pub mod coarse;
mod coarse_samples;
pub mod columns;
pub mod density_compensation;
pub mod fine;
#[cfg(not(target_arch = "nvptx64"))]
mod fine_launches;
#[cfg(test)]
mod fine_tests;
pub mod grouping;
pub mod groups;
pub mod half_turns;
pub mod halves;
mod image_share;
pub mod insert;
pub mod local;
pub mod local_resolution;
#[cfg(test)]
mod local_tests;
pub mod map;
pub mod offsets;
pub mod own_samples;
pub mod prepare;
pub mod product;
pub mod project;
pub mod scan;
pub mod shares;
pub mod significance;
pub mod solvent;
pub mod statistics;
pub mod store;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod test_data;
pub mod ties;
pub mod trials;
pub mod volume;
pub mod weights;
pub mod wide;
