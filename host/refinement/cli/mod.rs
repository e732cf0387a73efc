//! The program around the run: command line to exit status, signals, marker files, and what is printed.

pub mod console;
pub(crate) mod crash_mark;
pub(crate) mod exit_mark;
pub mod job_markers;
pub mod kernel_report;
pub mod launcher;
pub(crate) mod metadata_labels;
pub mod phase;
pub mod program;
pub mod progress_bar;
pub mod run_events;
pub(crate) mod signals;
pub mod stage_log;

pub use crash_mark::leave_on_crash;
pub use signals::{fail_beyond_file_size_limit, mark_failure_on_signal};
