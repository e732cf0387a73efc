//! The expectation step on the host: blocked matrix products over packed pixel lists, all cores through rayon.
//!
//! One batch goes through `prepare → coarse → weights → fine → weights → store`, the stages of the paper
//! (getImg, getDiff, convert, getDiff, convert, store). Nothing depends on the number of threads: work is divided by
//! orientation, image or plane, and every sum has a fixed order.

mod align;
mod coarse;
mod columns;
mod fine;
mod first_pass;
mod insert;
pub(super) mod layout;
pub(super) mod orientations;
pub(super) mod prepare;
pub mod product;
mod second_pass;
#[cfg(test)]
mod stages_tests;
mod store;
mod ties;
mod totals;
mod weights;

use super::{
    BatchItem, ExpectationEngine, ExpectationError, IterationInput, ParticleOutcome, StageTimes,
    WeightedSums,
};
use crate::fourier::backprojection::BackProjection;
use crate::geometry::Matrix3;
use layout::GroupLayout;
use orientations::{OrientationList, Search};

/// The engine; holds the sums of the iteration under way.
#[derive(Default)]
pub struct CpuEngine {
    iteration: Option<Iteration>,
    times: StageTimes,
}

/// What lives as long as one iteration.
struct Iteration {
    layouts: Vec<Option<GroupLayout>>,
    /// Global searches: orientations of every class, and their matrices.
    global: Vec<(OrientationList, Vec<Matrix3>)>,
    batch: usize,
    sums: WeightedSums,
}

impl CpuEngine {
    /// An engine without work.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Iteration {
    fn new(input: &IterationInput) -> Result<Self, ExpectationError> {
        if input.references.len() != input.model.classes.len() {
            return Err(ExpectationError::Invalid(format!(
                "{} references were prepared for {} classes",
                input.references.len(),
                input.model.classes.len()
            )));
        }
        let global = match Search::of(input) {
            Search::Global => (0..input.model.classes.len())
                .map(|k| {
                    let list = orientations::global_list(input, k);
                    let n_psi = input.sampling.n_psi();
                    let matrices = list
                        .index
                        .iter()
                        .map(|&o| {
                            input
                                .sampling
                                .orientations(o as usize / n_psi, o as usize % n_psi, 0)[0]
                        })
                        .collect();
                    (list, matrices)
                })
                .collect(),
            _ => Vec::new(),
        };
        let shells = input.model.box_size / 2 + 1;
        let (classes, groups) = (input.model.classes.len(), input.optics.len());
        let volume = |_| {
            BackProjection::new(
                input.model.box_size,
                input.references[0].padding,
                2 * input.references[0].r_max,
            )
        };
        Ok(Self {
            layouts: (0..groups).map(|_| None).collect(),
            global,
            batch: batch_size(input),
            sums: WeightedSums {
                backprojections: (0..classes).map(volume).collect(),
                class_weight: vec![0.0; classes],
                direction_weight: vec![vec![0.0; input.sampling.directions.len()]; classes],
                noise: vec![vec![0.0; shells]; groups],
                noise_weight: vec![0.0; groups],
                ctf2: vec![vec![0.0; shells]; groups],
                scale_xa: vec![0.0; input.model.scales.len()],
                scale_aa: vec![0.0; input.model.scales.len()],
                norm: 0.0,
                sigma2_offset: 0.0,
                log_likelihood: 0.0,
                max_probability: 0.0,
                particles: 0,
            },
        })
    }
}

/// Particles per batch that keep differences and shifted images within the memory budget. More particles share
/// projections and insertions; beyond a few hundred nothing is gained.
fn batch_size(input: &IterationInput) -> usize {
    let sampling = input.sampling;
    let shifts = if input.options.skip_align {
        1
    } else {
        sampling.translations.len()
    };
    let orientations = match Search::of(input) {
        Search::Global => sampling.directions.len() * sampling.n_psi() * input.model.classes.len(),
        _ => 1000,
    };
    let children = sampling.translation_children(input.options.oversampling);
    let largest = input
        .sizes
        .iter()
        .map(|s| s.full * s.full / 2)
        .max()
        .unwrap_or(0);
    let coarse = input
        .sizes
        .iter()
        .map(|s| s.coarse * s.coarse / 2)
        .max()
        .unwrap_or(0);
    let box_size = input.optics.iter().map(|o| o.box_size).max().unwrap_or(0);
    let per_image = orientations * shifts * 4
        + shifts * coarse * 8
        + shifts * children * largest * 8
        + largest * 40
        + box_size * box_size * 4;
    (input.options.memory_budget / per_image.max(1)).clamp(4, 512)
}

impl ExpectationEngine for CpuEngine {
    fn begin_iteration(&mut self, input: &IterationInput) -> Result<(), ExpectationError> {
        self.iteration = Some(Iteration::new(input)?);
        Ok(())
    }

    fn batch_size(&self) -> usize {
        self.iteration.as_ref().map_or(1, |i| i.batch)
    }

    fn process_batch(
        &mut self,
        input: &IterationInput,
        batch: &[BatchItem],
    ) -> Result<Vec<ParticleOutcome>, ExpectationError> {
        let iteration = self.iteration.as_mut().ok_or_else(not_begun)?;
        let mut outcomes: Vec<Option<ParticleOutcome>> = vec![None; batch.len()];
        for group in 0..input.optics.len() {
            let members: Vec<usize> = (0..batch.len())
                .filter(|&i| batch[i].particle.optics_group == group)
                .collect();
            if members.is_empty() {
                continue;
            }
            if iteration.layouts[group].is_none() {
                iteration.layouts[group] = Some(GroupLayout::new(input, group)?);
            }
            for part in members.chunks(iteration.batch) {
                let items: Vec<&BatchItem> = part.iter().map(|&i| &batch[i]).collect();
                let found = align::align_batch(input, iteration, group, &items, &mut self.times)?;
                for (&i, outcome) in part.iter().zip(found) {
                    outcomes[i] = Some(outcome);
                }
            }
        }
        outcomes
            .into_iter()
            .zip(batch)
            .map(|(outcome, item)| {
                outcome.ok_or_else(|| ExpectationError::Particle {
                    image: item.name.clone(),
                    message: format!(
                        "optics group {} does not exist",
                        item.particle.optics_group + 1
                    ),
                })
            })
            .collect()
    }

    fn take_sums(&mut self) -> Result<WeightedSums, ExpectationError> {
        self.iteration.take().map(|i| i.sums).ok_or_else(not_begun)
    }

    fn take_times(&mut self) -> StageTimes {
        std::mem::take(&mut self.times)
    }
}

fn not_begun() -> ExpectationError {
    ExpectationError::Invalid("no iteration was begun".to_string())
}
