//! Command-line options: one table from which the parser, the help text, `docs/options.md` and the refusal texts
//! are made (spec 03 §3, spec 01 §9).
//!
//! ```
//! use gerelion::options::CommandLine;
//!
//! let line = CommandLine::parse(["--i", "particles.star", "--K", "3"].map(String::from)).unwrap();
//! assert_eq!(line.integer("--K"), 3);
//! assert_eq!(line.real("--perturb"), 0.5); // default
//!
//! let error = CommandLine::parse(["--tau_fudge", "4"].map(String::from)).unwrap_err();
//! assert!(error.to_string().contains("did you mean --tau2_fudge?"));
//! ```

mod command_line;
mod entry;
mod error;
mod help;
pub mod output_root;
mod page;
mod range;
mod refused;
pub mod table;
mod values;

pub use command_line::{CommandLine, Request};
pub use entry::{Group, Kind, OnContinue, OptionEntry, Treatment};
pub use error::OptionsError;
pub use help::Help;
pub use page::options_page;
pub use range::Range;
pub use refused::refuse;
