//! The expectation step of all half-sets on all ranks: each aligns its share, then sums and outcomes are put together.

use crate::comm::Ranks;
use crate::device::Device;
use crate::expectation::{
    Criterion, ExpectationError, ImageSizes, IterationInput, ParticleOutcome, StageTimes,
    WeightedSums,
};
use crate::fourier::shape::VolumeShape;
use crate::fourier::sums::Parked;
use crate::maximization::Footprint;
use crate::refinement::cli::console::{self, Console};
use crate::refinement::cli::kernel_report::{self, KernelReport};
use crate::refinement::cli::phase::Phase;
use crate::refinement::cli::stage_log::Stage;
use crate::refinement::error::RunError;
use crate::refinement::job::Job;
use crate::refinement::parallel::card_sums::Routes;
use crate::refinement::parallel::engine_shares::align_halves_at_once;
use crate::refinement::parallel::load_balance::{CostRule, Dealt, deal};
use crate::refinement::parallel::reduction;
use crate::refinement::parallel::threads::{Pools, side_by_side};
use crate::refinement::parallel::workers::{Engine, StopSign, Workers, agree};
use crate::refinement::steps::fourier_references::{self, HalfReferences, Places};
use crate::refinement::steps::rank_expectation::{self, Course, HalfResult, Source};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Results of the expectation step of an iteration; the same on all ranks.
pub struct Expected {
    /// Weighted sums of each half-set.
    pub sums: Vec<WeightedSums>,
    /// Outcome of each particle (index in the table), in processing order, half-set by half-set.
    pub outcomes: Vec<(usize, ParticleOutcome)>,
    /// Where the time of this rank's engines went: the mean over its engines, which work at the same time.
    pub times: StageTimes,
    /// Times and work of the main kernels of this rank's devices.
    pub kernels: Option<KernelReport>,
}

/// This rank's particles of each half-set, and what all ranks' shares are predicted to cost.
struct Shares {
    own: Vec<Vec<Dealt>>,
    costs: Vec<f64>,
}

fn shares(job: &Job, workers: &Workers, orders: &[Vec<usize>]) -> Shares {
    let particles = &job.particles.particles;
    let boxes = job.particles.optics.iter().map(|group| group.box_size);
    let rule = CostRule::new(particles, orders, boxes.collect());
    let mut costs = vec![0.0; workers.ranks.size()];
    let mut own = Vec::new();
    let mut position = 0;
    for order in orders {
        let mut shares = deal(particles, order, position, &rule, &workers.speeds);
        for (cost, share) in costs.iter_mut().zip(&shares) {
            *cost += share
                .iter()
                .map(|dealt| rule.cost(&particles[dealt.index]))
                .sum::<f64>();
        }
        own.push(shares.swap_remove(workers.ranks.rank()));
        position += order.len();
    }
    Shares { own, costs }
}

/// Particles to be aligned.
pub struct Alignment<'a> {
    /// Particles of each half-set, in processing order.
    pub orders: &'a [Vec<usize>],
    /// Boxes of each optics group.
    pub sizes: &'a [ImageSizes],
}

/// Returns the half-sets with which an iteration begins, and where their references are wanted: both, where each has engines of its
/// own; else the first, with all engines.
pub(crate) fn first_halves(job: &Job, workers: &Workers) -> Vec<(usize, Places)> {
    let engines = &workers.engines;
    // Half-sets of the user's own may be unequal: the engines of the smaller one would wait for the others.
    let equal = |orders: &[Vec<usize>]| {
        let (one, other) = (orders[0].len(), orders[1].len());
        20 * one.abs_diff(other) <= one + other
    };
    match job.halves() && equal(&job.orders) && align_halves_at_once(engines) {
        true => {
            let parts = engines.chunks(engines.len() / 2);
            parts.map(fourier_references::places).enumerate().collect()
        }
        false => vec![(0, fourier_references::places(engines))],
    }
}

