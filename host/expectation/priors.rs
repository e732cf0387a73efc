//! Prior probabilities of orientations and offsets, relative to their mean over what a particle is compared with
//! (spec 01 §4.5, §6.1). Cross-correlations know no priors: there all are 1.

use super::orientations::OrientationList;
use super::start::ParticleStart;
use super::{Criterion, IterationInput};
use crate::fourier::shape::Dimensions;
use gpu::offset::log_prior;

/// σ_o² (Å²) below which offsets have no prior.
pub const NO_OFFSET_PRIOR: f64 = 0.0001;

/// Returns ⟨p_o⟩ over the orientations of all `lists`, those of prior 0 included.
pub(super) fn mean_prior<'a>(lists: impl IntoIterator<Item = &'a OrientationList>) -> f64 {
    let (sum, count) = lists.into_iter().fold((0.0, 0), |(sum, count), list| {
        (sum + list.total.0, count + list.total.1)
    });
    if count > 0 { sum / count as f64 } else { 1.0 }
}

/// Returns ln(p/⟨p_o⟩) of every orientation of `list`, for the mean ⟨p_o⟩ of all classes that the particle visits.
pub(super) fn relative_log_priors(
    input: &IterationInput,
    list: &OrientationList,
    mean: f64,
) -> Vec<f64> {
    match input.criterion {
        Criterion::Likelihood => list.prior.iter().map(|p| (p / mean).ln()).collect(),
        Criterion::CrossCorrelation => vec![0.0; list.prior.len()],
    }
}

/// Returns where the offset prior of a class has its centre, pixels: for maps that of the particle, for class averages the
/// mean offset µ_k of the class, whose Å RELION takes for pixels (spec 04 §4).
pub(super) fn offset_centre(
    input: &IterationInput,
    start: &ParticleStart,
    class: usize,
) -> [f64; 2] {
    match input.model.dimensions() {
        Dimensions::Two => input.model.classes[class].offset_prior,
        Dimensions::Three => start.offset_prior,
    }
}

/// Returns a²/(2σ_o²), by which squared distances of offsets from their prior are multiplied, for images of `pixel_size` Å; 0
/// where offsets have no prior.
pub(super) fn offset_factor(input: &IterationInput, pixel_size: f64) -> f64 {
    let sigma2 = input.model.sigma2_offset;
    match sigma2 < NO_OFFSET_PRIOR {
        true => 0.0,
        false => pixel_size * pixel_size / (2.0 * sigma2),
    }
}

/// ln of the priors of the coarse shifts of one particle, relative to their mean over all classes that it visits.
pub(super) struct OffsetLogPriors {
    /// One list for all classes, or one for each that is visited.
    lists: Vec<Vec<f64>>,
}

impl OffsetLogPriors {
    /// Returns the priors of all shifts for the class at `place` of those visited.
    pub(super) fn of(&self, place: usize) -> &[f64] {
        &self.lists[place.min(self.lists.len() - 1)]
    }

    /// Returns how many lists there are: one, or one for each class that is visited.
    pub(super) fn lists(&self) -> usize {
        self.lists.len()
    }

    /// Returns the priors of all lists, one after the other.
    pub(super) fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.lists.iter().flatten().copied()
    }
}

/// Returns the priors of the coarse shifts for a particle that visits `classes` (at least one), for images of `pixel_size` Å.
pub(super) fn relative_offset_log_priors(
    input: &IterationInput,
    start: &ParticleStart,
    classes: &[usize],
    pixel_size: f64,
) -> OffsetLogPriors {
    // The centre of maps is that of the particle, whatever the class.
    let different = match input.model.dimensions() {
        Dimensions::Two => classes,
        Dimensions::Three => &classes[..1],
    };
    let mut lists: Vec<Vec<f64>> = different
        .iter()
        .map(|&k| offset_log_priors(input, start, offset_centre(input, start, k), pixel_size))
        .collect();
    if input.criterion == Criterion::CrossCorrelation {
        lists.iter_mut().for_each(|logs| logs.fill(0.0));
        return OffsetLogPriors { lists };
    }
    // Exponentials are taken relative to the largest: all shifts may be far outside the prior.
    let all = || lists.iter().flatten().copied();
    let largest = all().fold(f64::NEG_INFINITY, f64::max);
    let mean = all().map(|e| (e - largest).exp()).sum::<f64>() / all().count() as f64;
    let base = largest + mean.ln();
    lists.iter_mut().flatten().for_each(|e| *e -= base);
    OffsetLogPriors { lists }
}

/// Returns E(t) of every coarse translation: the logarithm of the unnormalised offset prior around `centre`. RELION takes t
/// in Å while the old offset and the prior centre are in pixels; the same is done here, since it decides weights
/// (spec 01 §4.5, docs/differences.md).
fn offset_log_priors(
    input: &IterationInput,
    start: &ParticleStart,
    centre: [f64; 2],
    pixel_size: f64,
) -> Vec<f64> {
    let factor = offset_factor(input, pixel_size);
    let exponent = |t: [f64; 2]| log_prior(start.old_offset, t, centre, factor);
    if input.options.skip_align {
        vec![exponent([0.0, 0.0])]
    } else {
        let shifts = input.sampling.translations.iter();
        shifts.map(|&t| exponent(t)).collect()
    }
}
