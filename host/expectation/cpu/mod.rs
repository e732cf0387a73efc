//! The expectation step on the host: blocked matrix products over packed pixel lists, all cores through rayon.
//!
//! One batch goes through `prepare → coarse → weights → fine → weights → store`, the stages of the paper
//! (getImg, getDiff, convert, getDiff, convert, store). Nothing depends on the number of threads: work is divided by
//! orientation, image or plane, and every sum has a fixed order.

mod align;
mod bins;
mod coarse;
mod columns;
mod fine;
mod first_pass;
mod flat;
mod insert;
mod panels;
mod prepare;
pub mod product;
mod second_pass;
#[cfg(test)]
mod stages_tests;
mod store;
mod ties;
mod tile;
mod weights;

pub use insert::{Inserter, Sorter, SumSlice, insert_slices};

use super::batches::by_optics_group;
use super::layout::GroupLayout;
use super::orientations::{self, OrientationList, Search};
use super::{
    BatchItem, ExpectationEngine, ExpectationError, IterationInput, ParticleOutcome, StageTimes,
    WeightedSums,
};
use crate::fourier::{backprojection::BackProjection, sums::Sums};
use crate::geometry::Matrix3;

/// The engine; holds the sums of the iteration under way.
#[derive(Default)]
pub struct CpuEngine {
    iteration: Option<Iteration>,
    times: StageTimes,
}

/// State of one iteration.
struct Iteration {
    layouts: Vec<Option<GroupLayout>>,
    /// Global searches: orientations of every class, and their matrices.
    global: Vec<(OrientationList, Vec<Matrix3>)>,
    batch: usize,
    /// Back-projections of the classes (and pseudo-halves).
    volumes: Vec<BackProjection>,
    /// Adds slices to them, where they are volumes.
    inserter: Option<Inserter>,
    /// All other sums.
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
        input.check_on_host()?;
        let global = match Search::of(input) {
            Search::Global => (0..input.model.classes.len())
                .map(|k| {
                    let list = orientations::global_list(input, k);
                    let mut matrices = Vec::with_capacity(list.index.len());
                    let indices = list.index.iter().copied();
                    orientations::each_of_grid(input, indices, 0, |matrix| matrices.push(matrix));
                    (list, matrices)
                })
                .collect(),
            _ => Vec::new(),
        };
        let volumes = vec![input.empty_backprojection(); input.volumes()];
        Ok(Self {
            layouts: input.optics.iter().map(|_| None).collect(),
            global,
            batch: batch_size(input),
            volumes,
            inserter: None,
            sums: WeightedSums::empty(input),
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
        let iteration = self
            .iteration
            .as_mut()
            .ok_or_else(ExpectationError::not_begun)?;
        by_optics_group(input, batch, |group, items| {
            if iteration.layouts[group].is_none() {
                iteration.layouts[group] = Some(GroupLayout::new(input, group)?.with_phases());
            }
            let items = &items[..items.len().min(iteration.batch)];
            align::align_batch(input, iteration, group, items, &mut self.times)
        })
    }

    fn take_sums(&mut self) -> Result<WeightedSums, ExpectationError> {
        let iteration = self
            .iteration
            .take()
            .ok_or_else(ExpectationError::not_begun)?;
        Ok(WeightedSums {
            backprojections: iteration.volumes.into_iter().map(Sums::Host).collect(),
            ..iteration.sums
        })
    }

    fn take_times(&mut self) -> StageTimes {
        std::mem::take(&mut self.times)
    }
}