/// Align all particles. `references` are those of [`first_halves`]; those of a later half-set are made when its turn comes.
/// A collective.
pub fn run(
    job: &mut Job,
    workers: &mut Workers,
    alignment: &Alignment,
    references: Vec<HalfReferences>,
    console: &Console,
    stop: &StopSign,
) -> Result<Expected, RunError> {
    let shares = shares(job, workers, alignment.orders);
    let ranks = workers.ranks.clone();
    let begin = Instant::now();
    let aligned = align(
        job,
        workers,
        alignment,
        references,
        &shares.own,
        console,
        stop,
    );
    let busy = begin.elapsed().as_secs_f64();
    let halves = agree(&ranks, aligned)?;
    let all_busy: Vec<f64> = ranks.gather_numbers(&[busy]).concat();
    if ranks.size() > 1 {
        console.say(&console::busy_shares(&all_busy));
        if !job.settings.deterministic {
            workers.speeds.learn(&shares.costs, &all_busy);
        }
    }
    let mut expected = Expected {
        sums: Vec::new(),
        outcomes: Vec::new(),
        times: StageTimes::default(),
        kernels: agree(&ranks, kernel_report::take(&workers.engines))?,
    };
    for engine in &mut workers.engines {
        expected.times.add(&engine.take_times());
    }
    expected.times = expected.times.divided_by(workers.engines.len());
    ranks.watch().enter("summing over ranks");
    let mut failed = None;
    for mut half in halves {
        failed = failed.or(reduction::over_ranks(&ranks, &workers.routes, &mut half.sums).err());
        expected.sums.push(half.sums);
        expected
            .outcomes
            .extend(reduction::gather_outcomes(&ranks, half.found));
    }
    agree(&ranks, failed.map_or(Ok(()), Err))?;
    Ok(expected)
}

/// Input of the alignment of each half-set of a rank.
#[derive(Clone, Copy)]
struct Work<'a> {
    sizes: &'a [ImageSizes],
    shares: &'a [Vec<Dealt>],
    console: &'a Console,
    stop: &'a StopSign,
    ranks: &'a Ranks,
    routes: &'a Routes,
    pools: &'a Pools,
    progress: &'a Phase,
    failed: &'a AtomicBool,
}

fn align(
    job: &mut Job,
    workers: &mut Workers,
    alignment: &Alignment,
    references: Vec<HalfReferences>,
    shares: &[Vec<Dealt>],
    console: &Console,
    stop: &StopSign,
) -> Result<Vec<HalfResult>, RunError> {
    let own: Vec<usize> = shares.iter().flatten().map(|dealt| dealt.index).collect();
    if workers.ranks.size() > 1 {
        job.images.drop_others(&own);
    }
    let iteration = Some(job.state.iteration);
    let progress = Phase::with_bar(console, Stage::Expectation, iteration, own.len());
    let work = Work {
        sizes: alignment.sizes,
        shares,
        console,
        stop,
        ranks: &workers.ranks,
        routes: &workers.routes,
        pools: &workers.pools,
        progress: &progress,
        failed: &AtomicBool::new(false),
    };
    let engines = &mut workers.engines;
    match references.len() {
        1 => in_turn(job, engines, references, work),
        _ => at_once(job, engines, references, work),
    }
}

/// Aligns one half-set after the other with all engines.
fn in_turn(
    job: &mut Job,
    engines: &mut [Engine],
    first: Vec<HalfReferences>,
    work: Work,
) -> Result<Vec<HalfResult>, RunError> {
    let (mut results, mut parked) = (Vec::new(), Vec::new());
    let mut first = first.into_iter();
    for half in 0..work.shares.len() {
        let references = match first.next() {
            Some(references) => references,
            None => {
                let wanted = [(half, fourier_references::places(engines))];
                fourier_references::prepare(job, &wanted, work.console)?.remove(0)
            }
        };
        let mut result = one_half(job, engines, &references, half, work)?;
        if half + 1 < work.shares.len() {
            let inputs = inputs(job, &references, engines.len(), work.sizes, half);
            parked.push(make_room(&mut result, engines, &inputs)?);
        }
        results.push(result);
    }
    for (result, parked) in results.iter_mut().zip(parked) {
        for (sums, parked) in result.sums.backprojections.iter_mut().zip(parked) {
            sums.restore(parked).map_err(ExpectationError::from)?;
        }
    }
    Ok(results)
}

