//! One iteration: sizes → sampling → references → accuracies → expectation → maximisation → resolution
//! (spec 01 §0.2, spec 02 §5.1).

use crate::comm::Ranks;
use crate::dataset::Particle;
use crate::expectation::{ClassSelection, ImageSizes, StageTimes};
use crate::fourier::reference::Reference;
use crate::fourier::shells::round;
use crate::geometry::{prior, random::CRandom};
use crate::maximization::gradient::schedule::Schedule;
use crate::refinement::cli::console::{self, Console};
use crate::refinement::cli::phase::Phase;
use crate::refinement::cli::stage_log::Stage;
use crate::refinement::error::RunError;
use crate::refinement::job::Job;
use crate::refinement::parallel::broadcast;
use crate::refinement::parallel::workers::{StopSign, Workers, agree};
use crate::refinement::schedule::accuracy::{self, AccuracyInput};
use crate::refinement::schedule::changes::{self, ReferenceSteps};
use crate::refinement::schedule::gradient_iterations;
use crate::refinement::schedule::image_size::{self, PassRule, SizeRule};
use crate::refinement::schedule::{self, local_search_width};
use crate::refinement::start_up;
use crate::refinement::start_up::half_sets;
use crate::refinement::steps::expectation::{self, Alignment, Expected};
use crate::refinement::steps::fourier_references;
use crate::refinement::steps::maximization;
use crate::refinement::steps::rank_expectation;
use crate::refinement::warnings::mismatch;
use std::time::Instant;

/// Ways in which an iteration ends without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The models were updated.
    Updated,
    /// `--skip_maximize`: only the particles were.
    ParticlesOnly,
}

/// Run iteration `iteration` (from 1) of a job. With `job.state.converged` it is the last of an auto-refinement.
pub fn run(
    job: &mut Job,
    workers: &mut Workers,
    iteration: usize,
    console: &Console,
    stop: &StopSign,
) -> Result<Ended, RunError> {
    let begin = Instant::now();
    workers
        .ranks
        .watch()
        .enter(&format!("preparing iteration {iteration}"));
    job.state.iteration = iteration;
    gradient_iterations::follow_schedule(job, iteration);
    let sizes = set_sizes(job);
    if job.skips_orientations() {
        job.sampling.perturbation = 0.0;
    } else {
        let seed = job.state.random_seed.wrapping_add(iteration as u32);
        job.sampling.perturb(&mut CRandom::new(seed));
    }
    let halves = expectation::first_halves(job, workers);
    let references = agree(
        &workers.ranks,
        fourier_references::prepare(job, &halves, console),
    )?;
    let cc = job.cross_correlation(iteration);
    let due = |is_due: fn(&Schedule, usize) -> bool| {
        let schedule = job.gradient.as_ref();
        schedule.is_none_or(|schedule| is_due(schedule, iteration))
    };
    let moves = due(Schedule::looks_at_sampling);
    if !cc && !job.settings.skip_align && due(Schedule::estimates_accuracies) {
        estimate_accuracies(
            job,
            &workers.ranks,
            &references[0].whole[0],
            &sizes,
            console,
        )?;
    }
    if moves {
        update_sampling(job, iteration, cc, console);
    }
    announce(job, iteration, console);
    let orders = subset(job, iteration, console);
    let alignment = Alignment {
        orders: &orders,
        sizes: &sizes,
    };
    let Expected {
        sums,
        outcomes,
        times,
        kernels,
    } = expectation::run(job, workers, &alignment, references, console, stop)?;
    mismatch::after_expectation(job, &workers.ranks, &sums, &outcomes, console);
    let steps = reference_steps(job);
    let operators = (!job.sampling.in_plane).then(|| job.sampling.symmetry.operators());
    let changes = changes::measure(&job.particles.particles, &outcomes, operators);
    changes::count(&mut job.state, changes, steps);
    rank_expectation::apply(&mut job.particles, &outcomes);
    if job.settings.skip_maximize {
        return Ok(Ended::ParticlesOnly);
    }
    let maximizing = Instant::now();
    workers.ranks.watch().enter("maximisation");
    let title = " Making the maps of this iteration ...";
    let phase = Phase::begin(console, Stage::Maximization, Some(iteration), title, 0);
    maximization::run(job, &workers.ranks, sums, iteration, console)?;
    drop(phase);
    if job.class_selection(iteration) == ClassSelection::RandomPerParticle {
        job.state.seeds_due = false;
    }
    update_resolution(job, iteration, console);
    broadcast::broadcast_state(&workers.ranks, &mut job.state);
    report(console, iteration, &times, maximizing, begin);
    if let Some(kernels) = kernels {
        console.say(&kernels.to_string());
    }
    Ok(Ended::Updated)
}

