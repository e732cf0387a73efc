//! One table in memory: all cell texts in one string, cells as packed references into it.

use super::{StarError, Value, number};
use crate::errors::Code;
use crate::errors::listed::listed;
use std::path::Path;
use std::sync::Arc;

/// Byte range in the table's text, packed: 40 bits of start, 24 bits of length.
///
/// 8 bytes a cell, and equal neighbours share their text, so a million particles with 30 columns need some
/// 0.5 GB instead of the 1.5 GB that a `String` per cell would take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell(u64);

/// Longest text of one cell, in bytes.
pub(super) const LONGEST_CELL: usize = (1 << 24) - 1;

impl Cell {
    fn new(start: usize, length: usize) -> Self {
        assert!(
            length <= LONGEST_CELL && start < 1 << 40,
            "a cell of {length} bytes at {start} is larger than a STAR table can hold"
        );
        Cell((start as u64) << 24 | length as u64)
    }
    fn range(self) -> std::ops::Range<usize> {
        let start = (self.0 >> 24) as usize;
        start..start + (self.0 & 0xff_ffff) as usize
    }
}

#[derive(Debug, Clone)]
struct Column {
    label: String,
    cells: Vec<Cell>,
}

/// One `data_` block: a loop of rows or a list of label–value pairs (a list has exactly one row).
///
/// Labels are given without the leading underscore.
#[derive(Debug, Clone)]
pub struct Table {
    name: String,
    version: u32,
    is_loop: bool,
    columns: Vec<Column>,
    rows: usize,
    text: String,
    /// Line in the file of each row (loop) or column (list); empty for tables made by the program.
    lines: Vec<u32>,
    source: Option<Arc<Path>>,
}

impl Table {
    /// An empty list table (one row, no columns yet).
    pub fn new_list(name: &str) -> Self {
        Self::empty(name, false)
    }
    /// An empty loop table with the given labels (without the leading underscore).
    pub fn new_loop(name: &str, labels: &[&str]) -> Self {
        let mut table = Self::empty(name, true);
        labels.iter().for_each(|label| table.add_label(label));
        table
    }
    fn empty(name: &str, is_loop: bool) -> Self {
        Table {
            name: name.to_string(),
            version: super::VERSION,
            is_loop,
            columns: Vec::new(),
            rows: usize::from(!is_loop),
            text: String::new(),
            lines: Vec::new(),
            source: None,
        }
    }
    /// A table about to be filled from a file.
    pub(super) fn from_file(name: &str, is_loop: bool, version: u32, source: Arc<Path>) -> Self {
        Table {
            version,
            source: Some(source),
            ..Self::empty(name, is_loop)
        }
    }
    /// Number of columns.
    pub(super) fn columns(&self) -> usize {
        self.columns.len()
    }
    pub(super) fn add_label(&mut self, label: &str) {
        self.columns.push(Column {
            label: label.to_string(),
            cells: Vec::new(),
        });
    }

