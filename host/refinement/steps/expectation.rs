//! The expectation step of all half-sets on all ranks: each aligns its share, then sums and outcomes are put together.

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
use crate::refinement::parallel::load_balance::{CostRule, Dealt, deal};
use crate::refinement::parallel::reduction;
use crate::refinement::parallel::workers::{Engine, StopSign, Workers, agree};
use crate::refinement::steps::fourier_references::{self, HalfReferences};
use crate::refinement::steps::rank_expectation::{self, Course, HalfResult, Source};
use std::sync::Arc;
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

/// Align all particles. `references` are those of the first half for each engine; those of the second are made when their
/// turn comes. A collective.
pub fn run(
    job: &mut Job,
    workers: &mut Workers,
    alignment: &Alignment,
    references: HalfReferences,
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

fn align(
    job: &mut Job,
    workers: &mut Workers,
    alignment: &Alignment,
    references: HalfReferences,
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
    let (mut results, mut parked) = (Vec::new(), Vec::new());
    let mut first = Some(references);
    for (half, share) in shares.iter().enumerate() {
        let references = match first.take() {
            Some(references) => references,
            None => fourier_references::prepare(job, half, &workers.engines, console)?,
        };
        let inputs: Vec<IterationInput> = (0..workers.engines.len())
            .map(|engine| input(job, &references, engine, alignment.sizes, half))
            .collect();
        let stage = match job.halves() {
            true => format!(" of half {}", half + 1),
            false => String::new(),
        };
        let source = Source {
            set: &job.particles,
            images: &job.images,
            share,
        };
        let course = Course {
            stop,
            ranks: &workers.ranks,
            routes: &workers.routes,
            stage: &stage,
            progress: &progress,
        };
        let (engines, pools) = (&mut workers.engines, &mut workers.pools);
        let mut result = rank_expectation::run(engines, pools, &inputs, source, course)?;
        if half + 1 < shares.len() {
            parked.push(make_room(&mut result, &workers.engines, &inputs)?);
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
