//! Columns of a table, declared once for its writer and its reader.

use super::{StarError, Table, Value};
use std::path::{Path, PathBuf};

/// Where a column is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Every file has it.
    Required,
    /// Files of some versions or runs lack it; the value then stays what it was.
    Optional,
    /// It is asked for where a condition on earlier columns holds, and not read otherwise.
    Where,
    /// It is written for RELION, and not read.
    Written,
}

impl Presence {
    /// Returns whether a reader takes the column.
    pub(crate) fn is_read(self, table: &Table, label: &str) -> bool {
        match self {
            Self::Required | Self::Where => true,
            Self::Optional => table.has(label),
            Self::Written => false,
        }
    }
}

/// A list of columns made by [`columns`].
pub(crate) trait ColumnList {
    /// Labels in the order in which they are written.
    const COLUMNS: &'static [(Presence, &'static str)];

    /// Returns the labels that every file has and this table lacks.
    fn missing(table: &Table) -> Vec<&'static str> {
        let required = Self::COLUMNS
            .iter()
            .filter(|(presence, _)| *presence == Presence::Required);
        required
            .map(|(_, label)| *label)
            .filter(|label| !table.has(label) && !table.has(in_pixels(label)))
            .collect()
    }
}

/// A value that has a cell.
pub(crate) trait ToCell {
    /// Returns the cell; None where the column is left out.
    fn to_cell(&self) -> Option<Value>;
}

/// A value that is read from a cell.
pub(crate) trait FromCell: Sized {
    /// Reads a cell.
    ///
    /// # Errors
    /// The column is missing, or the cell is no value of this kind.
    fn from_cell(table: &Table, row: usize, label: &str) -> Result<Self, StarError>;
}

impl ToCell for f64 {
    /// Exponents of three digits do not fit the twelve columns of a real, so that RELION would read 1e-100 back as 1e-10: such
    /// values are written as 0.
    fn to_cell(&self) -> Option<Value> {
        Some(Value::Real(if self.abs() < 1e-99 { 0.0 } else { *self }))
    }
}

impl FromCell for f64 {
    fn from_cell(table: &Table, row: usize, label: &str) -> Result<Self, StarError> {
        table.real(row, label)
    }
}

impl ToCell for bool {
    fn to_cell(&self) -> Option<Value> {
        Some((*self).into())
    }
}

impl FromCell for bool {
    fn from_cell(table: &Table, row: usize, label: &str) -> Result<Self, StarError> {
        table.boolean(row, label)
    }
}

impl ToCell for i64 {
    fn to_cell(&self) -> Option<Value> {
        Some((*self).into())
    }
}

impl FromCell for i64 {
    fn from_cell(table: &Table, row: usize, label: &str) -> Result<Self, StarError> {
        table.integer(row, label)
    }
}

impl ToCell for usize {
    fn to_cell(&self) -> Option<Value> {
        Some((*self).into())
    }
}

/// Counts below 0 are read as 0.
impl FromCell for usize {
    fn from_cell(table: &Table, row: usize, label: &str) -> Result<Self, StarError> {
        table.integer(row, label).map(|n| n.max(0) as usize)
    }
}

impl ToCell for u32 {
    fn to_cell(&self) -> Option<Value> {
        Some(i64::from(*self).into())
    }
}

/// Counts below 0 are read as 0.
impl FromCell for u32 {
    fn from_cell(table: &Table, row: usize, label: &str) -> Result<Self, StarError> {
        table.integer(row, label).map(|n| n.max(0) as u32)
    }
}

impl ToCell for &str {
    fn to_cell(&self) -> Option<Value> {
        Some((*self).into())
    }
}

impl ToCell for String {
    fn to_cell(&self) -> Option<Value> {
        Some(self.as_str().into())
    }
}

impl FromCell for String {
    fn from_cell(table: &Table, row: usize, label: &str) -> Result<Self, StarError> {
        table.text(row, label).map(str::to_owned)
    }
}

/// A column with a value of its own making, or none.
impl ToCell for Option<Value> {
    fn to_cell(&self) -> Option<Value> {
        self.clone()
    }
}

/// −1 stands for none.
impl ToCell for Option<f64> {
    fn to_cell(&self) -> Option<Value> {
        self.unwrap_or(-1.0).to_cell()
    }
}

/// 0 and less stand for none.
impl FromCell for Option<f64> {
    fn from_cell(table: &Table, row: usize, label: &str) -> Result<Self, StarError> {
        Ok(Some(table.real(row, label)?).filter(|value| *value > 0.0))
    }
}

