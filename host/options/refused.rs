//! Options of tools that are refused by name.

use crate::errors::{Code, Failure};

/// Refuses the first of the options (name, given, why or what to do) that was given.
///
/// # Errors
/// One was given.
pub fn refuse(options: &[(&str, bool, &str)]) -> Result<(), Failure> {
    match options.iter().find(|(_, given, _)| *given) {
        None => Ok(()),
        Some((name, _, why)) => Err(Code::UNSUPPORTED_OPTION
            .says(format!("{name} is not supported: {why}"))
            .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_was_given_is_named() {
        let options = |given: [bool; 2]| {
            refuse(&[
                ("--one", given[0], "leave it out"),
                ("--two", given[1], "give --three"),
            ])
        };
        assert_eq!(options([false, false]), Ok(()));
        let Failure(message) = options([false, true]).unwrap_err();
        assert_eq!(
            message.line(),
            "GR-0104: --two is not supported: give --three"
        );
    }
}
