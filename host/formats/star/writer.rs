//! RELION's layout, to the byte (spec 03 §1.1).

use super::tokenizer::BEL;
use super::{StarError, Table, Value, number};
use crate::errors::Message;
use crate::formats::replace::{self, Content, check_kind};
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Version number written in front of every table (that of RELION 5).
pub const VERSION: u32 = 50001;

/// Least width of a text field.
const TEXT_WIDTH: usize = 10;

/// Writes `path` whole or not at all ([`replace::replace_file`]).
pub fn replace_file(
    path: &Path,
    content: Content,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), StarError> {
    let written = check_kind(path, content).and_then(|()| replace::replace_file(path, write));
    written.map_err(|e| {
        let Message { code, text } = Message::unwritten("the file", &e);
        StarError {
            code,
            path: path.display().to_string(),
            message: text,
        }
    })
}

/// Write a table; an empty one is left out, as in RELION.
pub(super) fn write_table(out: &mut impl Write, table: &Table) -> io::Result<()> {
    let labels = table.labels();
    if table.is_empty() || labels.is_empty() {
        return Ok(());
    }
    if table.is_loop() {
        let mut rows = LoopWriter::begin(out, table.name(), &labels)?;
        for row in 0..table.len() {
            (0..labels.len()).for_each(|column| rows.text(table.cell(row, column)));
            rows.end_row()?;
        }
        rows.end()
    } else {
        write_head(out, table.name())?;
        let longest = labels.iter().map(|l| l.len()).max().unwrap_or(0);
        let start = 1 + longest.max(TEXT_WIDTH) + 12;
        let mut line = Vec::new();
        for (column, label) in labels.iter().enumerate() {
            line.clear();
            write!(line, "_{label}")?;
            line.resize(start, b' ');
            push_field(&mut line, table.cell(0, column), 0);
            line.push(b'\n');
            out.write_all(&line)?;
        }
        out.write_all(b" \n")
    }
}

fn write_head(out: &mut impl Write, name: &str) -> io::Result<()> {
    write!(out, "\n# version {VERSION}\n\ndata_{name}\n\n")
}

/// Writes a loop table row by row, without holding it in memory.
pub struct LoopWriter<'a, W: Write> {
    out: &'a mut W,
    line: Vec<u8>,
}

impl<'a, W: Write> LoopWriter<'a, W> {
    /// Write the table's head and labels.
    pub fn begin(out: &'a mut W, name: &str, labels: &[&str]) -> io::Result<Self> {
        write_head(out, name)?;
        out.write_all(b"loop_ \n")?;
        for (i, label) in labels.iter().enumerate() {
            writeln!(out, "_{label} #{} ", i + 1)?;
        }
        Ok(LoopWriter {
            out,
            line: Vec::new(),
        })
    }
    /// For rows of a table whose head is written elsewhere; [`LoopWriter::add_rows`] puts them there.
    pub fn of_rows(out: &'a mut W) -> Self {
        LoopWriter {
            out,
            line: Vec::new(),
        }
    }
    /// Add rows that another writer has made.
    pub fn add_rows(&mut self, rows: &[u8]) -> io::Result<()> {
        self.out.write_all(rows)
    }
    /// Add a cell that is text already (numbers are recognised and aligned).
    pub fn text(&mut self, text: &str) {
        push_field(&mut self.line, text, TEXT_WIDTH);
        self.line.push(b' ');
    }
    /// Add a cell with a real number.
    pub fn real(&mut self, value: f64) {
        number::push_real(&mut self.line, value);
        self.line.push(b' ');
    }
    /// Add a cell with an integer.
    pub fn integer(&mut self, value: i64) {
        number::push_integer(&mut self.line, value);
        self.line.push(b' ');
    }
    /// Add a cell.
    pub fn value(&mut self, value: &Value) {
        let mut text = Vec::new();
        value.push_text(&mut text);
        self.text(&String::from_utf8_lossy(&text));
    }
    /// Complete the row.
    pub fn end_row(&mut self) -> io::Result<()> {
        self.line.push(b'\n');
        self.out.write_all(&self.line)?;
        self.line.clear();
        Ok(())
    }
    /// Complete the table.
    pub fn end(self) -> io::Result<()> {
        self.out.write_all(b" \n")
    }
}

