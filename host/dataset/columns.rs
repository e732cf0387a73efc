//! Columns of the particle table as numbers.

use super::DatasetError;
use crate::errors::Code;
use crate::formats::star::{PLACEHOLDER, Table};
use std::path::Path;

/// Priors of this value or more are undefined (RELION writes 999).
const UNDEFINED: f64 = 998.9;

/// Whole columns with defaults, checked for values that are not finite.
pub(super) struct Columns<'a> {
    pub path: &'a Path,
    pub table: &'a Table,
}

impl Columns<'_> {
    pub(super) fn reals(&self, label: &str, default: f64) -> Result<Vec<f64>, DatasetError> {
        if !self.table.has(label) {
            return Ok(vec![default; self.table.len()]);
        }
        let values = self.table.real_column(label)?;
        match values.iter().position(|v| !v.is_finite()) {
            Some(row) => Err(self.blame(
                Code::PARTICLE_VALUE,
                row,
                label,
                &format!(
                    "the value is {}; correct it or remove this particle",
                    values[row]
                ),
            )),
            None => Ok(values),
        }
    }
    /// Values where `PLACEHOLDER` means that there is none, and 0 stands in as for a missing column.
    pub(super) fn angles(&self, label: &str) -> Result<Vec<f64>, DatasetError> {
        let mut values = self.reals(label, 0.0)?;
        values
            .iter_mut()
            .filter(|v| **v == PLACEHOLDER)
            .for_each(|v| *v = 0.0);
        Ok(values)
    }
    pub(super) fn integers(&self, label: &str, default: i64) -> Result<Vec<i64>, DatasetError> {
        if !self.table.has(label) {
            return Ok(vec![default; self.table.len()]);
        }
        let mut values = self.table.integer_column(label)?;
        values
            .iter_mut()
            .filter(|v| **v == PLACEHOLDER as i64)
            .for_each(|v| *v = default);
        match values.iter().position(|&v| v < 0) {
            Some(row) => Err(self.blame(
                Code::PARTICLE_VALUE,
                row,
                label,
                &format!(
                    "the value is {}, below 0; correct it or remove the column",
                    values[row]
                ),
            )),
            None => Ok(values),
        }
    }
    /// Values where the table defines them.
    pub(super) fn priors(&self, label: &str) -> Result<Vec<Option<f64>>, DatasetError> {
        let values = self.reals(label, f64::MAX)?;
        Ok(values
            .into_iter()
            .map(|v| (v < UNDEFINED && v != PLACEHOLDER).then_some(v))
            .collect())
    }
    pub(super) fn blame(&self, code: Code, row: usize, label: &str, message: &str) -> DatasetError {
        DatasetError::about(
            code,
            self.path,
            format!(
                "{}, column {label}: {message}",
                self.table.place(row, label)
            ),
        )
    }
}