    /// File the table was read from, if any.
    pub(super) fn source(&self) -> Option<&Path> {
        self.source.as_deref()
    }
    /// Name after `data_`.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// Rename the table.
    pub fn set_name(&mut self, name: &str) {
        self.name = name.to_string();
    }
    /// True for a `loop_` table.
    pub fn is_loop(&self) -> bool {
        self.is_loop
    }
    /// Value of the `# version N` line before the table (30000 when absent).
    pub fn version(&self) -> u32 {
        self.version
    }
    /// Number of rows (1 for a list).
    pub fn len(&self) -> usize {
        self.rows
    }
    /// No rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Labels in file order, without underscore.
    pub fn labels(&self) -> Vec<&str> {
        self.columns.iter().map(|c| c.label.as_str()).collect()
    }
    /// Whether the column exists.
    pub fn has(&self, label: &str) -> bool {
        self.index(label).is_some()
    }
    fn index(&self, label: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.label == label)
    }

    /// Where a row (and label) stands, for messages: `line 17, table data_particles, row 5`.
    pub fn place(&self, row: usize, label: &str) -> String {
        let line = if self.is_loop {
            self.lines.get(row)
        } else {
            self.index(label).and_then(|i| self.lines.get(i))
        };
        let table = format!("table data_{}", self.name);
        match (line, self.is_loop) {
            (Some(line), true) => format!("line {line}, {table}, row {}", row + 1),
            (Some(line), false) => format!("line {line}, {table}"),
            (None, true) => format!("{table}, row {}", row + 1),
            (None, false) => table,
        }
    }
    fn error(&self, code: Code, message: String) -> StarError {
        StarError {
            code,
            path: self
                .source
                .as_ref()
                .map_or_else(|| "(table in memory)".into(), |p| p.display().to_string()),
            message,
        }
    }
    fn missing(&self, label: &str) -> StarError {
        self.error(
            Code::STAR_CONTENT,
            format!(
                "table data_{} has no column {label}; is this the right file? It holds: {}",
                self.name,
                listed(self.labels(), " ")
            ),
        )
    }
    fn wrong(&self, row: usize, label: &str, text: &str, expected: &str) -> StarError {
        self.error(
            Code::STAR_VALUE,
            format!(
                "{}, column {label}: '{text}' is not {expected}. Correct it; when other rows are wrong too, the columns do not fit their labels",
                self.place(row, label)
            ),
        )
    }

    /// Text of a cell; an error names file, table, row and label.
    pub fn text(&self, row: usize, label: &str) -> Result<&str, StarError> {
        let column = self.index(label).ok_or_else(|| self.missing(label))?;
        if row >= self.rows {
            return Err(self.error(
                Code::STAR_CONTENT,
                format!(
                    "table data_{} has {} rows; row {} was asked for",
                    self.name,
                    self.rows,
                    row + 1
                ),
            ));
        }
        Ok(self.cell(row, column))
    }
    /// Text of a cell by column number.
    pub(super) fn cell(&self, row: usize, column: usize) -> &str {
        &self.text[self.columns[column].cells[row].range()]
    }
    /// Real number in a cell.
    pub fn real(&self, row: usize, label: &str) -> Result<f64, StarError> {
        let text = self.text(row, label)?;
        number::parse_real(text).ok_or_else(|| self.wrong(row, label, text, "a number"))
    }
    /// Integer in a cell.
    pub fn integer(&self, row: usize, label: &str) -> Result<i64, StarError> {
        let text = self.text(row, label)?;
        number::parse_integer(text).ok_or_else(|| self.wrong(row, label, text, "an integer"))
    }
    /// Boolean (0/1) in a cell.
    pub fn boolean(&self, row: usize, label: &str) -> Result<bool, StarError> {
        let text = self.text(row, label)?;
        match number::parse_integer(text) {
            Some(value) => Ok(value != 0),
            None if text.eq_ignore_ascii_case("true") => Ok(true),
            None if text.eq_ignore_ascii_case("false") => Ok(false),
            None => Err(self.wrong(row, label, text, "a boolean (0 or 1)")),
        }
    }
    /// Vector `[a,b,…]` in a cell.
    pub fn vector(&self, row: usize, label: &str) -> Result<Vec<f64>, StarError> {
        let text = self.text(row, label)?;
        let wrong = || self.wrong(row, label, text, "a list of numbers like [1.5,2]");
        let inner = text
            .strip_prefix('[')
            .and_then(|t| t.strip_suffix(']'))
            .ok_or_else(wrong)?
            .trim();
        if inner.is_empty() {
            return Ok(Vec::new());
        }
        inner
            .split(',')
            .map(|v| number::parse_real(v.trim()).ok_or_else(wrong))
            .collect()
    }
    /// Whole column as reals (fast path for large tables).
    pub fn real_column(&self, label: &str) -> Result<Vec<f64>, StarError> {
        self.column(label, number::parse_real, "a number")
    }
    /// Whole column as integers.
    pub fn integer_column(&self, label: &str) -> Result<Vec<i64>, StarError> {
        self.column(label, number::parse_integer, "an integer")
    }
    fn column<T>(
        &self,
        label: &str,
        parse: impl Fn(&str) -> Option<T>,
        expected: &str,
    ) -> Result<Vec<T>, StarError> {
        let texts = self.texts(label)?;
        texts
            .enumerate()
            .map(|(row, text)| parse(text).ok_or_else(|| self.wrong(row, label, text, expected)))
            .collect()
    }
    /// Texts of a column in row order.
    pub fn texts(&self, label: &str) -> Result<impl Iterator<Item = &str>, StarError> {
        self.texts_from(label, 0)
    }

    /// As [`Table::texts`], from row `first` on.
    ///
    /// # Errors
    /// There is no such column.
    pub fn texts_from(
        &self,
        label: &str,
        first: usize,
    ) -> Result<impl Iterator<Item = &str>, StarError> {
        let column = self.index(label).ok_or_else(|| self.missing(label))?;
        let cells = self.columns[column].cells.get(first..).unwrap_or_default();
        Ok(cells.iter().map(|cell| &self.text[cell.range()]))
    }

    /// Set a cell, adding the column at the end (filled with `value` in every row) when it is missing.
    ///
    /// # Panics
    /// When the column exists and `row` does not.
    pub fn set(&mut self, row: usize, label: &str, value: Value) {
        match self.index(label) {
            Some(column) => {
                let cell = self.store(&value);
                self.columns[column].cells[row] = cell;
            }
            None => self.add_column(label, value),
        }
    }
    /// Append a label–value pair to a list table.
    pub fn push(&mut self, label: &str, value: impl Into<Value>) {
        self.set(0, label, value.into());
    }
    /// Append a row to a loop table.
    ///
    /// # Panics
    /// When there are not as many values as labels.
    pub fn push_row(&mut self, values: Vec<Value>) {
        assert_eq!(
            values.len(),
            self.columns.len(),
            "row of table data_{}",
            self.name
        );
        for (column, value) in values.iter().enumerate() {
            let cell = self.store(value);
            self.columns[column].cells.push(cell);
        }
        self.rows += 1;
    }
    /// Add a column filled with one value (no effect when present).
    pub fn add_column(&mut self, label: &str, fill: Value) {
        if !self.has(label) {
            let cell = self.store(&fill);
            self.columns.push(Column {
                label: label.to_string(),
                cells: vec![cell; self.rows],
            });
        }
    }
    /// Remove a column (no effect when absent).
    pub fn remove_column(&mut self, label: &str) {
        if let Some(column) = self.index(label) {
            self.columns.remove(column);
            if !self.is_loop && column < self.lines.len() {
                self.lines.remove(column);
            }
        }
    }
    /// Reorder rows: new row `i` is old row `order[i]`.
    ///
    /// # Panics
    /// When `order` names a row that does not exist.
    pub fn reorder(&mut self, order: &[usize]) {
        for column in &mut self.columns {
            column.cells = order.iter().map(|&row| column.cells[row]).collect();
        }
        if self.is_loop && !self.lines.is_empty() {
            self.lines = order.iter().map(|&row| self.lines[row]).collect();
        }
        self.rows = order.len();
    }

    /// Append text and say where it is.
    fn store(&mut self, value: &Value) -> Cell {
        let mut text = Vec::new();
        value.push_text(&mut text);
        let text = String::from_utf8(text).expect("values are formatted as UTF-8");
        self.store_text(&text)
    }
    fn store_text(&mut self, text: &str) -> Cell {
        let start = self.text.len();
        self.text.push_str(text);
        Cell::new(start, text.len())
    }
    /// Append one cell of a row read from a file; equal texts below each other are kept once.
    pub(super) fn push_cell(&mut self, column: usize, text: &str) {
        let above = self.columns[column].cells.last().copied();
        let cell = match above {
            Some(cell) if self.text[cell.range()] == *text => cell,
            _ => self.store_text(text),
        };
        self.columns[column].cells.push(cell);
    }
    /// Complete a row read from line `line`, whose cells were pushed.
    pub(super) fn end_row(&mut self, line: u32) {
        self.rows += 1;
        self.lines.push(line);
    }
    /// Append a pair read from line `line`.
    pub(super) fn push_pair(&mut self, label: &str, text: &str, line: u32) {
        self.add_label(label);
        self.push_cell(self.columns.len() - 1, text);
        self.lines.push(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Table {
        let mut table = Table::new_loop("particles", &["rlnImageName", "rlnDefocusU"]);
        table.push_row(vec!["1@a.mrcs".into(), 100.0.into()]);
        table.push_row(vec!["2@a.mrcs".into(), 200.0.into()]);
        table
    }

    #[test]
    fn cells_are_formatted_when_stored_and_parsed_when_read() {
        let table = example();
        assert_eq!(table.text(1, "rlnDefocusU").unwrap(), "200.000000");
        assert_eq!(table.real(1, "rlnDefocusU").unwrap(), 200.0);
        assert_eq!(table.real_column("rlnDefocusU").unwrap(), [100.0, 200.0]);
        assert_eq!(table.integer(0, "rlnDefocusU").unwrap(), 100);
    }

    #[test]
    fn set_overwrites_or_adds_a_filled_column() {
        let mut table = example();
        table.set(0, "rlnDefocusU", Value::Real(-5.0));
        assert_eq!(table.real_column("rlnDefocusU").unwrap(), [-5.0, 200.0]);
        table.set(0, "rlnClassNumber", Value::Integer(3));
        assert_eq!(table.integer_column("rlnClassNumber").unwrap(), [3, 3]);
        table.remove_column("rlnDefocusU");
        assert_eq!(table.labels(), ["rlnImageName", "rlnClassNumber"]);
    }

    #[test]
    fn reorder_moves_whole_rows() {
        let mut table = example();
        table.reorder(&[1, 0]);
        assert_eq!(table.text(0, "rlnImageName").unwrap(), "2@a.mrcs");
        assert_eq!(table.real(1, "rlnDefocusU").unwrap(), 100.0);
    }

    #[test]
    fn vectors_and_booleans() {
        let mut table = Table::new_list("optics");
        table.push("rlnOddZernike", Value::Vector(vec![1.5, -2.0]));
        table.push("rlnFlag", true);
        assert_eq!(
            table.text(0, "rlnOddZernike").unwrap(),
            "[1.500000,-2.00000]"
        );
        assert_eq!(table.vector(0, "rlnOddZernike").unwrap(), [1.5, -2.0]);
        assert!(table.boolean(0, "rlnFlag").unwrap());
        assert!(table.vector(0, "rlnFlag").is_err());
    }

    #[test]
    fn errors_say_what_is_there() {
        let table = example();
        let missing = table.real(0, "rlnDefocusV").unwrap_err().to_string();
        assert!(missing.contains("no column rlnDefocusV"), "{missing}");
        assert!(missing.contains("rlnImageName rlnDefocusU"), "{missing}");
        let wrong = table.real(1, "rlnImageName").unwrap_err().to_string();
        assert!(
            wrong.contains("row 2, column rlnImageName: '2@a.mrcs' is not a number"),
            "{wrong}"
        );
        assert!(
            table
                .text(2, "rlnDefocusU")
                .unwrap_err()
                .to_string()
                .contains("2 rows")
        );
    }
}
