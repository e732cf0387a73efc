//! The refinement loop: job, iteration, schedule, output files.

pub mod settings;
pub mod state;