/// −1 stands for none.
impl ToCell for Option<usize> {
    fn to_cell(&self) -> Option<Value> {
        self.map_or(-1, |n| n as i64).to_cell()
    }
}

/// 0 and less stand for none.
impl FromCell for Option<usize> {
    fn from_cell(table: &Table, row: usize, label: &str) -> Result<Self, StarError> {
        let n = table.integer(row, label)?;
        Ok(usize::try_from(n).ok().filter(|n| *n > 0))
    }
}

/// "None" stands for no file.
impl ToCell for Option<PathBuf> {
    fn to_cell(&self) -> Option<Value> {
        let text = self.as_deref().map(Path::display);
        text.map_or("None".to_owned(), |path| path.to_string())
            .to_cell()
    }
}

/// "None" and an empty text stand for no file.
impl FromCell for Option<PathBuf> {
    fn from_cell(table: &Table, row: usize, label: &str) -> Result<Self, StarError> {
        let text = table.text(row, label)?;
        Ok((!text.is_empty() && text != "None").then(|| PathBuf::from(text)))
    }
}

/// A length: in Å, or in pixels in files before RELION 3.1, whose label does not end in `Angst`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Length {
    /// Å.
    Angstrom(f64),
    /// Pixels.
    Pixels(f64),
}

impl Length {
    /// Returns the length in Å; `pixel_size` is Å per pixel.
    pub(crate) fn angstrom(self, pixel_size: f64) -> f64 {
        match self {
            Self::Angstrom(length) => length,
            Self::Pixels(pixels) => pixels * pixel_size,
        }
    }
}

impl FromCell for Length {
    fn from_cell(table: &Table, row: usize, label: &str) -> Result<Self, StarError> {
        match table.has(label) {
            true => table.real(row, label).map(Self::Angstrom),
            false => table.real(row, in_pixels(label)).map(Self::Pixels),
        }
    }
}

/// Returns the label of a length in files before RELION 3.1.
fn in_pixels(label: &str) -> &str {
    label.strip_suffix("Angst").unwrap_or(label)
}

/// Adds label–value pairs to a list table.
pub(crate) fn push_cells(table: &mut Table, cells: Vec<(&'static str, Value)>) {
    for (label, value) in cells {
        table.push(label, value);
    }
}

/// Returns a loop table; all rows have the columns of the first.
pub(crate) fn loop_of<C: ColumnList>(
    name: &str,
    rows: impl Iterator<Item = Vec<(&'static str, Value)>>,
) -> Table {
    let mut rows = rows.peekable();
    let labels: Vec<&str> = match rows.peek() {
        Some(cells) => cells.iter().map(|(label, _)| *label).collect(),
        None => C::COLUMNS.iter().map(|(_, label)| *label).collect(),
    };
    let mut table = Table::new_loop(name, &labels);
    for cells in rows {
        table.push_row(cells.into_iter().map(|(_, value)| value).collect());
    }
    table
}

/// Declares the columns of a table: whether files have a column, its label, and the field that it holds (`= field`), or an
/// expression in brackets that is written and `=> |value: Type| …`, which takes what was read. `Where(condition)` may use
/// fields that columns above have set. Makes `cells`, which returns the cells of a row, and `read`, which sets the fields.
macro_rules! columns {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident($($part:ident: $kind:ty),*) {
            $($presence:ident $(($condition:expr))? $label:literal $([$written:expr])?
                $(= $place:expr)? $(=> |$value:ident: $type:ty| $take:expr)?;)*
        }
    ) => {
        $(#[$meta])*
        $vis struct $name;

        impl $crate::formats::star::columns::ColumnList for $name {
            const COLUMNS: &'static [($crate::formats::star::columns::Presence, &'static str)] =
                &[$(($crate::formats::star::columns::Presence::$presence, $label),)*];
        }

        // A part may be needed by one direction alone, and a table may be written alone.
        #[allow(unused_variables, dead_code)]
        impl $name {
            /// Returns the cells of a row.
            $vis fn cells($($part: &$kind),*) -> Vec<(&'static str, $crate::formats::star::Value)> {
                use $crate::formats::star::columns::ToCell;
                let mut cells = Vec::new();
                $(
                    $(cells.extend(ToCell::to_cell(&$written).map(|cell| ($label, cell)));)?
                    $(cells.extend(ToCell::to_cell(&$place).map(|cell| ($label, cell)));)?
                )*
                cells
            }

            /// Reads a row.
            $vis fn read(
                table: &$crate::formats::star::Table,
                row: usize,
                $($part: &mut $kind),*
            ) -> Result<(), $crate::formats::star::StarError> {
                use $crate::formats::star::columns::Presence;
                $(if Presence::$presence.is_read(table, $label) $(&& $condition)? {
                    $($place = $crate::formats::star::columns::FromCell::from_cell(table, row, $label)?;)?
                    $({
                        let $value: $type =
                            $crate::formats::star::columns::FromCell::from_cell(table, row, $label)?;
                        $take;
                    })?
                })*
                Ok(())
            }
        }
    };
}
pub(crate) use columns;

