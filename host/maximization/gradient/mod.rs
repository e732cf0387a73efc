//! Gradient-driven refinement, "VDAM" (Kimanius et al. 2021; spec 05): schedules, moments of the gradient, damped steps,
//! replacement of classes, centring.
//!
//! Order of use in an iteration: [`schedule::Schedule`] tells what kind of iteration it is; after the expectation step the
//! residual sums of both pseudo-halves of every class are symmetrised and taken by [`moments::advance`]; then
//! [`replacement::choose`] and [`replacement::replace`]; then [`step::step`] for every class but the one replaced.

pub mod centring;
pub mod moments;
pub mod replacement;
pub mod schedule;
pub mod step;

use self::moments::Direction;
use self::step::StepRule;
use super::spectra::Statistics;
use super::{MapSource, MaximizationError, MaximizationOptions, ReferenceSpectra, volumes};
use crate::fourier::sums::Sums;
use crate::geometry::Matrix3;
use crate::model::{ClassModel, Moments};

/// Direction and statistics of a class from the sums of a gradient iteration, before its step.
pub struct Advanced {
    /// Where the moments point.
    pub direction: Direction,
    /// Spectra from the weights of pseudo-half 1.
    spectra: ReferenceSpectra,
}

/// Takes the sums of both pseudo-halves into the moments of a class; `operators` without the identity. None for a class that
/// takes no part: without particles, or without weight in pseudo-half 1.
pub fn advance_class(
    class: &mut ClassModel,
    halves: [Sums; 2],
    operators: &[Matrix3],
    average_ctf2: Option<&[f64]>,
    options: &MaximizationOptions,
) -> Result<Option<Advanced>, MaximizationError> {
    if class.fraction <= 0.0 {
        return Ok(None);
    }
    let [mut first, mut second] = halves;
    for sums in [&mut first, &mut second] {
        sums.move_to_host()?;
        volumes::symmetrise(sums, operators)?;
    }
    let weights = volumes::weights(&first)?;
    if MapSource::new(class.fraction, &weights, first.shape()) != MapSource::Sums {
        return Ok(None);
    }
    let ratios = volumes::ratios(&first, &class.tau2, options.tau2_fudge)?;
    let statistics = Statistics { weights, ratios };
    let spectra = ReferenceSpectra::new(&statistics, first.r_max(), average_ctf2, options)?;
    let shape = *first.shape();
    let moments = class.moments.get_or_insert_with(|| Moments::new(shape));
    let direction = moments::advance(moments, [first.into_host()?, second.into_host()?]);
    Ok(Some(Advanced { direction, spectra }))
}

impl Advanced {
    /// Takes the step, and the spectra.
    pub fn step(self, class: &mut ClassModel, rule: &StepRule) {
        self.spectra.store(class);
        class.map = step::step(&class.map, &self.direction, rule).into();
    }
}
