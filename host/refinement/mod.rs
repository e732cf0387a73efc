//! The refinement loop: job, iteration, schedule, output files.

pub mod console;
pub mod output;
pub mod progress;
pub mod resume;
pub mod settings;
pub mod state;
