//! The expectation step over all particles of a half-set: images are read ahead while the engine computes.

use super::error::RunError;
use super::progress::ProgressBar;
use crate::dataset::{ImageStore, ParticleSet};
use crate::expectation::{
    BatchItem, ExpectationEngine, IterationInput, ParticleOutcome, WeightedSums,
};
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::mpsc::sync_channel;

/// Sums of a half-set and what was found for each particle (index in the table, outcome).
pub struct HalfResult {
    /// Weighted sums.
    pub sums: WeightedSums,
    /// One a particle, in processing order.
    pub outcomes: Vec<(usize, ParticleOutcome)>,
}

/// Particles to be processed, and where their images are.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// Particle table.
    pub set: &'a ParticleSet,
    /// Images.
    pub images: &'a ImageStore,
    /// Indices in the table, in processing order.
    pub order: &'a [usize],
    /// Position of the first of them in the whole processing order.
    pub first_position: usize,
}

/// Run the engine over the particles of a half-set. `poll` is called between batches and may stop the run.
pub fn run(
    engine: &mut dyn ExpectationEngine,
    input: &IterationInput,
    source: Source,
    progress: &mut ProgressBar,
    poll: &mut dyn FnMut() -> Result<(), RunError>,
) -> Result<HalfResult, RunError> {
    engine.begin_iteration(input)?;
    let held = engine.held_images();
    let batch_size = engine.batch_size().max(1);
    let mut outcomes = Vec::with_capacity(source.order.len());
    std::thread::scope(|scope| -> Result<(), RunError> {
        // One batch waits here while another is being read and a third computed.
        let (send, receive) = sync_channel(1);
        let held = &held;
        scope.spawn(move || {
            for (number, indices) in source.order.chunks(batch_size).enumerate() {
                let position = source.first_position + number * batch_size;
                let batch = read_batch(&source, held, indices, position);
                let failed = batch.is_err();
                // The receiver hangs up when the engine fails: nothing more is needed then.
                if send.send(batch).is_err() || failed {
                    break;
                }
            }
        });
        let mut waiting = source.order;
        for batch in receive {
            poll()?;
            let batch = batch?;
            let found = engine.process_batch(input, &batch)?;
            let (done, rest) = waiting.split_at(batch.len());
            waiting = rest;
            outcomes.extend(done.iter().copied().zip(found));
            progress.set(source.first_position + outcomes.len());
        }
        Ok(())
    })?;
    Ok(HalfResult {
        sums: engine.take_sums()?,
        outcomes,
    })
}

fn read_batch<'a>(
    source: &Source<'a>,
    held: &HashSet<usize>,
    indices: &[usize],
    first_position: usize,
) -> Result<Vec<BatchItem<'a>>, RunError> {
    let set = source.set;
    indices
        .iter()
        .enumerate()
        .map(|(i, &index)| {
            let particle = &set.particles[index];
            let image = match held.contains(&particle.id) {
                true => Cow::Borrowed(&[][..]),
                false => source.images.image(set, index)?,
            };
            Ok(BatchItem {
                particle,
                position: first_position + i,
                image,
                name: set.image_name(index),
            })
        })
        .collect()
}

/// Store what was found in the particle table, where it is the start of the next iteration.
pub fn apply(set: &mut ParticleSet, outcomes: &[(usize, ParticleOutcome)]) {
    for (index, found) in outcomes {
        let particle = &mut set.particles[*index];
        particle.rot = found.rot;
        particle.tilt = found.tilt;
        particle.psi = found.psi;
        particle.origin = found.origin;
        particle.class = found.class;
        particle.norm = found.norm;
        particle.log_likelihood = found.log_likelihood;
        particle.max_probability = found.max_probability;
        particle.significant_samples = found.significant_samples;
    }
}
