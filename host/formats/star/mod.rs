//! STAR tables as RELION writes them (spec 03 §1.1–1.2).
//!
//! A STAR file is a sequence of `data_` blocks; each is either a list of label–value pairs or a `loop_` table.
//! Every cell is kept as text, so that columns this program does not know are written back unchanged; numbers
//! are formatted when they are stored ([`number`]) and parsed when they are asked for.
//!
//! ```
//! use gerelion::formats::star::Document;
//! let text = "data_\n\nloop_\n_rlnImageName #1\n_rlnDefocusU #2\n000001@a.mrcs 17515.6\n";
//! let document = Document::parse(text.as_bytes(), "example.star".as_ref()).unwrap();
//! assert_eq!(document.tables[0].real(0, "rlnDefocusU").unwrap(), 17515.6);
//! ```

pub(crate) mod columns;
mod document;
pub mod number;
mod reader;
mod table;
mod tokenizer;
mod value;
mod writer;

pub use document::Document;
pub use table::Table;
pub use value::Value;
pub use writer::{LoopWriter, VERSION, replace_file};

use crate::errors::{Code, Coded};

/// Stands for "none" in columns of numbers of RELION 1 to 3.0.
pub const PLACEHOLDER: f64 = -999.0;

/// Error of reading or writing a STAR file; the text names file, line and column.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {message}")]
pub struct StarError {
    /// Kind of trouble.
    pub code: Code,
    /// File concerned.
    pub path: String,
    /// Failed action, place, cause and remedy.
    pub message: String,
}

impl Coded for StarError {
    fn code(&self) -> Code {
        self.code
    }
}
