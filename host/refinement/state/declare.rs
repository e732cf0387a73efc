//! A field of the state is declared once, with its type, its first value and its column in our table of the optimiser file;
//! writing, reading and sending it to other ranks follow from the declaration.

use crate::formats::star::{StarError, Table, Value};

/// Column of a field in the table `gerelion_state`.
pub(crate) enum Column {
    /// Every file of ours has it.
    Required(&'static str),
    /// Files of earlier versions, or of some runs, lack it; the field then keeps its value.
    Optional(&'static str),
}

/// A value that can be a field: it has a cell in a table, and a number that ranks send to each other.
pub(crate) trait Field: Sized {
    /// Returns the cell; None where the column is left out.
    fn cell(&self) -> Option<Value>;
    /// Reads the cell of a list table.
    fn read(table: &Table, label: &str) -> Result<Self, StarError>;
    /// Returns the number that stands for the value, without loss.
    fn number(&self) -> f64;
    /// Returns the value that a number stands for.
    fn from_number(number: f64) -> Self;

    /// Adds the column of a value to a table.
    fn push_cell(&self, column: Column, table: &mut Table) {
        let (Column::Required(label) | Column::Optional(label)) = column;
        if let Some(cell) = self.cell() {
            table.push(label, cell);
        }
    }

    /// Takes the value from a table.
    fn read_cell(&mut self, column: Column, table: &Table) -> Result<(), StarError> {
        match column {
            Column::Optional(label) if !table.has(label) => {}
            Column::Required(label) | Column::Optional(label) => *self = Self::read(table, label)?,
        }
        Ok(())
    }
}

impl Field for f64 {
    fn cell(&self) -> Option<Value> {
        Some(all_digits(*self))
    }

    fn read(table: &Table, label: &str) -> Result<Self, StarError> {
        table.real(0, label)
    }

    fn number(&self) -> f64 {
        *self
    }

    fn from_number(number: f64) -> Self {
        number
    }
}

impl Field for bool {
    fn cell(&self) -> Option<Value> {
        Some((*self).into())
    }

    fn read(table: &Table, label: &str) -> Result<Self, StarError> {
        table.boolean(0, label)
    }

    fn number(&self) -> f64 {
        f64::from(u8::from(*self))
    }

    fn from_number(number: f64) -> Self {
        number != 0.0
    }
}

impl Field for i64 {
    fn cell(&self) -> Option<Value> {
        Some((*self).into())
    }

    fn read(table: &Table, label: &str) -> Result<Self, StarError> {
        table.integer(0, label)
    }

    fn number(&self) -> f64 {
        *self as f64
    }

    fn from_number(number: f64) -> Self {
        number as i64
    }
}

impl Field for usize {
    fn cell(&self) -> Option<Value> {
        Some((*self).into())
    }

    fn read(table: &Table, label: &str) -> Result<Self, StarError> {
        table.integer(0, label).map(|n| n.max(0) as usize)
    }

    fn number(&self) -> f64 {
        *self as f64
    }

    fn from_number(number: f64) -> Self {
        number as usize
    }
}

impl Field for u32 {
    fn cell(&self) -> Option<Value> {
        Some(i64::from(*self).into())
    }

    fn read(table: &Table, label: &str) -> Result<Self, StarError> {
        table.integer(0, label).map(|n| n as u32)
    }

    fn number(&self) -> f64 {
        f64::from(*self)
    }

    fn from_number(number: f64) -> Self {
        number as u32
    }
}

/// None has no column, and is sent as −1.
impl Field for Option<usize> {
    fn cell(&self) -> Option<Value> {
        self.map(Value::from)
    }

    fn read(table: &Table, label: &str) -> Result<Self, StarError> {
        usize::read(table, label).map(Some)
    }

    fn number(&self) -> f64 {
        self.map_or(-1.0, |n| n as f64)
    }

    fn from_number(number: f64) -> Self {
        (number >= 0.0).then_some(number as usize)
    }
}

/// A struct made by [`declare_state`].
pub(crate) trait Declared {
    /// Returns the values before anything is known.
    fn initial() -> Self;
    /// Adds the columns of the fields to our table.
    fn push_columns(&self, table: &mut Table);
    /// Takes from our table the fields that have a column.
    ///
    /// # Errors
    /// A required column is missing, or a cell is no value of its kind.
    fn read_columns(&mut self, table: &Table) -> Result<(), StarError>;
    /// Returns all shared fields as numbers, in the order of their declaration.
    fn numbers(&self) -> Vec<f64>;
    /// Sets all shared fields from the numbers of another rank, which has as many.
    fn set_numbers(&mut self, numbers: &[f64]);
}

/// Returns the shortest text that is read back as the same number.
pub(crate) fn all_digits(value: f64) -> Value {
    Value::Text(format!("{value:?}"))
}

/// Declares a struct of the state. Ranks send each other the `shared` fields; they work out the `local` ones by themselves.
macro_rules! declare_state {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            shared { $(
                $(#[$doc:meta])*
                $field:ident: $kind:ty = $initial:expr $(, $presence:ident($label:literal))?;
            )* }
            local { $(
                $(#[$local_doc:meta])*
                $local:ident: $local_kind:ty = $local_initial:expr;
            )* }
        }
    ) => {
        $(#[$meta])*
        pub struct $name {
            $($(#[$doc])* pub $field: $kind,)*
            $($(#[$local_doc])* pub $local: $local_kind,)*
        }

        impl $crate::refinement::state::Declared for $name {
            fn initial() -> Self {
                Self {
                    $($field: $initial,)*
                    $($local: $local_initial,)*
                }
            }

            fn push_columns(&self, table: &mut $crate::formats::star::Table) {
                use $crate::refinement::state::declare::{Column, Field};
                $($(self.$field.push_cell(Column::$presence($label), table);)?)*
            }

            fn read_columns(
                &mut self,
                table: &$crate::formats::star::Table,
            ) -> Result<(), $crate::formats::star::StarError> {
                use $crate::refinement::state::declare::{Column, Field};
                $($(self.$field.read_cell(Column::$presence($label), table)?;)?)*
                Ok(())
            }

            fn numbers(&self) -> Vec<f64> {
                use $crate::refinement::state::declare::Field;
                vec![$(self.$field.number(),)*]
            }

            fn set_numbers(&mut self, numbers: &[f64]) {
                use $crate::refinement::state::declare::Field;
                let mut numbers = numbers.iter();
                $(self.$field = Field::from_number(*numbers.next().expect("a number per field"));)*
            }
        }
    };
}
pub(crate) use declare_state;

#[cfg(test)]
#[allow(unreachable_pub, reason = "what the macro declares is public")]
mod tests {
    use super::Declared;
    use crate::comm::tests::on_ranks;
    use crate::formats::star::Table;

    declare_state! {
        /// A state with a field of every kind; nothing but this declaration knows them.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Example {
            shared {
                /// A real.
                real: f64 = 0.5, Required("gerelionReal");
                /// A flag.
                flag: bool = false, Required("gerelionFlag");
                /// A signed count.
                signed: i64 = 0, Required("gerelionSigned");
                /// A seed.
                seed: u32 = 0, Required("gerelionSeed");
                /// Absent in files of earlier versions.
                later: usize = 3, Optional("gerelionLater");
                /// Absent in some runs.
                sometimes: Option<usize> = None, Optional("gerelionSometimes");
            }
            local {
                /// Every rank's own.
                own: Vec<usize> = vec![7];
            }
        }
    }

    fn changed() -> Example {
        Example {
            real: 1.0 / 3.0,
            flag: true,
            signed: -9_999_999,
            seed: u32::MAX,
            later: 0,
            sometimes: Some(0),
            own: vec![7],
        }
    }

    #[test]
    fn a_declared_field_is_written_and_read_to_the_last_digit() {
        for expected in [Example::initial(), changed()] {
            let mut table = Table::new_list("gerelion_state");
            expected.push_columns(&mut table);
            assert_eq!(table.has("gerelionSometimes"), expected.sometimes.is_some());
            let mut found = Example::initial();
            found.read_columns(&table).unwrap();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_declared_field_is_sent_to_all_ranks_and_a_local_one_is_not() {
        let found = on_ranks(3, |ranks| {
            let mut state = match ranks.rank() {
                0 => changed(),
                rank => Example {
                    own: vec![rank],
                    ..Example::initial()
                },
            };
            let mut numbers = state.numbers();
            ranks.broadcast(0, &mut numbers);
            state.set_numbers(&numbers);
            state
        });
        for (rank, state) in found.into_iter().enumerate() {
            let own = if rank == 0 { vec![7] } else { vec![rank] };
            assert_eq!(state, Example { own, ..changed() });
        }
    }

    #[test]
    fn a_missing_column_is_an_error_only_where_it_is_required() {
        let mut table = Table::new_list("gerelion_state");
        for label in ["gerelionReal", "gerelionFlag", "gerelionSigned"] {
            table.push(label, 1i64);
        }
        let error = Example::initial().read_columns(&table).unwrap_err();
        assert!(error.to_string().contains("gerelionSeed"), "{error}");
        table.push("gerelionSeed", 1i64);
        let mut found = Example::initial();
        found.read_columns(&table).unwrap();
        assert_eq!((found.later, found.sometimes), (3, None));
    }
}
