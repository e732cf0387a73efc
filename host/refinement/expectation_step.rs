//! The expectation step over this rank's particles of a half-set: images are read ahead while the engines compute, and
//! each engine takes the next batch when it is done with one.

use super::crew::{Engine, StopSign};
use super::deal::Dealt;
use super::error::RunError;
use super::progress::ProgressBar;
use super::reduce::{self, Found};
use super::routes::Routes;
use crate::comm::Ranks;
use crate::dataset::{ImageStore, ParticleSet};
use crate::expectation::{
    BatchItem, ExpectationEngine, IterationInput, ParticleOutcome, WeightedSums,
};
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Batches that are left for each engine towards the end are made smaller, but not below this part of a full one.
const SMALLEST_PART: usize = 8;

/// What this rank found in a half-set.
pub struct HalfResult {
    /// Weighted sums of its particles.
    pub sums: WeightedSums,
    /// What was found for each of them.
    pub found: Vec<Found>,
}

/// This rank's particles, and where their images are.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// Particle table.
    pub set: &'a ParticleSet,
    /// Images.
    pub images: &'a ImageStore,
    /// This rank's share, in the order of reading.
    pub share: &'a [Dealt],
}

/// How the work is followed and stopped.
#[derive(Clone, Copy)]
pub struct Course<'a> {
    /// Checked between batches.
    pub stop: &'a StopSign,
    /// Told which particles are under way.
    pub ranks: &'a Ranks,
    /// How the sums of the engines are added.
    pub routes: &'a Routes,
    /// " of half 1" in a run with halves, for messages.
    pub stage: &'a str,
    /// Shown to the user, moved on by every batch.
    pub progress: &'a Mutex<ProgressBar>,
}

/// A batch that has been read.
struct Batch<'a> {
    share: &'a [Dealt],
    items: Vec<BatchItem<'a>>,
}

/// Particles that nobody has begun to read.
struct Queue<'a> {
    rest: &'a [Dealt],
    batch_size: usize,
    engines: usize,
}

impl<'a> Queue<'a> {
    /// The next batch. A single engine gets full ones; several share what is left, so that they end together.
    fn next(&mut self) -> Option<&'a [Dealt]> {
        let full = self.batch_size.min(self.rest.len());
        let size = match self.engines {
            1 => full,
            engines => {
                let part = self.rest.len().div_ceil(2 * engines);
                full.min(part.max(self.batch_size / SMALLEST_PART).max(1))
            }
        };
        let (next, rest) = self.rest.split_at(size.min(self.rest.len()));
        self.rest = rest;
        (!next.is_empty()).then_some(next)
    }
}

/// Run the engines, each with its own input, over this rank's particles of a half-set.
pub fn run(
    engines: &mut [Engine],
    inputs: &[IterationInput],
    source: Source,
    course: Course,
) -> Result<HalfResult, RunError> {
    each(engines, inputs, |engine, input| {
        Ok(engine.begin_iteration(input)?)
    })?;
    // Images that an engine holds need not be read again; of several engines any may get the particle.
    let held = match &*engines {
        [engine] => engine.held_images(),
        _ => HashSet::new(),
    };
    let batch_sizes = engines.iter().map(|engine| engine.batch_size());
    let queue = Mutex::new(Queue {
        rest: source.share,
        batch_size: batch_sizes.min().unwrap_or(1).max(1),
        engines: engines.len(),
    });
    let found = std::thread::scope(|scope| {
        // One batch for each engine waits here while another is being read and a third computed.
        let (send, receive) = sync_channel(engines.len());
        for _ in 0..engines.len() {
            let (send, queue, held) = (send.clone(), &queue, &held);
            scope.spawn(move || read_all(source, held, queue, &send));
        }
        drop(send);
        // Given up when the engines are done or have failed: the readers end then.
        let receive = Mutex::new(receive);
        each(engines, inputs, |engine, input| {
            let result = process(engine, input, &receive, course);
            if result.is_err() {
                lock(&queue).rest = &[];
            }
            result
        })
    })?;
    let sums = engines
        .iter_mut()
        .map(|engine| Ok(engine.take_sums()?))
        .collect::<Result<_, RunError>>()?;
    Ok(HalfResult {
        sums: reduce::over_engines(sums, course.routes)?,
        found: found.concat(),
    })
}

