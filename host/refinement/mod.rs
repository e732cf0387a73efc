//! The refinement loop: job, iteration, schedule, output files.

pub mod accuracy;
pub mod changes;
pub mod console;
pub mod continuation;
pub mod error;
pub mod expectation_step;
pub mod half_sets;
pub mod iteration;
pub mod job;
mod labels;
mod launcher;
pub mod maximization_step;
pub mod memory;
mod memory_plan;
pub mod noise;
pub mod output;
pub mod pipeline;
pub mod program;
pub mod progress;
pub mod references;
#[cfg(test)]
mod replay;
pub mod resume;
pub mod run;
pub mod schedule;
pub mod settings;
pub mod sizes;
pub mod solvent;
pub mod start_up;
pub mod state;
pub mod writer;
