//! First pass over one image after the differences: which coarse samples are significant (spec 01 §6).

use super::super::layout::GroupLayout;
use super::super::orientations::{self, OrientationList};
use super::super::{BatchItem, Criterion, ExpectationError, IterationInput};
use super::fine::Significant;
use super::prepare::PreparedImage;
use super::ties;
use super::weights::{Samples, keep_significant, smallest, weigh};
use crate::errors::Code;
use gpu::correlation::TIE_TOLERANCE;

/// Differences of one image with the orientations of one class.
pub struct CoarseView<'a> {
    pub class: usize,
    pub list: &'a OrientationList,
    pub log_prior: Vec<f64>,
    pub values: &'a [f32],
    pub stride: usize,
    pub offset: usize,
}

/// All coarse samples of one image.
pub struct CoarseSamples<'a> {
    views: Vec<CoarseView<'a>>,
    offset_log_prior: Vec<f64>,
}

impl CoarseSamples<'_> {
    /// View and orientation of a row: rows run over the orientations of one class after the other.
    fn locate(&self, mut row: usize) -> (usize, usize) {
        for (v, view) in self.views.iter().enumerate() {
            if row < view.log_prior.len() {
                return (v, row);
            }
            row -= view.log_prior.len();
        }
        unreachable!("rows are those of the views")
    }

    /// Samples with a difference of at most `limit`.
    fn up_to(&self, limit: f32) -> Vec<(u32, u32, u32)> {
        let mut found = Vec::new();
        for r in 0..self.rows() {
            let near = self
                .row(r)
                .0
                .iter()
                .enumerate()
                .filter(|(_, d)| **d <= limit);
            found.extend(near.map(|(c, _)| self.at(r, c)));
        }
        found
    }
}

impl Samples for CoarseSamples<'_> {
    type At = (u32, u32, u32);

    fn rows(&self) -> usize {
        self.views.iter().map(|v| v.log_prior.len()).sum()
    }

    fn row(&self, r: usize) -> (&[f32], f64, &[f64]) {
        let (v, o) = self.locate(r);
        let view = &self.views[v];
        let begin = o * view.stride + view.offset;
        (
            &view.values[begin..begin + self.offset_log_prior.len()],
            view.log_prior[o],
            &self.offset_log_prior,
        )
    }

    fn at(&self, r: usize, c: usize) -> Self::At {
        let (v, o) = self.locate(r);
        (v as u32, o as u32, c as u32)
    }
}

/// What the first pass found for one image.
pub struct CoarseResult {
    /// Significant samples.
    pub significant: Vec<Significant>,
    /// How many of them were counted (`rlnNrOfSignificantSamples`).
    pub counted: usize,
    /// Share of the sum of all weights that the significant ones hold.
    pub kept_share: f64,
}

/// ⟨p_o⟩ over classes and orientations, those of prior 0 included (spec 01 §6.1).
pub fn mean_prior(lists: &[&OrientationList]) -> f64 {
    let (sum, count) = lists
        .iter()
        .fold((0.0, 0), |(s, n), l| (s + l.total.0, n + l.total.1));
    if count > 0 { sum / count as f64 } else { 1.0 }
}

pub fn relative_log_priors(list: &OrientationList, mean: f64) -> Vec<f64> {
    list.prior.iter().map(|p| (p / mean).ln()).collect()
}

/// Significant coarse samples of one image; in a CC iteration the single best one.
pub fn significant(
    input: &IterationInput,
    layout: &GroupLayout,
    item: &BatchItem,
    index: usize,
    image: &PreparedImage,
    mut views: Vec<CoarseView>,
) -> Result<CoarseResult, ExpectationError> {
    let mut offset_log_prior = orientations::offset_log_priors(
        input,
        image.start.old_offset,
        image.start.offset_prior,
        layout.pixel_size,
    );
    let mean_offset =
        offset_log_prior.iter().map(|e| e.exp()).sum::<f64>() / offset_log_prior.len() as f64;
    if mean_offset > 0.0 {
        offset_log_prior
            .iter_mut()
            .for_each(|e| *e -= mean_offset.ln());
    } else {
        // Every shift is far outside the prior: only differences between shifts matter.
        let largest = offset_log_prior
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, f64::max);
        offset_log_prior.iter_mut().for_each(|e| *e -= largest);
    }
    if input.criterion == Criterion::CrossCorrelation {
        views.iter_mut().for_each(|v| v.log_prior.fill(0.0));
        offset_log_prior.fill(0.0);
    }
    let source = CoarseSamples {
        views,
        offset_log_prior,
    };
    let (samples, counted, kept_share) = match input.criterion {
        Criterion::Likelihood => {
            let mut weights = weigh(&source).ok_or_else(|| not_comparable(input, item, layout))?;
            let counted = keep_significant(
                &mut weights,
                input.options.adaptive_fraction,
                input.options.max_significant,
            );
            let kept: f64 = weights.samples.iter().map(|s| s.weight).sum();
            let samples = weights.samples.iter().map(|s| s.at).collect();
            (samples, counted, kept / weights.sum)
        }
        Criterion::CrossCorrelation => {
            let (at, d) = smallest(&source).ok_or_else(|| not_comparable(input, item, layout))?;
            let tied = source.up_to(d + TIE_TOLERANCE * d.abs());
            let samples = tied.iter().map(|&(v, o, t)| {
                let view = &source.views[v as usize];
                ties::Sample {
                    class: view.class,
                    orientation: view.list.index[o as usize],
                    shift: t as usize,
                }
            });
            let best = match tied.len() {
                0 | 1 => at,
                _ => ties::best(input, layout, item, image, samples).map_or(at, |i| tied[i]),
            };
            (vec![best], 1, 1.0)
        }
    };
    let significant = samples
        .into_iter()
        .map(|(v, o, t)| {
            let view = &source.views[v as usize];
            Significant {
                class: view.class as u32,
                orientation: view.list.index[o as usize],
                image: index as u32,
                shift: t,
                log_prior: view.log_prior[o as usize] + source.offset_log_prior[t as usize],
            }
        })
        .collect();
    Ok(CoarseResult {
        significant,
        counted,
        kept_share,
    })
}

/// Why no sample of a particle could be compared, in words.
pub fn not_comparable(
    input: &IterationInput,
    item: &BatchItem,
    layout: &GroupLayout,
) -> ExpectationError {
    let image = item.image.single();
    let (low, high) = image
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), &v| {
            (l.min(v), h.max(v))
        });
    let mean = image.iter().map(|&v| f64::from(v)).sum::<f64>() / image.len() as f64;
    ExpectationError::Particle {
        code: Code::NOT_COMPARABLE,
        image: item.name.clone(),
        message: format!(
            "no orientation could be compared with it: every squared difference is infinite or NaN. Its pixels range from \
             {low} to {high} (mean {mean:.4}), rlnNormCorrection is {}, average norm {}, group scale {}, mask radius {} \
             pixels, box {} pixels. Likely causes: a corrupt image, an absurd normalisation or scale, or a reference that \
             is empty or not finite",
            item.particle.norm,
            input.model.average_norm,
            input
                .model
                .scales
                .get(item.particle.scale_group)
                .copied()
                .unwrap_or(1.0),
            layout.mask_radius,
            layout.box_size,
        ),
    }
}
