//! The expectation step over this rank's particles of a half-set: each engine has a span of them, whose next batch is read
//! and brought to the engine while it computes; an engine that is done with its span takes from the others'.

use crate::comm::Ranks;
use crate::dataset::Pixels;
use crate::dataset::{ImageStore, ParticleSet};
use crate::expectation::{
    BatchItem, ExpectationEngine, ImageIntake, IterationInput, ParticleOutcome, StoredImage,
    WeightedSums,
};
use crate::refinement::cli::phase::Phase;
use crate::refinement::error::RunError;
use crate::refinement::parallel::card_sums::Routes;
use crate::refinement::parallel::engine_shares::Spans;
use crate::refinement::parallel::load_balance::Dealt;
use crate::refinement::parallel::reduction::{self, Found};
use crate::refinement::parallel::threads::{Pools, side_by_side};
use crate::refinement::parallel::workers::{Engine, StopSign};
use rayon::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Results of this rank for a half-set.
pub struct HalfResult {
    /// Weighted sums of its particles.
    pub sums: WeightedSums,
    /// Results of each of them.
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
    /// Set when an engine has failed: the others stop before their next batch.
    pub failed: &'a AtomicBool,
    /// Told which particles are under way.
    pub ranks: &'a Ranks,
    /// How the sums of the engines are added.
    pub routes: &'a Routes,
    /// Threads of several engines and of readers.
    pub pools: &'a Pools,
    /// " of half 1" in a run with halves, for messages.
    pub stage: &'a str,
    /// Shown to the user, moved on by every batch.
    pub progress: &'a Phase,
}

/// A batch that has been read.
struct Batch<'a> {
    share: &'a [Dealt],
    items: Vec<BatchItem<'a>>,
}

/// Reader of the batches of one engine.
struct Reader<'r, 'a> {
    source: Source<'a>,
    /// Input of the engine.
    input: &'r IterationInput<'r>,
    /// Particles that nobody has begun to read.
    rest: &'r Mutex<Spans<'a>>,
    /// Number of the engine.
    engine: usize,
    /// Where images of the next batch are brought.
    intake: Option<Arc<dyn ImageIntake>>,
    /// Threads of the engine. Others read, since its own would have to wait for the disk, but not more of them.
    threads: usize,
    /// Where they come from.
    pools: &'r Pools,
}

/// Threads that bring the images of one engine from files at most: each copies some 2 GB/s out of the page cache, and a card takes
/// about 30.
const READING: usize = 16;
/// Threads that list what a batch is compared with at most, where the engine holds its images: more of them get in the way of the
/// engine's own.
const LISTING: usize = 8;

/// Run the engines, each with its own input, over this rank's particles of a half-set.
pub fn run(
    engines: &mut [Engine],
    inputs: &[IterationInput],
    source: Source,
    course: Course,
) -> Result<HalfResult, RunError> {
    each(engines, inputs, course.pools, |_, engine, input| {
        Ok(engine.begin_iteration(input)?)
    })?;
    let batch_sizes = engines.iter().map(|engine| engine.batch_size());
    let batch_size = batch_sizes.min().unwrap_or(1);
    let rest = Mutex::new(Spans::new(source.share, engines.len(), batch_size));
    let threads = rayon::current_num_threads().div_ceil(engines.len());
    let readers: Vec<Reader> = engines
        .iter()
        .zip(inputs)
        .enumerate()
        .map(|(number, (engine, input))| Reader {
            source,
            input,
            rest: &rest,
            engine: number,
            intake: engine.intake(),
            threads,
            pools: course.pools,
        })
        .collect();
    let found = std::thread::scope(|scope| {
        // Each receiver is given up when its engine is done or has failed: the reader ends then.
        let batches = readers.into_iter().map(|reader| {
            let (send, receive) = sync_channel(0);
            scope.spawn(move || reader.run(&send));
            Mutex::new(Some(receive))
        });
        let batches: Vec<_> = batches.collect();
        each(engines, inputs, course.pools, |number, engine, input| {
            let receive = lock(&batches[number]).take().expect("taken once");
            let result = process(engine, input, receive, course);
            if result.is_err() {
                course.failed.store(true, Ordering::Relaxed);
            }
            result
        })
    })?;
    let sums = engines
        .iter_mut()
        .map(|engine| Ok(engine.take_sums()?))
        .collect::<Result<_, RunError>>()?;
    Ok(HalfResult {
        sums: reduction::over_engines(sums, course.routes)?,
        found: found.concat(),
    })
}

