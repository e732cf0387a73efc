//! MRC maps and stacks (spec 03 §2.2; MRC2014).
//!
//! Reading is lenient: both byte orders, modes 0, 1, 2, 6, 12 and 101, extended headers, wrong machine stamps and
//! wrong statistics, with a warning where something is odd. Writing is strict: what is written passes
//! `mrcfile.validate`.

mod element;
pub(super) mod header;
mod map;
mod stack_reader;
mod stack_writer;
mod statistics;

pub use map::{Map, write_map, write_map_labelled, write_map_of_doubles, write_stack};
pub(super) use map::{read_map_from, read_voxels};
pub use stack_reader::StackReader;
pub use stack_writer::{StackMode, StackWriter};

use crate::errors::{Code, Coded, Message};
use std::path::Path;

/// Error of an image file: which file, why, and what to try.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {message}")]
pub struct MrcError {
    /// Kind of trouble.
    pub code: Code,
    /// File concerned.
    pub path: String,
    /// Failed action, cause and remedy.
    pub message: String,
}

impl MrcError {
    pub(super) fn new(code: Code, path: &Path, message: impl Into<String>) -> Self {
        MrcError {
            code,
            path: path.display().to_string(),
            message: message.into(),
        }
    }

    /// Returns that the bytes of a file, which could be opened, could not be read.
    pub(super) fn of_reading(path: &Path, error: &std::io::Error) -> Self {
        Self::new(
            Code::of_reading(error),
            path,
            format!("reading failed: {error}; the file may be damaged: copy or compute it again"),
        )
    }

    pub(super) fn of(path: &Path, message: Message) -> Self {
        Self::new(message.code, path, message.text)
    }
}

impl Coded for MrcError {
    fn code(&self) -> Code {
        self.code
    }
}
