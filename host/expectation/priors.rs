//! Prior probabilities of orientations and offsets, relative to their mean over what a particle is compared with
//! (spec 01 §4.5, §6.1). Cross-correlations know no priors: there all are 1.

use super::orientations::OrientationList;
use super::start::ParticleStart;
use super::{Criterion, IterationInput};

/// σ_o² (Å²) below which offsets have no prior.
const NO_OFFSET_PRIOR: f64 = 0.0001;

/// Returns ⟨p_o⟩ over the orientations of all `lists`, those of prior 0 included.
pub fn mean_prior<'a>(lists: impl IntoIterator<Item = &'a OrientationList>) -> f64 {
    let (sum, count) = lists.into_iter().fold((0.0, 0), |(sum, count), list| {
        (sum + list.total.0, count + list.total.1)
    });
    if count > 0 { sum / count as f64 } else { 1.0 }
}

/// Returns ln(p/⟨p_o⟩) of every orientation of `list`, for the mean ⟨p_o⟩ of all classes that the particle visits.
pub fn relative_log_priors(input: &IterationInput, list: &OrientationList, mean: f64) -> Vec<f64> {
    match input.criterion {
        Criterion::Likelihood => list.prior.iter().map(|p| (p / mean).ln()).collect(),
        Criterion::CrossCorrelation => vec![0.0; list.prior.len()],
    }
}

/// Returns ln of the prior of every coarse shift relative to the mean of all, for images of `pixel_size` Å.
pub fn relative_offset_log_priors(
    input: &IterationInput,
    start: &ParticleStart,
    pixel_size: f64,
) -> Vec<f64> {
    let mut logs = offset_log_priors(input, start, pixel_size);
    if input.criterion == Criterion::CrossCorrelation {
        logs.fill(0.0);
        return logs;
    }
    let mean = logs.iter().map(|e| e.exp()).sum::<f64>() / logs.len() as f64;
    let base = if mean > 0.0 {
        mean.ln()
    } else {
        // Every shift is far outside the prior: only differences between shifts matter.
        logs.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    };
    logs.iter_mut().for_each(|e| *e -= base);
    logs
}

/// Returns E(t) of every coarse translation: the logarithm of the unnormalised offset prior. RELION takes t in Å while the
/// old offset and the prior centre are in pixels; the same is done here, since it decides weights
/// (spec 01 §4.5, docs/differences.md).
fn offset_log_priors(input: &IterationInput, start: &ParticleStart, pixel_size: f64) -> Vec<f64> {
    let sigma2 = input.model.sigma2_offset;
    let exponent = |t: [f64; 2]| -> f64 {
        let dx = start.old_offset[0] + t[0] - start.offset_prior[0];
        let dy = start.old_offset[1] + t[1] - start.offset_prior[1];
        if sigma2 < NO_OFFSET_PRIOR {
            0.0
        } else {
            -(dx * dx + dy * dy) * pixel_size * pixel_size / (2.0 * sigma2)
        }
    };
    if input.options.skip_align {
        vec![exponent([0.0, 0.0])]
    } else {
        let shifts = input.sampling.translations.iter();
        shifts.map(|&t| exponent(t)).collect()
    }
}