/// Do something with each engine, given its number: the only one on this thread, several at the same time with an equal part of the
/// threads each.
fn each<T: Send>(
    engines: &mut [Engine],
    inputs: &[IterationInput],
    pools: &Pools,
    work: impl Fn(usize, &mut dyn ExpectationEngine, &IterationInput) -> Result<T, RunError> + Sync,
) -> Result<Vec<T>, RunError> {
    if let [engine] = engines {
        return Ok(vec![work(0, engine.as_mut(), &inputs[0])?]);
    }
    let threads = rayon::current_num_threads().div_ceil(engines.len());
    let work = &work;
    let tasks = engines
        .iter_mut()
        .zip(inputs)
        .enumerate()
        .map(|(number, (engine, input))| {
            move || {
                pools
                    .lend(threads)?
                    .install(|| work(number, engine.as_mut(), input))
            }
        });
    side_by_side(tasks).into_iter().collect()
}

impl<'a> Reader<'_, 'a> {
    /// Reads batch after batch until none is left or nobody wants them.
    fn run(&self, send: &SyncSender<Result<Batch<'a>, RunError>>) {
        loop {
            let Some(share) = lock(self.rest).next(self.engine) else {
                break;
            };
            let held = self.held(share);
            let most = match held.iter().all(|is_held| *is_held) {
                true => LISTING,
                false => READING,
            };
            let batch = self
                .pools
                .lend(self.threads.min(most))
                .and_then(|pool| pool.install(|| self.read(share, &held)));
            let failed = batch.is_err();
            // The receiver hangs up when an engine fails: nothing more is needed then.
            if send.send(batch).is_err() || failed {
                break;
            }
        }
    }

    fn read(&self, share: &'a [Dealt], held: &[bool]) -> Result<Batch<'a>, RunError> {
        let Source { set, images, .. } = self.source;
        let are_there = self.read_directly(share, held)?;
        let mut items = share
            .par_iter()
            .zip(held)
            .map(|(dealt, is_held)| {
                let particle = &set.particles[dealt.index];
                let image = match are_there || *is_held {
                    true => Pixels::NONE,
                    false => images.image(set, dealt.index)?,
                };
                Ok(BatchItem {
                    particle,
                    position: dealt.position,
                    image,
                    name: set.image_name(dealt.index),
                })
            })
            .collect::<Result<Vec<_>, RunError>>()?;
        if let Some(intake) = &self.intake {
            intake.take(&mut items)?;
            intake.foresee(self.input, &items);
        }
        Ok(Batch { share, items })
    }

    /// Which particles have images that the engine holds: they need not be read again.
    fn held(&self, share: &[Dealt]) -> Vec<bool> {
        let Some(intake) = &self.intake else {
            return vec![false; share.len()];
        };
        let id = |dealt: &Dealt| self.source.set.particles[dealt.index].id;
        intake.holds(&share.iter().map(id).collect::<Vec<_>>())
    }

    /// Brings images that are not `held` straight to where the engine wants them: for hundreds of megabytes, copies cost more than the disk. False where
    /// there is no room for all of them.
    fn read_directly(&self, share: &[Dealt], held: &[bool]) -> Result<bool, RunError> {
        let Source { set, images, .. } = self.source;
        let Some(intake) = &self.intake else {
            return Ok(false);
        };
        let id = |index: usize| set.particles[index].id;
        let wanted: Vec<usize> = share
            .iter()
            .zip(held)
            .filter(|(_, is_held)| !**is_held)
            .map(|(dealt, _)| dealt.index)
            .collect();
        let stored = |&index: &usize| {
            let (bytes, half) = images.stored(set, index);
            StoredImage {
                particle: id(index),
                bytes,
                half,
            }
        };
        let stored: Vec<StoredImage> = wanted.iter().map(stored).collect();
        let failed = Mutex::new(None);
        let are_there = intake.read(&stored, &|i, to| {
            if let Err(error) = images.read_stored(set, wanted[i], to) {
                let mut failed = lock(&failed);
                // The first one of the table, whichever thread comes first.
                if failed.as_ref().is_none_or(|&(first, _)| i < first) {
                    *failed = Some((i, error));
                }
            }
        })?;
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some((_, error)) => Err(error.into()),
            None => Ok(are_there),
        }
    }
}

/// One engine's part of the batches.
fn process(
    engine: &mut dyn ExpectationEngine,
    input: &IterationInput,
    batches: Receiver<Result<Batch, RunError>>,
    course: Course,
) -> Result<Vec<Found>, RunError> {
    let mut found = Vec::new();
    for batch in batches {
        course.stop.check()?;
        if course.failed.load(Ordering::Relaxed) {
            break;
        }
        let batch = batch?;
        course.ranks.watch().enter(&course.stage_of(batch.share));
        let outcomes = engine.process_batch(input, &batch.items)?;
        for (dealt, outcome) in batch.share.iter().zip(outcomes) {
            found.push((dealt.index, dealt.position, outcome));
        }
        course.progress.advance(batch.share.len());
    }
    Ok(found)
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
