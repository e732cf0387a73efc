//! Checks of a finished refinement before its map is deposited, from the files that it left: half maps, particles, options.
//!
//! Every check gives a figure, a verdict, the reason for the verdict and what to do about it. Bounds of verdicts are
//! constants beside the checks; those that no paper gives are choices of this program and say so.

mod cones;
mod correlation;
mod coverage;
mod half_maps;
mod inputs;
mod local;
mod particles;
mod support;
mod table;
#[cfg(test)]
mod tests;

pub use table::{read_table, table_path};

use crate::errors::{Code, Coded, Message};
use std::fmt;
use std::path::PathBuf;

/// Error of a validation: on which file, why, what to try.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ValidateError(#[from] Message);

impl ValidateError {
    /// Wraps an error that has a code.
    fn of(error: &(impl Coded + ?Sized)) -> Self {
        Self(Message::of(error))
    }
}

impl Coded for ValidateError {
    fn code(&self) -> Code {
        self.0.code
    }
}

/// Options of `gerelion validate`.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidateSettings {
    /// Output root of the refinement (its `--o`).
    pub prefix: String,
    /// Mask; by default that of the refinement where it is found, else one made from the map.
    pub mask: Option<PathBuf>,
}

/// Outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The files cannot tell.
    Unknown,
    /// Nothing to do.
    Good,
    /// A person should look at it.
    Look,
    /// The map should not be deposited like this.
    Bad,
}

impl Verdict {
    /// All verdicts.
    pub const ALL: [Self; 4] = [Self::Unknown, Self::Good, Self::Look, Self::Bad];

    /// Returns the word of the verdict.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Good => "good",
            Self::Look => "look",
            Self::Bad => "bad",
        }
    }

    /// Judges a figure that is worse the larger it is: good up to the first bound, bad above the second.
    fn of_rising(value: f64, good: f64, bad: f64) -> Self {
        match value {
            v if v <= good => Self::Good,
            v if v <= bad => Self::Look,
            _ => Self::Bad,
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// Name of the check.
    pub name: String,
    /// The figure, with its unit.
    pub figure: String,
    /// Outcome.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// Advice; empty where there is nothing to do.
    pub advice: String,
}

impl Check {
    /// Returns a check; the advice is left out where the verdict is good.
    fn new(
        name: &str,
        figure: impl Into<String>,
        verdict: Verdict,
        reason: impl Into<String>,
        advice: &str,
    ) -> Self {
        let advice = match verdict {
            Verdict::Good => "",
            _ => advice,
        };
        Self {
            name: name.into(),
            figure: figure.into(),
            verdict,
            reason: reason.into(),
            advice: advice.into(),
        }
    }
}

/// All checks of a refinement.
#[derive(Debug, Clone, PartialEq)]
pub struct Validation {
    /// In the order of the table.
    pub checks: Vec<Check>,
    /// For the user.
    pub warnings: Vec<String>,
}

impl Validation {
    /// Returns whether a check found something bad.
    pub fn has_bad(&self) -> bool {
        self.checks.iter().any(|c| c.verdict == Verdict::Bad)
    }
}

impl fmt::Display for Validation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        table::print(f, &self.checks)
    }
}

/// Checks the refinement and writes `PREFIX_validation.star`, which `gerelion report` shows.
///
/// # Errors
/// The half maps are missing, a file cannot be read, maps do not fit each other, the table cannot be written.
pub fn run(settings: &ValidateSettings) -> Result<Validation, ValidateError> {
    let inputs = inputs::Inputs::read(settings)?;
    let mut found = check(&inputs)?;
    found.warnings.splice(0..0, inputs.warnings.iter().cloned());
    table::write(&settings.prefix, &found.checks)?;
    Ok(found)
}

/// Runs all checks on what was read.
fn check(inputs: &inputs::Inputs) -> Result<Validation, ValidateError> {
    let measured = half_maps::measure(inputs)?;
    let mut checks = vec![
        correlation::falls_and_stays(&measured),
        correlation::solvent(inputs, &measured)?,
        correlation::random_phases(&measured),
        correlation::mask_tightness(inputs, &measured),
        coverage::check(inputs),
        cones::check(inputs, &measured),
        local::check(inputs, &measured)?,
    ];
    checks.extend(particles::pixel_size(inputs, &measured));
    checks.extend(particles::copies(inputs));
    checks.push(particles::hand());
    Ok(Validation {
        checks,
        warnings: measured.warnings,
    })
}
