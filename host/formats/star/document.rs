//! All tables of a file.

use super::{StarError, Table, reader, writer};
use crate::errors::listed::listed;
use crate::errors::{Code, Message};
use crate::formats::open::open_to_read;
use crate::formats::replace::Content;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// All tables of a file, in order.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// Comment lines (without `# `) at the top of the file, before the first table.
    pub header: Vec<String>,
    /// Tables in file order.
    pub tables: Vec<Table>,
}

impl Document {
    /// Read a file. Errors name file, line and column.
    pub fn read(path: &Path) -> Result<Self, StarError> {
        let error = |message: Message| StarError {
            code: message.code,
            path: path.display().to_string(),
            message: message.text,
        };
        let file = open_to_read(path, "the STAR file").map_err(error)?;
        Self::parse(BufReader::with_capacity(1 << 20, file), path)
    }
    /// Read from a stream; `path` is for messages and [`Document::path`].
    pub fn parse(input: impl BufRead, path: &Path) -> Result<Self, StarError> {
        reader::read(input, path)
    }
    /// First table with this name; the empty name means the first table of the file.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables
            .iter()
            .find(|t| name.is_empty() || t.name() == name)
    }
    /// Like [`Document::table`], an error naming the file and the tables it does hold otherwise.
    pub fn require(&self, name: &str) -> Result<&Table, StarError> {
        self.table(name).ok_or_else(|| {
            let held: Vec<String> = self
                .tables
                .iter()
                .map(|t| format!("data_{}", t.name()))
                .collect();
            StarError {
                code: Code::STAR_CONTENT,
                path: match self.path() {
                    Some(path) => path.display().to_string(),
                    None => "(STAR document in memory)".into(),
                },
                message: format!(
                    "there is no table data_{name}; is this the right file? It holds: {}",
                    listed(held.iter().map(String::as_str), ", ")
                ),
            }
        })
    }
    /// Write to a temporary name and rename.
    pub fn write(&self, path: &Path) -> Result<(), StarError> {
        let content = match self.tables.iter().any(|table| table.has("rlnImageName")) {
            true => Content::Text,
            false => Content::Table,
        };
        writer::replace_file(path, content, |out| self.write_to(out))
    }
    /// Write the text of the file.
    pub fn write_to(&self, mut out: impl Write) -> std::io::Result<()> {
        for line in &self.header {
            writeln!(out, "# {line}")?;
        }
        for table in &self.tables {
            writer::write_table(&mut out, table)?;
        }
        Ok(())
    }
    /// Path this document was read from, if any.
    pub fn path(&self) -> Option<PathBuf> {
        self.tables.first()?.source().map(Path::to_path_buf)
    }
}