fn report(
    console: &Console,
    iteration: usize,
    times: &StageTimes,
    maximizing: Instant,
    begin: Instant,
) {
    console.say(&console::stage_report(
        iteration,
        times,
        maximizing.elapsed().as_secs_f64(),
        begin.elapsed().as_secs_f64(),
    ));
}

/// Current size and the boxes of each optics group, from the resolution and sampling of the iteration before.
fn set_sizes(job: &mut Job) -> Vec<ImageSizes> {
    let model = &job.models[0];
    let (box_size, pixel_size) = (model.box_size, model.pixel_size);
    let current_size = image_size::current_size(&SizeRule {
        box_size,
        pixel_size,
        resolution: job.state.current_resolution,
        average_pmax: model.average_pmax,
        high_fsc_at_limit: job.state.high_fsc_at_limit,
        increment: job.state.increment_size,
        use_all_data: job.settings.use_all_data || job.state.converged,
    });
    let rule = PassRule {
        box_size,
        pixel_size,
        current_size,
        particle_diameter: job.expectation.particle_diameter,
        dimensions: model.dimensions(),
        angular_step: job.sampling.angular_step(),
        oversampling: job.expectation.oversampling,
        strict_highres: job.settings.strict_highres,
        max_coarse_size: job.settings.max_coarse_size,
    };
    job.state.current_size = current_size;
    for model in &mut job.models {
        model.current_size = current_size;
    }
    job.particles
        .optics
        .iter()
        .map(|group| image_size::image_sizes(group, &rule))
        .collect()
}

/// Expected accuracies, from the first particles of half 1 and its references.
fn estimate_accuracies(
    job: &mut Job,
    ranks: &Ranks,
    references: &[Reference],
    group_sizes: &[ImageSizes],
    console: &Console,
) -> Result<(), RunError> {
    console.say(&console::estimating_accuracies());
    let strict = job.settings.strict_highres.is_some() && !job.settings.accuracy_current_size;
    let sizes: Vec<usize> = group_sizes
        .iter()
        .map(|s| if strict { s.coarse } else { s.full })
        .collect();
    let particles: Vec<&Particle> = job.orders[0]
        .iter()
        .map(|&i| &job.particles.particles[i])
        .collect();
    let model = &job.models[0];
    let trials = accuracy::trials(model.dimensions(), model.classes.len(), particles.len());
    let title = " Trying how far particles can be moved without being noticed ...";
    let iteration = Some(job.state.iteration);
    let phase = Phase::begin(console, Stage::Accuracy, iteration, title, trials);
    let found = accuracy::estimate(&AccuracyInput {
        ranks,
        options: &job.expectation,
        model: &job.models[0],
        references,
        optics: &job.particles.optics,
        sizes: &sizes,
        particles: &particles,
        progress: &|trials| phase.advance(trials),
    })?;
    // Small classes are not tried, nor those of other ranks.
    phase.set(trials);
    drop(phase);
    let (mut rotations, mut translations) = (999.0f64, 999.0f64);
    for (class, found) in job.models[0].classes.iter_mut().zip(found) {
        if !job.settings.skip_rotate {
            class.accuracy_rotations = found.rotations;
            rotations = rotations.min(found.rotations);
            class.orientability = found.orientability.or(class.orientability.take());
        }
        class.accuracy_translations = found.translations;
        translations = translations.min(found.translations);
    }
    job.state.accuracy_rotations = rotations;
    job.state.accuracy_translations = translations;
    console.say(&console::accuracies(rotations, translations));
    let aligns = job.settings.auto_refine && !job.settings.skip_rotate;
    if aligns && let Some(warning) = console::poor_accuracy(job.state.iteration, rotations) {
        console.say(&warning);
    }
    Ok(())
}

