//! A code and what is told about it.

use super::Message;
use std::fmt;
use std::io;

/// Number of a kind of trouble, written `GR-0203`. The table is the only place that makes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub(super) u16);

impl Code {
    /// The number in `GR-0203`.
    pub fn number(self) -> u16 {
        self.0
    }

    /// An error of this kind, in words for the user: what failed, on what, why, what to try.
    pub fn says(self, text: impl Into<String>) -> Message {
        Message {
            code: self,
            text: text.into(),
        }
    }

    /// A file that cannot be read for this reason: it is not there, it ends too early, or something else is the matter.
    pub fn of_reading(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Code::FILE_MISSING,
            io::ErrorKind::UnexpectedEof => Code::FILE_CUT_OFF,
            _ => Code::FILE_UNREADABLE,
        }
    }

    /// The code that a user wrote: `GR-0203`, or its number alone.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_uppercase();
        let number: u16 = text.strip_prefix("GR-").unwrap_or(&text).parse().ok()?;
        let mut all = super::entries().map(|entry| entry.code);
        all.find(|code| code.0 == number)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "GR-{:04}", self.0)
    }
}

/// Explanation of a code.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The code.
    pub code: Code,
    /// The trouble in a few words.
    pub title: &'static str,
    /// Meaning: lines of a doc comment, each with a blank before it.
    pub(super) meaning: &'static str,
    /// Usual causes.
    pub causes: &'static [&'static str],
    /// Remedies to try.
    pub remedies: &'static [&'static str],
}

impl Entry {
    /// Returns the meaning of the code.
    pub fn meaning(&self) -> &'static str {
        self.meaning.trim()
    }
}

/// The codes of a subject: a constant of [`Code`] for each, its doc comment being what the code means, and the list of
/// their entries.
macro_rules! entries {
    ($(
        $(#[doc = $meaning:literal])+
        $name:ident = $number:literal, $title:literal;
        causes: $($cause:literal),+;
        remedies: $($remedy:literal),+;
    )+) => {
        impl $crate::errors::Code {
            $( $(#[doc = $meaning])+ pub const $name: Self = Self($number); )+
        }
        pub(super) const ENTRIES: &[$crate::errors::Entry] = &[
            $( $crate::errors::Entry {
                code: $crate::errors::Code::$name,
                title: $title,
                meaning: concat!($($meaning),+),
                causes: &[$($cause),+],
                remedies: &[$($remedy),+],
            } ),+
        ];
    };
}
pub(super) use entries;
