//! Second pass over one image after the differences: posterior weights, best sample, what is stored (spec 01 §6–7).

use super::super::layout::GroupLayout;
use super::super::outcome::{BestSample, Evidence};
use super::super::priors::offset_centre;
use super::super::{BatchItem, Criterion, ExpectationError, IterationInput};
use super::fine::Groups;
use super::first_pass::CoarseResult;
use super::prepare::PreparedImage;
use super::store::Kept;
use super::weights::{Samples, keep_significant, smallest, weigh};
use crate::expectation::ParticleOutcome;

/// All fine samples of one image: children of its significant coarse samples.
struct FineSamples<'a> {
    samples: &'a [u32],
    groups: &'a Groups,
    values: &'a [f32],
    orientation_children: usize,
    shift_children: usize,
}

impl Samples for FineSamples<'_> {
    type At = (u32, u16, u16);

    fn rows(&self) -> usize {
        self.samples.len()
    }

    fn row(&self, r: usize) -> (&[f32], f64, &[f64]) {
        let s = self.samples[r] as usize;
        let per_sample = self.orientation_children * self.shift_children;
        (
            &self.values[s * per_sample..(s + 1) * per_sample],
            self.groups.samples[s].log_prior,
            &[],
        )
    }

    fn at(&self, r: usize, c: usize) -> Self::At {
        let (o, t) = (c / self.shift_children, c % self.shift_children);
        (self.samples[r], o as u16, t as u16)
    }
}

/// Scalars of one particle after the second pass.
pub(super) struct ParticleTotals {
    /// Values that are written for the particle (norm still the old one).
    pub outcome: ParticleOutcome,
    /// Σ w.
    pub weight: f64,
    /// Shares of the classes and directions.
    pub shares: Vec<Share>,
    /// Σ w |µ − r − t|², Å².
    pub sigma2_offset: f64,
}

/// Weight of a particle in a direction of a class.
pub(super) struct Share {
    /// 0-based class.
    pub class: usize,
    /// Coarse direction.
    pub direction: usize,
    /// Σ w.
    pub weight: f64,
    /// Σ w·(r + t), Å.
    pub offset: [f64; 2],
}

impl Share {
    /// Adds to the last of `shares` when that is of the same direction.
    fn add_to(self, shares: &mut Vec<Share>) {
        match shares.last_mut() {
            Some(last) if (last.class, last.direction) == (self.class, self.direction) => {
                last.weight += self.weight;
                for (sum, offset) in last.offset.iter_mut().zip(self.offset) {
                    *sum += offset;
                }
            }
            _ => shares.push(self),
        }
    }
}

/// Results of the second pass for one image.
pub(super) struct Aligned {
    /// Outcome and scalar sums.
    pub totals: ParticleTotals,
    /// Samples that enter the weighted sums.
    pub kept: Vec<Kept>,
}

/// Differences of the second pass and what is needed to turn them into weights.
pub(super) struct FinePass<'a> {
    pub input: &'a IterationInput<'a>,
    pub layout: &'a GroupLayout,
    pub groups: &'a Groups,
    pub values: &'a [f32],
    pub orientation_children: usize,
}

/// Returns the sample with the largest weight, the first of equal ones.
fn heaviest<T: Copy>(weighted: &[(T, f64)]) -> (T, f64) {
    let mut best = weighted[0];
    for &candidate in &weighted[1..] {
        if candidate.1 > best.1 {
            best = candidate;
        }
    }
    best
}

impl FinePass<'_> {
    /// Weights of one image's fine samples.
    pub(super) fn align(
        &self,
        item: &BatchItem,
        image: &PreparedImage,
        coarse: &CoarseResult,
        samples: &[u32],
    ) -> Result<Aligned, ExpectationError> {
        let (input, layout) = (self.input, self.layout);
        let source = FineSamples {
            samples,
            groups: self.groups,
            values: self.values,
            orientation_children: self.orientation_children,
            shift_children: layout.shift_children,
        };
        let single_pass = input.options.oversampling == 0;
        let fail = || ExpectationError::not_comparable(input, layout, item);
        let counted = coarse.counted;
        let (weighted, sum, log_sum) = match input.criterion {
            Criterion::CrossCorrelation => {
                let (at, d) = smallest(&source).ok_or_else(fail)?;
                (vec![(at, 1.0)], 1.0, -f64::from(d))
            }
            Criterion::Likelihood => {
                let mut weights = weigh(&source).ok_or_else(fail)?;
                if single_pass {
                    // The first pass was the only one: weights are shares of its whole sum, of which these samples
                    // hold `kept_share`. Its differences are not used: rounding differs from that of this pass.
                    weights.sum /= coarse.kept_share;
                } else {
                    keep_significant(&mut weights, input.options.adaptive_fraction, None);
                }
                let log_sum = weights.sum.ln() - weights.min_difference;
                let samples = weights.samples.iter().map(|s| (s.at, s.weight));
                (samples.collect::<Vec<_>>(), weights.sum, log_sum)
            }
        };
        let (start, a_g) = (&image.start, layout.pixel_size);
        let n_psi = input.sampling.n_psi();
        let fine_shift = |sample: u32, child: u16| {
            let coarse = self.groups.samples[sample as usize].shift as usize;
            coarse * layout.shift_children + child as usize
        };
        let mut kept = Vec::with_capacity(weighted.len());
        let mut shares: Vec<Share> = Vec::new();
        let (mut total, mut sigma2_offset) = (0.0, 0.0);
        for &((sample, o, t), weight) in &weighted {
            let w = weight / sum;
            kept.push(Kept {
                sample,
                orientation: o,
                shift: t,
                weight: w as f32,
            });
            let parent = &self.groups.samples[sample as usize];
            let direction = parent.orientation as usize / n_psi;
            let class = parent.class as usize;
            let v = start.moved_by(layout.fine_shifts[fine_shift(sample, t)]);
            Share {
                class,
                direction,
                weight: w,
                offset: v.map(|v| w * a_g * v),
            }
            .add_to(&mut shares);
            let centre = offset_centre(input, start, class);
            let (dx, dy) = (centre[0] - v[0], centre[1] - v[1]);
            sigma2_offset += w * a_g * a_g * (dx * dx + dy * dy);
            total += w;
        }
        let ((sample, o, t), weight) = heaviest(&weighted);
        let parent = &self.groups.samples[sample as usize];
        let best = BestSample {
            class: parent.class as usize,
            orientation: parent.orientation as usize,
            child: o as usize,
            shift: fine_shift(sample, t),
        };
        let evidence = match input.criterion {
            Criterion::CrossCorrelation => Evidence::of_correlation(log_sum, counted),
            Criterion::Likelihood => Evidence::of_weights(
                layout,
                log_sum,
                weight / sum,
                image.high_power_sum,
                image.half_power,
                counted,
            ),
        };
        Ok(Aligned {
            totals: ParticleTotals {
                outcome: ParticleOutcome::new(input, layout, item, start, best, evidence),
                weight: total,
                shares,
                sigma2_offset,
            },
            kept,
        })
    }
}
