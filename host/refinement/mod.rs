//! The refinement loop: job, iteration, schedule, output files.

pub mod console;
pub mod output;
pub mod progress;
pub mod resume;
pub mod changes;
pub mod schedule;
pub mod settings;
pub mod sizes;
pub mod state;
