//! Values that are written for a particle: the pose of its best sample, likelihood and probability (spec 01 §6.4, §7.6).

use super::layout::GroupLayout;
use super::orientations::Search;
use super::start::ParticleStart;
use super::{BatchItem, IterationInput, ParticleOutcome};

/// The fine sample with the largest weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BestSample {
    /// 0-based class.
    pub class: usize,
    /// Coarse orientation it descends from: direction · n_psi + psi.
    pub orientation: usize,
    /// Which child of that orientation.
    pub child: usize,
    /// Index among the fine shifts of the optics group.
    pub shift: usize,
}

/// Statistics of the weights of all samples of a particle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Evidence {
    /// Contribution to the log-likelihood.
    pub log_likelihood: f64,
    /// Largest weight over the sum of all.
    pub max_probability: f64,
    /// Significant coarse samples.
    pub significant_samples: usize,
}

impl Evidence {
    /// Makes the log-likelihood of `log_sum` = ln Σ W, for weights W without what depends on the image alone: ½Σ|F|² of the
    /// shells above the n_g box (`high_power` = Σ|F|²) and ½ΣV|F|² of the compared pixels (`half_power`).
    pub(super) fn of_weights(
        layout: &GroupLayout,
        log_sum: f64,
        max_probability: f64,
        high_power: f64,
        half_power: f64,
        significant_samples: usize,
    ) -> Self {
        Self {
            log_likelihood: log_sum - (0.5 * high_power + half_power + layout.log_norm),
            max_probability,
            significant_samples,
        }
    }

    /// A cross-correlation stands in the place of the log-likelihood, and its sample is the only one.
    pub(super) fn of_correlation(correlation: f64, significant_samples: usize) -> Self {
        Self {
            log_likelihood: correlation,
            max_probability: 1.0,
            significant_samples,
        }
    }
}

impl ParticleOutcome {
    /// Puts together what is known of the particle of `item`; its norm correction is still the old one.
    pub(super) fn new(
        input: &IterationInput,
        layout: &GroupLayout,
        item: &BatchItem,
        start: &ParticleStart,
        best: BestSample,
        evidence: Evidence,
    ) -> Self {
        let particle = item.particle;
        let n_psi = input.sampling.n_psi();
        let current = [particle.rot, particle.tilt, particle.psi];
        let [rot, tilt, psi] = match Search::of(input) {
            Search::Fixed => current,
            _ => {
                let found = input
                    .sampling
                    .angles(
                        best.orientation / n_psi,
                        best.orientation % n_psi,
                        input.options.oversampling,
                        best.child,
                    )
                    .expect("a child of the grid");
                match input.sampling.in_plane {
                    // What a class average knows nothing of stays as it was (spec 04 §15).
                    true => [particle.rot, particle.tilt, found[2]],
                    false => found,
                }
            }
        };
        Self {
            rot,
            tilt,
            psi,
            origin: start
                .moved_by(layout.fine_shifts[best.shift])
                .map(|v| v * layout.pixel_size),
            class: best.class + 1,
            norm: particle.norm,
            log_likelihood: evidence.log_likelihood,
            max_probability: evidence.max_probability,
            significant_samples: evidence.significant_samples,
        }
    }
}