/// Do something with each engine: the only one on this thread, several at the same time with an equal part of the
/// threads each.
fn each<T: Send>(
    engines: &mut [Engine],
    inputs: &[IterationInput],
    work: impl Fn(&mut dyn ExpectationEngine, &IterationInput) -> Result<T, RunError> + Sync,
) -> Result<Vec<T>, RunError> {
    if let [engine] = engines {
        return Ok(vec![work(engine.as_mut(), &inputs[0])?]);
    }
    let threads = rayon::current_num_threads().div_ceil(engines.len());
    let work = &work;
    std::thread::scope(|scope| {
        let running: Vec<_> = engines
            .iter_mut()
            .zip(inputs)
            .map(|(engine, input)| {
                scope.spawn(move || {
                    super::threads::pool(threads)?.install(|| work(engine.as_mut(), input))
                })
            })
            .collect();
        let results: Vec<Result<T, RunError>> = running
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect();
        results.into_iter().collect()
    })
}

fn read_all<'a>(
    source: Source<'a>,
    held: &HashSet<usize>,
    queue: &Mutex<Queue<'a>>,
    send: &SyncSender<Result<Batch<'a>, RunError>>,
) {
    loop {
        let Some(share) = lock(queue).next() else {
            break;
        };
        let batch = read_batch(source, held, share);
        let failed = batch.is_err();
        // The receiver hangs up when an engine fails: nothing more is needed then.
        if send.send(batch).is_err() || failed {
            break;
        }
    }
}

/// One engine's part of the batches.
fn process(
    engine: &mut dyn ExpectationEngine,
    input: &IterationInput,
    batches: &Mutex<Receiver<Result<Batch, RunError>>>,
    course: Course,
) -> Result<Vec<Found>, RunError> {
    let mut found = Vec::new();
    loop {
        let next = lock(batches).recv();
        let Ok(batch) = next else {
            return Ok(found);
        };
        course.stop.check()?;
        let batch = batch?;
        course.ranks.watch().enter(&course.stage_of(batch.share));
        let outcomes = engine.process_batch(input, &batch.items)?;
        for (dealt, outcome) in batch.share.iter().zip(outcomes) {
            found.push((dealt.index, dealt.position, outcome));
        }
        lock(course.progress).advance(batch.share.len());
    }
}

impl Course<'_> {
    /// "expectation of half 1, particles 17 to 528 of the table".
    fn stage_of(&self, share: &[Dealt]) -> String {
        let indices = || share.iter().map(|dealt| dealt.index + 1);
        format!(
            "expectation{}, {} particles between {} and {} of the table",
            self.stage,
            share.len(),
            indices().min().unwrap_or(0),
            indices().max().unwrap_or(0)
        )
    }
}

/// A thread that panicked ends the run, whatever it held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_batch<'a>(
    source: Source<'a>,
    held: &HashSet<usize>,
    share: &'a [Dealt],
) -> Result<Batch<'a>, RunError> {
    let set = source.set;
    let items = share
        .iter()
        .map(|dealt| {
            let particle = &set.particles[dealt.index];
            let image = match held.contains(&particle.id) {
                true => Cow::Borrowed(&[][..]),
                false => source.images.image(set, dealt.index)?,
            };
            Ok(BatchItem {
                particle,
                position: dealt.position,
                image,
                name: set.image_name(dealt.index),
            })
        })
        .collect::<Result<_, RunError>>()?;
    Ok(Batch { share, items })
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
