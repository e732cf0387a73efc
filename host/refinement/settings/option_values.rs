//! Values of options, each checked by itself.

use crate::options::{CommandLine, OptionsError};
use std::path::PathBuf;

/// Finest in-plane step, degrees: it moves the edge of a box of 5000 pixels by less than one.
const FINEST_PSI_STEP: f64 = 0.02;

/// Returns `--particle_diameter`; None where it follows from the box.
pub(crate) fn particle_diameter(line: &CommandLine) -> Result<Option<f64>, OptionsError> {
    match line.real("--particle_diameter") {
        0.0 => Err(refuse(
            line,
            "--particle_diameter",
            "a mask of no size leaves nothing of the particles; give the longest dimension of the particle in Å plus some margin",
        )),
        _ => Ok(line.positive("--particle_diameter")),
    }
}

/// Returns `--psi_step`; None where it follows from the order of the directions.
pub(crate) fn psi_step(line: &CommandLine) -> Result<Option<f64>, OptionsError> {
    match positive_or_default(
        line,
        "--psi_step",
        "it is in degrees, above 0 (-1: by the order of the directions)",
    )? {
        Some(step) if step < FINEST_PSI_STEP => Err(refuse(
            line,
            "--psi_step",
            "in-plane angles less than 0.02° apart look the same in every image; give at least 0.02",
        )),
        Some(step) if step > 360.0 => {
            Err(refuse(line, "--psi_step", "a full turn has 360 degrees"))
        }
        step => Ok(step),
    }
}

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

/// Returns any number.
pub(crate) fn real(line: &CommandLine, option: &'static str) -> Result<f64, OptionsError> {
    Ok(line.real(option))
}

/// Returns a number above 0; None for any other.
pub(crate) fn positive(
    line: &CommandLine,
    option: &'static str,
) -> Result<Option<f64>, OptionsError> {
    Ok(line.positive(option))
}

/// Returns the devices of `--gpu`: an empty text for any, also with `--mode 1`; None for the CPU.
pub(crate) fn gpu(
    line: &CommandLine,
    option: &'static str,
) -> Result<Option<String>, OptionsError> {
    let mode = match line.integer("--mode") {
        mode @ (0 | 1) => mode,
        _ => return Err(refuse(line, "--mode", "0 is the CPU, 1 the GPU")),
    };
    // RELION's own word for a bare --gpu is "default".
    Ok(match (line.was_given(option), mode) {
        (true, _) => Some(line.text(option).to_owned()).map(|map| match map.as_str() {
            "default" => String::new(),
            _ => map,
        }),
        (false, 1) => Some(String::new()),
        (false, _) => None,
    })
}

/// Returns `--adaptive_fraction`.
pub(crate) fn adaptive_fraction(line: &CommandLine) -> Result<f64, OptionsError> {
    let fraction = above_zero(line, "--adaptive_fraction")?;
    match fraction <= 1.0 {
        true => Ok(fraction),
        false => Err(refuse(
            line,
            "--adaptive_fraction",
            "it is a fraction, at most 1",
        )),
    }
}

/// Says that a value is not possible, and why.
pub(crate) fn refuse(
    line: &CommandLine,
    option: &'static str,
    reason: &'static str,
) -> OptionsError {
    OptionsError::OutOfRange {
        option,
        value: line.text(option).to_owned(),
        reason,
    }
}

/// A whole number of at least `least` (0 or 1).
pub(crate) fn count(
    line: &CommandLine,
    option: &'static str,
    least: usize,
) -> Result<usize, OptionsError> {
    usize::try_from(line.integer(option))
        .ok()
        .filter(|value| *value >= least)
        .ok_or_else(|| {
            let reason = match least {
                0 => "it cannot be negative",
                _ => "it must be at least 1",
            };
            refuse(line, option, reason)
        })
}

/// Returns a number above 0; None for −1, which stands for the default.
pub(crate) fn positive_or_default(
    line: &CommandLine,
    option: &'static str,
    reason: &'static str,
) -> Result<Option<f64>, OptionsError> {
    match line.real(option) {
        -1.0 => Ok(None),
        value if value > 0.0 => Ok(Some(value)),
        _ => Err(refuse(line, option, reason)),
    }
}

/// A whole number of at least 1; None for RELION's −1, which is off or stands for the default.
pub(crate) fn optional_count(
    line: &CommandLine,
    option: &'static str,
) -> Result<Option<usize>, OptionsError> {
    match line.integer(option) {
        -1 => Ok(None),
        1.. => count(line, option, 1).map(Some),
        _ => Err(refuse(
            line,
            option,
            "it must be at least 1 (-1: off, or the default)",
        )),
    }
}

/// Returns a whole number in a range.
pub(crate) fn small(
    line: &CommandLine,
    option: &'static str,
    range: std::ops::RangeInclusive<u32>,
    reason: &'static str,
) -> Result<u32, OptionsError> {
    u32::try_from(line.integer(option))
        .ok()
        .filter(|value| range.contains(value))
        .ok_or_else(|| refuse(line, option, reason))
}

/// Returns a number in a range.
pub(crate) fn between(
    line: &CommandLine,
    option: &'static str,
    low: f64,
    high: f64,
    reason: &'static str,
) -> Result<f64, OptionsError> {
    Some(line.real(option))
        .filter(|value| (low..=high).contains(value))
        .ok_or_else(|| refuse(line, option, reason))
}

/// Returns a number above 0.
pub(crate) fn above_zero(line: &CommandLine, option: &'static str) -> Result<f64, OptionsError> {
    line.positive(option)
        .ok_or_else(|| refuse(line, option, "it must be above 0"))
}

/// Returns a share in per cent, from 0 to below 100.
pub(crate) fn below_hundred(line: &CommandLine, option: &'static str) -> Result<f64, OptionsError> {
    Some(not_negative(line, option)?)
        .filter(|value| *value < 100.0)
        .ok_or_else(|| refuse(line, option, "it is a share in per cent, below 100"))
}

/// Returns a number of at least 0.
pub(crate) fn not_negative(line: &CommandLine, option: &'static str) -> Result<f64, OptionsError> {
    Some(line.real(option))
        .filter(|value| *value >= 0.0)
        .ok_or_else(|| refuse(line, option, "it cannot be negative"))
}
