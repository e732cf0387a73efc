//! First pass over one image after the differences: which coarse samples are significant (spec 01 §6).

use super::super::layout::GroupLayout;
use super::super::orientations::OrientationList;
use super::super::priors::{OffsetLogPriors, relative_offset_log_priors};
use super::super::{BatchItem, Criterion, ExpectationError, IterationInput};
use super::fine::Significant;
use super::prepare::PreparedImage;
use super::ties;
use super::weights::{Samples, keep_significant, smallest, weigh};
use gpu::correlation::TIE_TOLERANCE;

/// Differences of one image with the orientations of one class.
pub(super) struct CoarseView<'a> {
    pub class: usize,
    pub list: &'a OrientationList,
    pub log_prior: Vec<f64>,
    pub values: &'a [f32],
    pub stride: usize,
    pub offset: usize,
}

/// All coarse samples of one image.
pub(super) struct CoarseSamples<'a> {
    views: Vec<CoarseView<'a>>,
    /// Priors of the shifts for the class of each view.
    offset_log_priors: OffsetLogPriors,
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
        let shifts = self.offset_log_priors.of(v);
        (
            &view.values[begin..begin + shifts.len()],
            view.log_prior[o],
            shifts,
        )
    }

    fn at(&self, r: usize, c: usize) -> Self::At {
        let (v, o) = self.locate(r);
        (v as u32, o as u32, c as u32)
    }
}

/// Results of the first pass for one image.
pub(super) struct CoarseResult {
    /// Significant samples.
    pub significant: Vec<Significant>,
    /// How many of them were counted (`rlnNrOfSignificantSamples`).
    pub counted: usize,
    /// Share of the sum of all weights that the significant ones hold.
    pub kept_share: f64,
}

/// Significant coarse samples of one image; in a CC iteration the single best one.
pub(super) fn significant(
    input: &IterationInput,
    layout: &GroupLayout,
    item: &BatchItem,
    index: usize,
    image: &PreparedImage,
    views: Vec<CoarseView>,
) -> Result<CoarseResult, ExpectationError> {
    let classes: Vec<usize> = views.iter().map(|view| view.class).collect();
    if classes.is_empty() {
        return Err(ExpectationError::not_comparable(input, layout, item));
    }
    let source = CoarseSamples {
        views,
        offset_log_priors: relative_offset_log_priors(
            input,
            &image.start,
            &classes,
            layout.pixel_size,
        ),
    };
    let (samples, counted, kept_share) = match input.criterion {
        Criterion::Likelihood => {
            let mut weights = weigh(&source)
                .ok_or_else(|| ExpectationError::not_comparable(input, layout, item))?;
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
            let (at, d) = smallest(&source)
                .ok_or_else(|| ExpectationError::not_comparable(input, layout, item))?;
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
                log_prior: view.log_prior[o as usize]
                    + source.offset_log_priors.of(v as usize)[t as usize],
            }
        })
        .collect();
    Ok(CoarseResult {
        significant,
        counted,
        kept_share,
    })
}
