//! How often the host waits for the device in the course of a batch.

use super::device;
use super::full_device::{Start, difference, volume};
use gerelion::expectation::cuda::CudaEngine;
use gerelion::expectation::{ExpectationEngine, ParticleOutcome, WeightedSums};

/// Once for the number of significant samples, which decides what is queued for the second pass, and once for the results.
const WAITS: usize = 2;
/// Batches of an iteration.
const BATCHES: usize = 2;
/// Particles of a batch.
const PARTICLES: usize = 2;

/// An iteration in batches whose images were brought before, as by the reader: what was found, and the waits of each batch.
fn iteration(
    engine: &mut CudaEngine,
    start: &Start,
) -> (Vec<ParticleOutcome>, WeightedSums, Vec<usize>) {
    let input = start.input();
    let store = start.store();
    engine.begin_iteration(&input).unwrap();
    let (device, intake) = (engine.device().unwrap(), engine.intake().unwrap());
    let (mut outcomes, mut waits) = (Vec::new(), Vec::new());
    for batch in 0..BATCHES {
        let mut items = start.items(&store, batch * PARTICLES, PARTICLES);
        intake.take(&mut items).unwrap();
        let before = device.waits();
        outcomes.extend(engine.process_batch(&input, &items).unwrap());
        waits.push(device.waits() - before);
    }
    (outcomes, engine.take_sums().unwrap(), waits)
}

fn largest_selection(outcomes: &[ParticleOutcome]) -> usize {
    outcomes
        .iter()
        .map(|o| o.significant_samples)
        .max()
        .unwrap()
}

#[test]
fn a_batch_waits_once_for_its_samples_and_once_for_its_results() {
    for (search, start) in [("global", Start::new()), ("local", Start::local())] {
        let Some(device) = device() else { return };
        let mut engine = CudaEngine::new(device, None).unwrap();
        let (outcomes, _, waits) = iteration(&mut engine, &start);
        let most = largest_selection(&outcomes);
        println!("{search}: {waits:?} waits, up to {most} significant samples a particle");
        assert_eq!(waits, [WAITS; BATCHES], "{search}");
    }
}

/// More significant samples than there was room for: they are listed again, with one more wait. The next batch has room for
/// them, and the same results.
#[test]
fn samples_beyond_what_was_foreseen_cost_one_more_wait() {
    let Some(device) = device() else { return };
    let mut start = Start::new();
    start.options.adaptive_fraction = 0.99999;
    let mut engine = CudaEngine::new(device, None).unwrap();
    let (outcomes, sums, waits) = iteration(&mut engine, &start);
    println!(
        "{waits:?} waits, up to {} significant samples a particle",
        largest_selection(&outcomes)
    );
    assert_eq!(waits, [WAITS + 1, WAITS]);
    let (again, sums_again, waits) = iteration(&mut engine, &start);
    assert_eq!(waits, [WAITS; BATCHES]);
    for (a, b) in outcomes.iter().zip(&again) {
        let pose = |o: &ParticleOutcome| (o.rot, o.tilt, o.psi, o.origin, o.class);
        assert_eq!(pose(a), pose(b));
        assert_eq!(a.significant_samples, b.significant_samples);
    }
    // Rounding of single-precision sums that are added in another order.
    let error = difference(&volume(&sums), &volume(&sums_again));
    assert!(error < 1e-6, "volumes {error:e} apart");
}
