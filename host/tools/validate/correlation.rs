//! Independence of the half maps and the influence of the mask on their FSC.

use super::half_maps::Measured;
use super::inputs::Inputs;
use super::{Check, ValidateError, Verdict};
use crate::fourier::fft::forward3;
use crate::fourier::masks::low_pass;
use crate::fourier::shells::{logical, shell};
use crate::maximization::map_fsc::map_fsc;
use ndarray::Array3;
use std::ops::Range;

/// FSC that means signal (gold standard; Rosenthal & Henderson 2003).
const SIGNAL: f64 = 0.143;

/// FSC that a curve climbs to again in half maps that are not independent, or after a wrong filter.
const RISEN: f64 = 0.3;

/// Standard deviations that a correlation must exceed its expected scatter by.
const SIGNIFICANT: f64 = 4.0;

/// Correlation of solvent noise that is good, and that is bad: half-sets with that share of images in common have it.
const SOLVENT: [f64; 2] = [0.05, 0.15];

/// Power per voxel outside the mask, as a share of that within, below which the solvent is empty: a choice of this program. Noise of
/// images spreads over the whole box, and next to no map has ten times as much signal as noise in the upper half of the shells.
const EMPTY: f64 = 0.1;

/// FSC with random phases at the resolution that is good (RELION warns above it), and that is bad.
const RANDOM: [f64; 2] = [0.1, 0.3];

/// Share of the common signal outside the mask that is good, and that is bad.
const CUT: [f64; 2] = [0.1, 0.3];

/// Shells that the curve may still scatter around [`SIGNAL`] in after it first falls below.
const TRANSITION: usize = 2;

/// Checks that the FSC of the unmasked half maps does not rise again once it has fallen below [`SIGNAL`]: the highest mean
/// of three neighbouring shells after the fall, against its scatter 1/√n of n independent components. Where the pixels end
/// before that, the curve cannot tell; the correlation of the solvent can.
pub(super) fn falls_and_stays(measured: &Measured) -> Check {
    let name = "FSC falls and stays low";
    let curve = &measured.curves.unmasked;
    let fallen = (1..curve.len()).find(|s| curve[*s] < SIGNAL);
    let noise = fallen.map_or(curve.len(), |s| s + TRANSITION)..curve.len();
    if noise.len() < 3 {
        return Check::new(
            name,
            format!("{:.3} at the last shell", curve[curve.len() - 1]),
            Verdict::Unknown,
            "the pixels end before the FSC without a mask has fallen to noise",
            "Refine with smaller pixels, so that shells without signal show whether the half maps are independent.",
        );
    }
    let means = noise.clone().take(noise.len() - 2).map(|s| {
        let mean = curve[s..s + 3].iter().sum::<f64>() / 3.0;
        let count: f64 = measured.components[s..s + 3].iter().sum();
        (mean, SIGNIFICANT / count.sqrt())
    });
    let (highest, scatter) = means
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .unwrap_or((0.0, 0.0));
    Check::new(
        name,
        format!("{highest:.3} at most"),
        Verdict::of_rising(highest, SIGNAL.max(scatter), RISEN.max(scatter)),
        format!(
            "highest mean of three shells after the FSC without a mask has fallen below {SIGNAL}; independent half maps have only \
             scatter there"
        ),
        "Look for particles in both half-sets, for a shared mask with a sharp edge, and for artefacts of the box's corners.",
    )
}