/// Aligns all half-sets at the same time, each with an equal part of the engines and of the threads. Their sums come to the
/// device of the first engine, as if it had aligned all of them.
fn at_once(
    job: &Job,
    engines: &mut [Engine],
    references: Vec<HalfReferences>,
    work: Work,
) -> Result<Vec<HalfResult>, RunError> {
    let halves = references.len();
    let threads = rayon::current_num_threads().div_ceil(halves);
    let parts = engines.chunks_mut(engines.len() / halves);
    let tasks = parts
        .zip(references)
        .enumerate()
        .map(|(half, (engines, references))| {
            move || {
                work.pools
                    .lend(threads)?
                    .install(|| one_half(job, engines, &references, half, work))
            }
        });
    let aligned: Vec<Result<HalfResult, RunError>> = side_by_side(tasks);
    let mut results = aligned.into_iter().collect::<Result<Vec<_>, _>>()?;
    if let Some(device) = engines[0].device() {
        for sums in results
            .iter_mut()
            .flat_map(|half| &mut half.sums.backprojections)
        {
            sums.move_to(&device).map_err(ExpectationError::from)?;
        }
    }
    Ok(results)
}

/// Aligns this rank's particles of a half-set with these engines.
fn one_half(
    job: &Job,
    engines: &mut [Engine],
    references: &HalfReferences,
    half: usize,
    work: Work,
) -> Result<HalfResult, RunError> {
    let inputs = inputs(job, references, engines.len(), work.sizes, half);
    let stage = match job.halves() {
        true => format!(" of half {}", half + 1),
        false => String::new(),
    };
    let source = Source {
        set: &job.particles,
        images: &job.images,
        share: &work.shares[half],
    };
    let course = Course {
        stop: work.stop,
        failed: work.failed,
        ranks: work.ranks,
        routes: work.routes,
        pools: work.pools,
        stage: &stage,
        progress: work.progress,
    };
    rank_expectation::run(engines, &inputs, source, course)
}

/// Inputs of `engines` engines for a half-set.
fn inputs<'a>(
    job: &'a Job,
    references: &'a HalfReferences,
    engines: usize,
    sizes: &'a [ImageSizes],
    half: usize,
) -> Vec<IterationInput<'a>> {
    (0..engines)
        .map(|engine| input(job, references, engine, sizes, half))
        .collect()
}

/// The sums of a half-set wait on the host where they would be in the way of the next one; nothing where they stay.
fn make_room(
    result: &mut HalfResult,
    engines: &[Engine],
    inputs: &[IterationInput],
) -> Result<Vec<Parked>, RunError> {
    let sums = &mut result.sums.backprojections;
    let in_the_way = engines.iter().zip(inputs).any(|(engine, input)| {
        engine.device().is_some_and(|device| {
            let bytes = sums.iter().map(|sums| sums.bytes_on(&device)).sum();
            let room = device.memory_room() + device.spares().bytes();
            bytes > 0 && (engine.is_crowded_by(input, bytes) || room < preparing(input, &device))
        })
    });
    if !in_the_way {
        return Ok(Vec::new());
    }
    sums.iter_mut()
        .map(|sums| Ok(sums.park().map_err(ExpectationError::from)?))
        .collect()
}

/// Bytes of a device that the references of the next half-set take while they are made, beyond those of this one, which are
/// freed before.
fn preparing(input: &IterationInput, device: &Arc<Device>) -> usize {
    let model = input.model;
    let shape = VolumeShape::new(
        model.dimensions(),
        model.box_size,
        model.padding,
        model.current_size,
    );
    let volumes = input.references.len() + input.subtraction.map_or(0, |s| s.wanted.len());
    let needed = Footprint::new(&shape, model.box_size, volumes).prepare;
    let wanted = input.subtraction.map_or(&[][..], |s| s.wanted);
    let references = input.references.iter().chain(wanted);
    let there = references.filter(|r| r.is_on(device));
    needed.saturating_sub(there.map(|r| 8 * r.shape().voxels()).sum())
}

/// Input of engine `engine` for a half-set.
fn input<'a>(
    job: &'a Job,
    references: &'a HalfReferences,
    engine: usize,
    sizes: &'a [ImageSizes],
    half: usize,
) -> IterationInput<'a> {
    let iteration = job.state.iteration;
    IterationInput {
        options: &job.expectation,
        model: &job.models[half],
        references: &references.whole[engine],
        optics: &job.particles.optics,
        sizes,
        sampling: &job.sampling,
        criterion: if job.cross_correlation(iteration) {
            Criterion::CrossCorrelation
        } else {
            Criterion::Likelihood
        },
        classes: job.class_selection(iteration),
        references_ctf_corrected: job.state.references_ctf_corrected,
        priors_from_current: job.priors_from_current(),
        gradient: job.state.gradient,
        subtraction: references.subtraction(engine),
    }
}
