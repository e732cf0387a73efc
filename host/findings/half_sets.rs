//! Half maps that share more than the particle.

use super::{Finding, Kind};
use crate::dataset::copies::Shared;

/// FSC that means signal (gold standard).
pub const GOLD_STANDARD: f64 = 0.143;
/// FSC that a curve must not climb to again once it has fallen below [`GOLD_STANDARD`].
const RISEN_AGAIN: f64 = 0.3;
/// Share of the shells, from the outermost, in which the FSC of independent half-sets should fall.
const OUTER: f64 = 0.25;
/// Fall of the FSC over these shells that is no fall.
const FLAT: f64 = 0.1;

/// Returns the last value of a curve whose last three are all above [`GOLD_STANDARD`].
pub fn does_not_fall(curve: &[f64]) -> Option<f64> {
    let end = &curve[curve.len().saturating_sub(3)..];
    let last = *end.last()?;
    end.iter().all(|v| *v > GOLD_STANDARD).then_some(last)
}

/// Returns shell and value of the highest point above [`RISEN_AGAIN`] that a curve climbs to after it has fallen below
/// [`GOLD_STANDARD`].
pub fn rises_again(curve: &[f64]) -> Option<(usize, f64)> {
    let fallen = curve.iter().position(|value| *value < GOLD_STANDARD)?;
    let highest = (fallen..curve.len()).max_by(|a, b| curve[*a].total_cmp(&curve[*b]))?;
    (curve[highest] > RISEN_AGAIN && highest > 0).then(|| (highest, curve[highest]))
}

/// Judges the FSC between half maps (per shell, from 0): one that stays level up to the last shell is that of shared noise.
pub fn alike(curve: &[f64]) -> Option<Finding> {
    let end = does_not_fall(curve)?;
    let outer = &curve[curve.len() - (curve.len() as f64 * OUTER).ceil() as usize..];
    let (lowest, highest) = outer.iter().fold((f64::MAX, f64::MIN), |(low, high), v| {
        (low.min(*v), high.max(*v))
    });
    (highest - lowest < FLAT).then(|| {
        Finding::new(
            Kind::HalfSetsAlike,
            format!(
                "the half-sets are alike: their FSC stays level, between {lowest:.2} and {highest:.2}, over the outer quarter of the \
                 shells and ends at {end:.2}, while that of independent halves falls to 0. Noise that both share correlates at all \
                 frequencies. Look for particles that were extracted twice, or for halves that were not refined apart; where the \
                 pixels are very coarse for the particle, smaller ones would show the fall."
            ),
        )
    })
}

/// Judges images that are in both half-sets of `particles` particles.
pub fn shared(shared: Shared, particles: usize) -> Finding {
    Finding::new(
        Kind::HalfSetsAlike,
        format!(
            "{} of {particles} particles have an image that is in both half-sets. The half maps share the noise of these images, so \
             the FSC is too high and the resolution is overestimated: maps of noise alone would have an FSC of {:.2} instead of 0. \
             Remove the copies and refine again.",
            shared.particles, shared.correlation
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_end_is_that_of_shared_noise() {
        let falls: Vec<f64> = (0..40)
            .map(|s| 1.0 / (1.0 + (f64::from(s) / 20.0).powi(6)))
            .collect();
        assert_eq!(alike(&falls), None);
        let limited: Vec<f64> = (0..40).map(|s| 1.0 - 0.015 * f64::from(s)).collect();
        assert!(does_not_fall(&limited).is_some());
        assert_eq!(
            alike(&limited),
            None,
            "the pixels end before the curve has fallen"
        );
        let shared: Vec<f64> = falls.iter().map(|v| 0.4 + 0.6 * v).collect();
        let mut level = shared.clone();
        level.truncate(40);
        level[30..].fill(0.42);
        assert!(alike(&level).unwrap().text.contains("ends at 0.42"));
        assert!(alike(&[1.0; 20]).is_some());
        assert_eq!(alike(&[]), None);
    }
}
