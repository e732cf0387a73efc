//! STAR tables as RELION writes them (spec 03 §1).

use std::path::{Path, PathBuf};

/// What went wrong while reading or writing a STAR file; the text names file, line and column.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {message}")]
pub struct StarError {
    /// File concerned.
    pub path: String,
    /// What failed, where, why and what to try.
    pub message: String,
}

/// A value to be stored in a cell, formatted by RELION's rules when written.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Fixed or scientific notation, width 12.
    Real(f64),
    /// Right-aligned, width 12.
    Integer(i64),
    /// 0 or 1.
    Boolean(bool),
    /// As is, quoted where needed.
    Text(String),
    /// `[v1,v2,…]`.
    Vector(Vec<f64>),
}

/// One `data_` block: a loop of rows or a list of label–value pairs (a list has exactly one row).
#[derive(Debug, Clone)]
pub struct Table {
    name: String,
}

impl Table {
    /// An empty list table (one row, no columns yet).
    pub fn new_list(_name: &str) -> Self {
        todo!()
    }
    /// An empty loop table with the given labels (without the leading underscore).
    pub fn new_loop(_name: &str, _labels: &[&str]) -> Self {
        todo!()
    }
    /// Name after `data_`.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// Rename the table.
    pub fn set_name(&mut self, _name: &str) {
        todo!()
    }
    /// True for a `loop_` table.
    pub fn is_loop(&self) -> bool {
        todo!()
    }
    /// Value of the `# version N` line before the table (30000 when absent).
    pub fn version(&self) -> u32 {
        todo!()
    }
    /// Number of rows (1 for a list).
    pub fn len(&self) -> usize {
        todo!()
    }
    /// No rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Labels in file order, without underscore.
    pub fn labels(&self) -> Vec<&str> {
        todo!()
    }
    /// Whether the column exists.
    pub fn has(&self, _label: &str) -> bool {
        todo!()
    }
    /// Text of a cell; an error names file, table, row and label.
    pub fn text(&self, _row: usize, _label: &str) -> Result<&str, StarError> {
        todo!()
    }
    /// Real number in a cell.
    pub fn real(&self, _row: usize, _label: &str) -> Result<f64, StarError> {
        todo!()
    }
    /// Integer in a cell.
    pub fn integer(&self, _row: usize, _label: &str) -> Result<i64, StarError> {
        todo!()
    }
    /// Boolean (0/1) in a cell.
    pub fn boolean(&self, _row: usize, _label: &str) -> Result<bool, StarError> {
        todo!()
    }
    /// Vector `[a,b,…]` in a cell.
    pub fn vector(&self, _row: usize, _label: &str) -> Result<Vec<f64>, StarError> {
        todo!()
    }
    /// Whole column as reals (fast path for large tables).
    pub fn real_column(&self, _label: &str) -> Result<Vec<f64>, StarError> {
        todo!()
    }
    /// Set a cell, adding the column at the end (filled with `value` in every row) when it is missing.
    pub fn set(&mut self, _row: usize, _label: &str, _value: Value) {
        todo!()
    }
    /// Append a label–value pair to a list table.
    pub fn push(&mut self, _label: &str, _value: impl Into<Value>) {
        todo!()
    }
    /// Append a row to a loop table (as many values as labels).
    pub fn push_row(&mut self, _values: Vec<Value>) {
        todo!()
    }
    /// Add a column filled with one value (no effect when present).
    pub fn add_column(&mut self, _label: &str, _fill: Value) {
        todo!()
    }
    /// Remove a column (no effect when absent).
    pub fn remove_column(&mut self, _label: &str) {
        todo!()
    }
    /// Reorder rows: new row `i` is old row `order[i]`.
    pub fn reorder(&mut self, _order: &[usize]) {
        todo!()
    }
}

impl From<f64> for Value {
    fn from(v: f64) -> Self {
        Value::Real(v)
    }
}
impl From<i64> for Value {
    fn from(v: i64) -> Self {
        Value::Integer(v)
    }
}
impl From<usize> for Value {
    fn from(v: usize) -> Self {
        Value::Integer(v as i64)
    }
}
impl From<bool> for Value {
    fn from(v: bool) -> Self {
        Value::Boolean(v)
    }
}
impl From<&str> for Value {
    fn from(v: &str) -> Self {
        Value::Text(v.to_string())
    }
}
impl From<String> for Value {
    fn from(v: String) -> Self {
        Value::Text(v)
    }
}

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
    pub fn read(_path: &Path) -> Result<Self, StarError> {
        todo!()
    }
    /// First table with this name.
    pub fn table(&self, _name: &str) -> Option<&Table> {
        todo!()
    }
    /// Like [`Document::table`], an error naming the file and the tables it does hold otherwise.
    pub fn require(&self, _name: &str) -> Result<&Table, StarError> {
        todo!()
    }
    /// Write to a temporary name and rename.
    pub fn write(&self, _path: &Path) -> Result<(), StarError> {
        todo!()
    }
    /// Path this document was read from, if any.
    pub fn path(&self) -> Option<PathBuf> {
        todo!()
    }
}
