//! The expectation step over all particles of a half-set: images are read ahead while the engine computes.

use super::error::RunError;
use super::progress::ProgressBar;
use crate::dataset::{ImageStore, ParticleSet};
use crate::expectation::{
    BatchItem, ExpectationEngine, IterationInput, ParticleOutcome, WeightedSums,
};
use std::sync::mpsc::sync_channel;

/// Sums of a half-set and what was found for each particle (index in the table, outcome).
pub struct HalfResult {
    /// Weighted sums.
    pub sums: WeightedSums,
    /// One a particle, in processing order.
    pub outcomes: Vec<(usize, ParticleOutcome)>,
}

/// Run the engine over the particles of `order` (indices in the table). `first_position` is the position of the first
/// of them in the whole processing order. `poll` is called between batches and may stop the run.
pub fn run(
    engine: &mut dyn ExpectationEngine,
    input: &IterationInput,
    set: &ParticleSet,
    images: &ImageStore,
    order: &[usize],
    first_position: usize,
    progress: &mut ProgressBar,
    poll: &mut dyn FnMut() -> Result<(), RunError>,
) -> Result<HalfResult, RunError> {
    engine.begin_iteration(input)?;
    let batch_size = engine.batch_size().max(1);
    let mut outcomes = Vec::with_capacity(order.len());
    std::thread::scope(|scope| -> Result<(), RunError> {
        // One batch waits here while another is being read and a third computed.
        let (send, receive) = sync_channel(1);
        scope.spawn(move || {
            for (number, indices) in order.chunks(batch_size).enumerate() {
                let position = first_position + number * batch_size;
                let batch = read_batch(set, images, indices, position);
                let failed = batch.is_err();
                // The receiver hangs up when the engine fails: nothing more is needed then.
                if send.send(batch).is_err() || failed {
                    break;
                }
            }
        });
        let mut waiting = order;
        for batch in receive {
            poll()?;
            let batch = batch?;
            let found = engine.process_batch(input, &batch)?;
            let (done, rest) = waiting.split_at(batch.len());
            waiting = rest;
            outcomes.extend(done.iter().copied().zip(found));
            progress.set(first_position + outcomes.len());
        }
        Ok(())
    })?;
    Ok(HalfResult {
        sums: engine.take_sums()?,
        outcomes,
    })
}

fn read_batch<'a>(
    set: &'a ParticleSet,
    images: &ImageStore,
    indices: &[usize],
    first_position: usize,
) -> Result<Vec<BatchItem<'a>>, RunError> {
    indices
        .iter()
        .enumerate()
        .map(|(i, &index)| {
            let particle = &set.particles[index];
            let side = set.optics[particle.optics_group].box_size;
            let mut image = vec![0.0f32; side * side];
            images.read_into(set, index, &mut image)?;
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
