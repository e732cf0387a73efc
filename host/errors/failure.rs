//! Why a tool ended: the error type of `gerelion`'s commands, into which every error turns that has a code, and no other.

use super::{Code, Coded, Message};
use std::fmt;

/// Why a tool ended. `?` makes it from any [`Coded`] error; others are given a code by [`OnFailure::or_says`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(pub Message);

impl<E: Coded> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(Message::of(&error))
    }
}

/// Gives errors of other libraries a code and says what failed.
pub trait OnFailure<T> {
    /// `what: the error`.
    ///
    /// # Errors
    /// The same as before, in these words and with this code.
    fn or_says(self, code: Code, what: impl fmt::Display) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> OnFailure<T> for Result<T, E> {
    fn or_says(self, code: Code, what: impl fmt::Display) -> Result<T, Failure> {
        self.map_err(|error| Failure(code.says(format!("{what}: {error}"))))
    }
}