/// Append a cell, right-aligned: numbers in 12 characters, text in `text_width`.
fn push_field(line: &mut Vec<u8>, text: &str, text_width: usize) {
    let (text, width) = if number::looks_numeric(text) {
        (Cow::Borrowed(text), number::WIDTH)
    } else {
        (quoted(text), text_width)
    };
    let padding = width.saturating_sub(text.len());
    line.resize(line.len() + padding, b' ');
    line.extend_from_slice(text.as_bytes());
}

/// The text as it must stand in the file: in quotes where it would otherwise read as something else.
fn quoted(text: &str) -> Cow<'_, str> {
    let blank = |c: char| c.is_ascii_whitespace() || c == '\x0b';
    let needs_quotes = text.is_empty()
        || text.contains(blank)
        || text.starts_with(['"', '\'', '#', '_', ';'])
        || text.starts_with("data_")
        || text.starts_with("loop_");
    if !needs_quotes {
        return Cow::Borrowed(text);
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        // An inner quote before white space or the closing quote would end the string: RELION marks it. One after
        // a mark of its own gets a second one, which the reader takes away again.
        let ends = characters.peek().is_none_or(|&next| blank(next));
        if c == '"' && (ends || quoted.ends_with(BEL)) {
            quoted.push(BEL);
        }
        // STAR values stay on one line.
        quoted.push(if c == '\n' { ' ' } else { c });
    }
    quoted.push('"');
    Cow::Owned(quoted)
}

#[cfg(test)]
mod tests {
    use super::super::Document;
    use super::*;
    use proptest::prelude::*;

    fn written(document: &Document) -> String {
        let mut out = Vec::new();
        document.write_to(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn layout_of_lists_and_loops() {
        let mut list = Table::new_list("sampling_general");
        list.push("rlnIs3DTranslationalSampling", false);
        list.push("rlnSymmetryGroup", "C1");
        list.push("rlnPsiStep", 15.0);
        list.push("rlnFn", "");
        let mut table = Table::new_loop("classes", &["rlnReferenceImage", "rlnClassDistribution"]);
        table.push_row(vec!["run_it001_class001.mrc".into(), Value::Real(1.0)]);
        table.push_row(vec!["x y".into(), Value::Integer(3)]);
        let document = Document {
            header: vec!["RELION optimiser; version 5.0.1".into()],
            tables: vec![list, Table::new_loop("empty", &["rlnA"]), table],
        };
        let expected = "# RELION optimiser; version 5.0.1

# version 50001

data_sampling_general

_rlnIs3DTranslationalSampling                       0
_rlnSymmetryGroup                        C1
_rlnPsiStep                                 15.000000
_rlnFn                                   \"\"
 

# version 50001

data_classes

loop_ 
_rlnReferenceImage #1 
_rlnClassDistribution #2 
run_it001_class001.mrc     1.000000 
     \"x y\"            3 
 
";
        assert_eq!(written(&document), expected);
    }

    #[test]
    fn an_unwritable_folder_is_an_error_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("no/such/folder/x.star");
        let error = Document::default().write(&path).unwrap_err().to_string();
        assert!(error.contains("no/such/folder/x.star"), "{error}");
        assert!(error.contains("check that the folder exists"), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_reads_back(cells in prop::collection::vec("[ -~éα\t]{0,12}", 3), name in "[a-z_0-9]{0,8}") {
            let mut table = Table::new_loop(&name, &["a", "b", "c"]);
            table.push_row(cells.iter().map(|c| Value::Text(c.clone())).collect());
            let mut list = Table::new_list("list");
            for (label, cell) in ["x", "y", "z"].iter().zip(&cells) {
                list.push(label, cell.as_str());
            }
            let document = Document { tables: vec![table, list], header: Vec::new() };
            let text = written(&document);
            let back = Document::parse(text.as_bytes(), Path::new("memory")).unwrap();
            prop_assert_eq!(back.tables.len(), 2);
            prop_assert_eq!(back.tables[0].name(), name);
            for (i, cell) in cells.iter().enumerate() {
                prop_assert_eq!(back.tables[0].text(0, ["a", "b", "c"][i]).unwrap(), cell);
                prop_assert_eq!(back.tables[1].text(0, ["x", "y", "z"][i]).unwrap(), cell);
            }
        }
    }
}