fn update_sampling(job: &mut Job, iteration: usize, cc: bool, console: &Console) {
    let rule = job.schedule();
    if job.automatic_sampling() && iteration > 1 {
        let now = job.steps();
        if let Some(steps) = schedule::refine_sampling(&mut job.state, now, &rule) {
            job.resample(steps);
            if job.state.local_searches {
                job.search_locally(local_search_width(steps.healpix_order, rule.oversampling));
            }
        }
        console.say(&console::auto_sampling(
            &job.sampling,
            rule.oversampling,
            job.state.local_searches,
        ));
    } else if job.settings.allow_coarser_sampling
        && job.models[0].classes.len() > 1
        && !job.skips_orientations()
    {
        let steps = schedule::coarsen_sampling(&job.state, job.original_steps(), &rule, cc);
        job.resample(steps);
    }
}

fn announce(job: &Job, iteration: usize, console: &Console) {
    console.say(&console::current_resolution(
        job.state.current_resolution,
        job.expectation.particle_diameter,
    ));
    let orientations = match &job.models[0].local_search {
        Some(search) => job.orders[0].first().map_or(0, |&i| {
            let p = &job.particles.particles[i];
            prior::searched_orientations(&job.sampling, [p.rot, p.tilt, p.psi], search).len()
        }),
        None => job.sampling.directions.len() * job.sampling.n_psi(),
    };
    for order in [0, job.expectation.oversampling] {
        console.say(&console::sampling_points(
            order,
            job.sampling.relaxed.as_ref().map(|group| group.name()),
            job.models[0].classes.len(),
            orientations * job.sampling.orientation_children(order),
            job.sampling.oversampled_angular_step(order),
            job.sampling.translations.len() << (2 * order),
            job.sampling.offset_step / f64::from(1u32 << order),
        ));
        if job.expectation.oversampling == 0 {
            break;
        }
    }
    let last = start_up::last_iteration(&job.settings);
    console.say(&match job.settings.auto_refine {
        true => console::expectation(iteration, None),
        false => gradient_iterations::announcement(job, iteration, last),
    });
}

/// Particles of this iteration, per half: all, the first ones in a gradient run, or with `--fast_subsets` the first of a new
/// random order.
fn subset(job: &Job, iteration: usize, console: &Console) -> Vec<Vec<usize>> {
    if job.gradient.is_some() {
        let order = &job.orders[0];
        let size = usize::try_from(job.state.subset_size).unwrap_or(order.len());
        return vec![order[..size.min(order.len())].to_vec()];
    }
    let particles = &job.particles.particles;
    let size = job
        .settings
        .fast_subsets
        .then(|| schedule::subset_size(iteration, job.models[0].classes.len(), particles.len()))
        .flatten();
    let Some(size) = size else {
        return job.orders.clone();
    };
    console.say(&format!(" Setting subset size to {size} particles"));
    let mut orders =
        half_sets::processing_order(particles, false, job.state.random_seed, iteration);
    orders[0].truncate(size);
    orders
}

fn reference_steps(job: &Job) -> ReferenceSteps {
    let steps = if job.settings.auto_refine {
        job.original_steps()
    } else {
        job.steps()
    };
    let oversampling = job.expectation.oversampling;
    ReferenceSteps {
        angular: schedule::angular_step(steps.healpix_order + oversampling),
        offset: steps.offset_step / f64::from(1u32 << oversampling),
    }
}

/// Current resolution from the options or the data-versus-prior spectra (spec 02 §4.1). `iteration` 0 is start-up.
pub fn update_resolution(job: &mut Job, iteration: usize, console: &Console) {
    let model = &job.models[0];
    let width = model.box_size as f64 * model.pixel_size;
    let filter = job.settings.initial_filter(iteration, model.pixel_size);
    let shell = if job.settings.no_map {
        model.box_size / 2
    } else if let Some(filter) = filter {
        round(filter.shells(model.box_size)) as usize
    } else {
        let spectra: Vec<&[f64]> = model.classes.iter().map(|c| c.ssnr.as_slice()).collect();
        let gold_standard = job.halves() && job.settings.auto_refine;
        let found = image_size::resolution_shell(&spectra, gold_standard, job.settings.minres_map);
        if let Some(dip) = found.dipped_at {
            let (higher, lower) = (width / found.shell as f64, width / dip as f64);
            console.warn(&console::dipped_fsc(higher, lower));
        }
        found.shell
    };
    let resolution = shell as f64 / width;
    job.state.update_resolution(resolution);
    for model in &mut job.models {
        model.current_resolution = resolution;
    }
}
