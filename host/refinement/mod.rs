//! The refinement loop: from a command line to the files of the last iteration.

pub mod checkpoint;
pub mod cli;
pub mod error;
pub mod iteration;
pub mod job;
pub mod memory;
pub mod parallel;
pub mod run;
pub mod schedule;
pub mod settings;
pub mod start_up;
pub mod state;
pub mod steps;
pub(crate) mod warnings;
