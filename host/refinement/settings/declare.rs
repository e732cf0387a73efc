//! A field of the settings is declared once, with its option and how its words are read; what `--continue` does with it is
//! the rule of the option's row.

/// Declares a group of settings. `options`: each field with the option of the table that it holds and the function of line and
/// option that reads it. `others`: fields that several options make, or that are continued by rules of their own. `groups`:
/// groups within the group. Makes the struct, `from_values` and `apply_given`.
macro_rules! option_group {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            options { $($(#[$doc:meta])* $option:literal $field:ident: $kind:ty = $read:expr;)* }
            others { $($(#[$other_doc:meta])* $other:ident: $other_kind:ty = $other_read:expr;)* }
            groups { $($(#[$group_doc:meta])* $group:ident: $group_kind:ty;)* }
        }
    ) => {
        $(#[$meta])*
        pub struct $name {
            $(
                #[doc = concat!("`", $option, "`.")]
                $(#[$doc])*
                pub $field: $kind,
            )*
            $($(#[$other_doc])* pub $other: $other_kind,)*
            $($(#[$group_doc])* pub $group: $group_kind,)*
        }

        impl $name {
            /// Returns every option in its working form, each value checked by itself.
            ///
            /// # Errors
            /// A value is not possible.
            pub(crate) fn from_values(
                line: &$crate::options::CommandLine,
            ) -> Result<Self, $crate::options::OptionsError> {
                use $crate::options::{CommandLine, OptionsError};
                Ok(Self {
                    $($field: {
                        let read: fn(&CommandLine, &'static str) -> Result<$kind, OptionsError> = $read;
                        read(line, $option)?
                    },)*
                    $($other: {
                        let read: fn(&CommandLine) -> Result<$other_kind, OptionsError> = $other_read;
                        read(line)?
                    },)*
                    $($group: <$group_kind>::from_values(line)?,)*
                })
            }

            /// Takes the values of `given` over by the rules of their options on `--continue`.
            pub(super) fn apply_given(
                &mut self,
                given: &Self,
                changes: &mut $crate::refinement::settings::continuation::Changes,
            ) {
                $(changes.apply($option, &mut self.$field, &given.$field);)*
                $(self.$group.apply_given(&given.$group, changes);)*
            }
        }
    };
}
pub(super) use option_group;

#[cfg(test)]
#[allow(unreachable_pub, reason = "what the macro declares is public")]
mod tests {
    use crate::options::CommandLine;
    use crate::refinement::settings::continuation::Changes;
    use crate::refinement::settings::option_values::{count, flag};

    option_group! {
        /// Rows of the option table whose values go into fields that nothing but this declaration knows.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Dummy {
            options {
                "--pool" from_the_line: usize = count;
                "--auto_local_healpix_order" if_given: usize = count;
                "--zero_mask" of_the_file: bool = flag;
            }
            others {}
            groups {}
        }
    }

    fn line(text: &str) -> CommandLine {
        CommandLine::parse(text.split_whitespace().map(String::from)).unwrap()
    }

    fn dummy(text: &str) -> Dummy {
        Dummy::from_values(&line(text)).unwrap()
    }

    #[test]
    fn a_declared_option_has_the_default_of_its_row() {
        let row = |name| crate::options::table::find(name).unwrap().default;
        let found = dummy("");
        assert_eq!(found.from_the_line.to_string(), row("--pool"));
        assert_eq!(
            found.if_given.to_string(),
            row("--auto_local_healpix_order")
        );
        assert!(!found.of_the_file);
        let given = dummy("--pool 7 --auto_local_healpix_order 3 --zero_mask");
        assert_eq!(
            (given.from_the_line, given.if_given, given.of_the_file),
            (7, 3, true)
        );
    }

    #[test]
    fn a_declared_option_is_continued_by_the_rule_of_its_row() {
        let continued = |text: &str| {
            let mut kept = dummy("--pool 7 --auto_local_healpix_order 3");
            let line = line(text);
            let given = Dummy::from_values(&line).unwrap();
            kept.apply_given(&given, &mut Changes::on(&line, false));
            (kept.from_the_line, kept.if_given, kept.of_the_file)
        };
        assert_eq!(continued(""), (1, 3, false));
        assert_eq!(
            continued("--pool 2 --auto_local_healpix_order 9 --zero_mask"),
            (2, 9, false)
        );
    }
}