/// Correlation of the half maps outside the mask in the upper half of the shells, where only noise is expected. In maps that have no
/// noise there (simulated without noise, or masked), what is left is density and cannot tell.
pub(super) fn solvent(inputs: &Inputs, measured: &Measured) -> Result<Check, ValidateError> {
    let n = inputs.n();
    let half = n as f64 / 2.0;
    let mut outside = inputs.support.mask.mapv(|v| 1.0 - v);
    let edge = 0.1 * half;
    for ((z, y, x), value) in outside.indexed_iter_mut() {
        let square = |i: usize| (i as f64 - half).powi(2);
        let r = (square(z) + square(y) + square(x)).sqrt();
        *value *= crate::tools::postprocess::edge(r, 0.9 * half - edge, 0.9 * half);
    }
    let share = outside.iter().map(|v| v * v).sum::<f64>() / outside.len() as f64;
    let [a, b] = inputs.halves.each_ref().map(|map| map * &outside);
    let curve = map_fsc(&a, &b).map_err(|e| ValidateError::of(&e))?;
    let shells = n / 4..n / 2;
    let left = power_outside(inputs, &outside, &shells);
    if left.is_nan() || left < EMPTY {
        return Ok(Check::new(
            "half maps are independent",
            format!("{:.1} % of the power per voxel", 100.0 * left),
            Verdict::Unknown,
            "the half maps hold next to nothing outside the mask, compared with what they hold within, so nothing there shows whether they \
             share noise",
            "Give the unfiltered half maps as they were reconstructed, without a mask; maps of images without noise cannot tell.",
        ));
    }
    let weight: f64 = measured.components[shells.clone()].iter().sum();
    let mean = shells
        .filter(|s| curve[*s].is_finite())
        .map(|s| curve[s] * measured.components[s])
        .sum::<f64>()
        / weight;
    // Copies of the same noise by the point group leave fewer independent components.
    let independent = weight * share / inputs.symmetry.order() as f64;
    let scatter = SIGNIFICANT / independent.max(1.0).sqrt();
    Ok(Check::new(
        "half maps are independent",
        format!("{mean:.3} in the solvent"),
        Verdict::of_rising(mean, SOLVENT[0].max(scatter), SOLVENT[1].max(scatter)),
        format!(
            "correlation of the half maps outside the mask, upper half of the shells (expected: 0 within {scatter:.3}); noise \
             correlates where half-sets share images or a reference"
        ),
        "Remove copies of particles, keep neighbouring picks in one half-set, and refine again from a reference low-passed to 40 Å or \
         lower.",
    ))
}

/// Power per voxel of the first half map in `shells` outside the mask, as a share of that within.
fn power_outside(inputs: &Inputs, outside: &Array3<f64>, shells: &Range<usize>) -> f64 {
    let of = |mask: &Array3<f64>| {
        let transform = forward3(&(&inputs.halves[0] * mask));
        let n = mask.dim().0;
        let power = transform.indexed_iter().map(|((z, y, x), v)| {
            let r2 = logical(z, n).pow(2) + logical(y, n).pow(2) + (x * x) as i64;
            match shells.contains(&shell(r2)) {
                true => v.norm_sqr() * if x == 0 { 1.0 } else { 2.0 },
                false => 0.0,
            }
        });
        power.sum::<f64>() / mask.iter().map(|m| m * m).sum::<f64>()
    };
    of(outside) / of(&inputs.support.mask)
}

/// FSC that is left at the resolution when phases are random: what the mask alone explains (Chen et al. 2013).
pub(super) fn random_phases(measured: &Measured) -> Check {
    let at = measured.shell.min(measured.randomised.len() - 1);
    let value = match measured.curves.randomised_from {
        Some(from) if at >= from + 2 => measured.randomised[at],
        _ => {
            return Check::new(
                "phase-randomised FSC",
                "–",
                Verdict::Unknown,
                "the resolution lies before the shells whose phases are randomised",
                "",
            );
        }
    };
    Check::new(
        "phase-randomised FSC",
        format!("{value:.3} at {:.2} Å", measured.resolution),
        Verdict::of_rising(value, RANDOM[0], RANDOM[1]),
        "correlation that the mask alone makes at the resolution (Chen et al. 2013); the resolution is corrected for it",
        "Give the mask a wider soft edge, or make it from a map filtered to 15 Å, and state the corrected resolution.",
    )
}

/// Share of what both half maps have in common, up to the resolution, that the mask takes away.
pub(super) fn mask_tightness(inputs: &Inputs, measured: &Measured) -> Check {
    let limit = measured.resolution.max(3.0 * inputs.pixel_size);
    let [a, b] = inputs
        .halves
        .each_ref()
        .map(|map| low_pass(map, inputs.pixel_size, limit));
    let mut sums = [0.0; 2];
    for ((a, b), m) in a.iter().zip(&b).zip(&inputs.support.mask) {
        sums[0] += a * b;
        sums[1] += a * b * (1.0 - m * m);
    }
    let cut = match sums[0] > 0.0 {
        // Noise outside the mask may correlate negatively.
        true => (sums[1] / sums[0]).max(0.0),
        false => 1.0,
    };
    let origin = match &inputs.support.file {
        Some(path) => format!("the mask {}", path.display()),
        None => "a mask made from the map".into(),
    };
    Check::new(
        "mask keeps the structure",
        format!("{:.1} % cut", 100.0 * cut),
        Verdict::of_rising(cut, CUT[0], CUT[1]),
        format!(
            "share of the density common to both half maps outside {origin}, which takes {:.1} % of the box",
            100.0 * inputs.support.fraction()
        ),
        "Lower the threshold of the mask or extend it: what it cuts is neither measured nor sharpened.",
    )
}
