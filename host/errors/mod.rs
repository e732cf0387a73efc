//! Codes of errors: everything that the programs can end with has one, printed with the message (`GR-0203: …`), explained by
//! `gerelion explain GR-0203` and on the page `docs/errors.md`.
//!
//! A code stands for a kind of trouble that a user would look up, and keeps its meaning for ever. All of them are in
//! [`table`](mod@table); error types say theirs by [`Coded`].
//!
//! ```
//! use gerelion::errors::{Code, Coded, Message, explanation};
//!
//! let error: Message = Code::NO_PARTICLES.says("p.star: the table is empty");
//! assert_eq!(error.line(), "GR-0301: p.star: the table is empty");
//! assert!(explanation("GR-0301").unwrap().contains("What to try"));
//! ```

mod entry;
mod failure;
pub mod listed;
mod message;
mod page;
mod panics;
mod shell;
mod table;
mod tell;
mod wrapping;

pub use entry::{Code, Entry};
pub use failure::{Failure, OnFailure};
pub use message::{Message, explain};
pub use page::{errors_page, explanation};
pub use panics::{Panicked, catch_panics};
pub use shell::shell_word;
pub use table::entries;
pub use tell::{end_open_line, line_is_open, show, tell};
pub(crate) use wrapping::wrapping_error;

/// An error that knows the code of its kind. Where it wraps another, the inner one's code counts: it is nearer to the cause.
pub trait Coded: std::error::Error {
    /// Returns the code that a user would look up. Implementations match every variant, so that a new one is given a code.
    fn code(&self) -> Code;
}