#[cfg(test)]
mod tests {
    use super::*;

    /// A state with a field of every kind; nothing but the declaration below knows its columns.
    #[derive(Debug, Clone, Default, PartialEq)]
    struct Example {
        real: f64,
        limit: Option<f64>,
        count: usize,
        subset: Option<usize>,
        mask: Option<PathBuf>,
        gradient: bool,
        momentum: f64,
        width: f64,
        seed: i64,
    }

    columns! {
        /// The example's table.
        struct ExampleColumns(example: Example, pixel_size: f64) {
            Required "rlnReal" = example.real;
            Required "rlnLimit" = example.limit;
            Optional "rlnCount" = example.count;
            Written "rlnIsHelix" [false];
            Required "rlnSubset" = example.subset;
            Required "rlnMask" = example.mask;
            Required "rlnGradient" = example.gradient;
            Where(example.gradient) "rlnMomentum" = example.momentum;
            Required "rlnWidthAngst" [example.width] => |width: Length| example.width = width.angstrom(*pixel_size);
            Optional "rlnSeed" [(example.seed > 0).then(|| Value::from(example.seed))] => |seed: i64| example.seed = seed;
        }
    }

    fn example() -> Example {
        Example {
            real: 0.25,
            limit: Some(7.5),
            count: 3,
            subset: Some(200),
            mask: Some("mask.mrc".into()),
            gradient: true,
            momentum: 0.5,
            width: 10.0,
            seed: 8,
        }
    }

    fn table(example: &Example) -> Table {
        let mut table = Table::new_list("example");
        push_cells(&mut table, ExampleColumns::cells(example, &2.0));
        table
    }

    #[test]
    fn a_declared_column_is_written_and_read() {
        let absent = Example {
            limit: None,
            subset: None,
            mask: None,
            seed: 0,
            ..example()
        };
        for expected in [example(), absent] {
            let written = table(&expected);
            assert_eq!(written.has("rlnSeed"), expected.seed > 0);
            let mut found = Example::default();
            ExampleColumns::read(&written, 0, &mut found, &mut 2.0).unwrap();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn columns_that_a_table_may_lack_leave_the_value_as_it_was() {
        let mut written = table(&example());
        written.remove_column("rlnCount");
        written.remove_column("rlnIsHelix");
        let mut found = Example {
            count: 11,
            ..Example::default()
        };
        ExampleColumns::read(&written, 0, &mut found, &mut 2.0).unwrap();
        assert_eq!(found.count, 11);
        assert!(ExampleColumns::missing(&written).is_empty());
        written.remove_column("rlnLimit");
        let error = ExampleColumns::read(&written, 0, &mut found, &mut 2.0).unwrap_err();
        assert!(error.to_string().contains("rlnLimit"), "{error}");
        assert_eq!(ExampleColumns::missing(&written), ["rlnLimit"]);
    }

    #[test]
    fn a_conditional_column_is_asked_for_only_where_its_condition_holds() {
        for gradient in [false, true] {
            let mut written = table(&Example {
                gradient,
                ..example()
            });
            written.remove_column("rlnMomentum");
            let read = ExampleColumns::read(&written, 0, &mut Example::default(), &mut 2.0);
            assert_eq!(read.is_err(), gradient);
        }
    }

    #[test]
    fn a_length_of_an_old_file_is_in_pixels() {
        let mut written = table(&example());
        written.remove_column("rlnWidthAngst");
        written.push("rlnWidth", 3.0);
        assert!(ExampleColumns::missing(&written).is_empty());
        let mut found = Example::default();
        ExampleColumns::read(&written, 0, &mut found, &mut 2.0).unwrap();
        assert_eq!(found.width, 6.0);
    }

    #[test]
    fn a_value_with_an_exponent_of_three_digits_is_written_as_zero() {
        assert_eq!(1e-100_f64.to_cell(), Some(Value::Real(0.0)));
        assert_eq!(1e-98_f64.to_cell(), Some(Value::Real(1e-98)));
    }
}
