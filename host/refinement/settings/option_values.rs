//! Readers of option values. That a number is possible is known by then, from the range in its row of the option table.

use crate::options::{CommandLine, OptionsError};
use std::path::PathBuf;

/// Returns whether a flag is on.
pub(crate) fn flag(line: &CommandLine, option: &'static str) -> Result<bool, OptionsError> {
    Ok(line.flag(option))
}

/// Returns the name of a file; None where none is given.
pub(crate) fn file(
    line: &CommandLine,
    option: &'static str,
) -> Result<Option<PathBuf>, OptionsError> {
    Ok(line.name_given(option).map(PathBuf::from))
}

/// Returns a text.
pub(crate) fn text(line: &CommandLine, option: &'static str) -> Result<String, OptionsError> {
    Ok(line.text(option).to_owned())
}

/// Returns a number.
pub(crate) fn real(line: &CommandLine, option: &'static str) -> Result<f64, OptionsError> {
    Ok(line.real(option))
}

/// Returns a number that has no default of its own; None where it is not given.
pub(crate) fn real_if_given(
    line: &CommandLine,
    option: &'static str,
) -> Result<Option<f64>, OptionsError> {
    Ok(line.was_given(option).then(|| line.real(option)))
}

/// Returns a number above 0; None for any other, which is off or stands for the default.
pub(crate) fn positive(
    line: &CommandLine,
    option: &'static str,
) -> Result<Option<f64>, OptionsError> {
    Ok(line.positive(option))
}

/// Returns a whole number that is not negative.
pub(crate) fn count(line: &CommandLine, option: &'static str) -> Result<usize, OptionsError> {
    Ok(line.count(option))
}

/// Returns the same; None for −1, which is off or stands for the default.
pub(crate) fn optional_count(
    line: &CommandLine,
    option: &'static str,
) -> Result<Option<usize>, OptionsError> {
    Ok(line.optional_count(option))
}

/// Returns the order or level of a grid.
pub(crate) fn order(line: &CommandLine, option: &'static str) -> Result<u32, OptionsError> {
    Ok(line.count(option) as u32)
}

/// Returns the devices of `--gpu`: an empty text for any, also with `--mode 1`; None for the CPU.
pub(crate) fn gpu(
    line: &CommandLine,
    option: &'static str,
) -> Result<Option<String>, OptionsError> {
    // RELION's own word for a bare --gpu is "default".
    Ok(match (line.was_given(option), line.integer("--mode")) {
        (true, _) => Some(line.text(option).to_owned()).map(|map| match map.as_str() {
            "default" => String::new(),
            _ => map,
        }),
        (false, 1) => Some(String::new()),
        (false, _) => None,
    })
}
