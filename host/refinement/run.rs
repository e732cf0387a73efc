//! A whole run: start-up, iterations, files, messages.

use super::console::{self, Console};
use super::error::RunError;
use super::iteration::{self, Ended};
use super::job::Job;
use super::memory_plan::{self, Prospect};
use super::output::{self, FinalFiles};
use super::pipeline::Pipeline;
use super::resume::Resumed;
use super::settings::Settings;
use super::writer::Writer;
use super::{half_sets, schedule, start_up};
use crate::expectation::ExpectationEngine;
use std::path::Path;

/// Run a fresh job from files to files, on as many threads as `--j` asks for (0: all cores).
pub fn run(
    settings: Settings,
    engine: &mut (dyn ExpectationEngine + Send),
) -> Result<(), RunError> {
    let pool = thread_pool(settings.threads)?;
    pool.install(|| {
        let console = Console {
            verbosity: settings.verbosity,
        };
        console.say(&console::version());
        let mut poll = abort_poll(&settings);
        let mut job = start_up::fresh(settings, &console, &mut poll)?;
        let mut writer = Writer::default();
        writer.begin(&mut job)?;
        iteration::update_resolution(&mut job, 0, &console);
        iterate(&mut job, engine, writer, &console, &mut poll)
    })
}

/// Go on with a run that was read from its optimiser file. `Settings::apply_continue_options` and
/// [`Resumed::apply_settings`] have been called on it.
pub fn resume(
    resumed: Resumed,
    engine: &mut (dyn ExpectationEngine + Send),
) -> Result<(), RunError> {
    let pool = thread_pool(resumed.settings.threads)?;
    pool.install(|| {
        let console = Console {
            verbosity: resumed.settings.verbosity,
        };
        console.say(&console::version());
        let mut poll = abort_poll(&resumed.settings);
        let exact = resumed.exact;
        let mut job = start_up::resumed(resumed, &console)?;
        let mut writer = Writer::default();
        writer.begin(&mut job)?;
        // RELION evaluates the resolution again here, which counts as one more iteration without gain.
        if !exact {
            let iteration = job.state.iteration;
            iteration::update_resolution(&mut job, iteration, &console);
        }
        iterate(&mut job, engine, writer, &console, &mut poll)
    })
}

fn thread_pool(threads: usize) -> Result<rayon::ThreadPool, RunError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|error| {
            RunError::Invalid(format!(
                "{threads} threads cannot be started: {error}. Give a smaller number with --j."
            ))
        })
}

/// Stops the run when the pipeline's abort file appears (spec 03 §4.3).
fn abort_poll(settings: &Settings) -> impl FnMut() -> Result<(), RunError> + use<> {
    let pipeline = Pipeline::new(settings.pipeline_control.clone());
    move || match pipeline.abort_requested() {
        true => Err(RunError::Aborted),
        false => Ok(()),
    }
}

fn iterate(
    job: &mut Job,
    engine: &mut dyn ExpectationEngine,
    mut writer: Writer,
    console: &Console,
    poll: &mut dyn FnMut() -> Result<(), RunError>,
) -> Result<(), RunError> {
    if job.state.random_seed == 0 {
        console.warn(" + WARNING: --random_seed 0 leaves the particles in the order of the table.");
    }
    job.orders = half_sets::processing_order(
        &job.particles.particles,
        job.halves(),
        job.state.random_seed,
        job.order_iteration,
    );
    if let Some(device) = engine.device() {
        let limit = device.memory_room();
        let stages = Prospect::of(job).stages(limit);
        console.say(&memory_plan::table(&stages, limit));
    }
    let last = start_up::last_iteration(&job.settings);
    let first = job.state.iteration + 1;
    for number in first..=last {
        if job.settings.auto_refine {
            let forced = job.settings.force_converge && number == first && number > 1;
            check_convergence(job, number, forced, console);
        }
        let ended = iteration::run(job, engine, number, console, poll)?;
        if ended == Ended::ParticlesOnly {
            writer.wait()?;
            let path = format!("{}_it{number:03}_data.star", job.settings.output_root);
            job.particles.write(Path::new(&path), job.halves(), true)?;
            return Ok(());
        }
        if job.state.converged {
            writer.wait()?;
            return finish(job, console);
        }
        writer.begin(job)?;
        if let Some(limit) = job.settings.abort_at_resolution
            && job.state.current_resolution > 0.0
            && 1.0 / job.state.current_resolution < limit
        {
            console.say(&format!(
                " Current resolution {} A is beyond --abort_at_resolution {limit} A: stopping",
                1.0 / job.state.current_resolution
            ));
            return writer.wait();
        }
    }
    if job.settings.auto_refine {
        console.warn(&format!(
            " + WARNING: auto-refinement did not converge within {last} iterations (--auto_iter_max), so no final map was \
             made. Continue from {}_it{last:03}_optimiser.star with a higher limit, or with --force_converge.",
            job.settings.output_root
        ));
    }
    writer.wait()
}

fn check_convergence(job: &mut Job, iteration: usize, forced: bool, console: &Console) {
    console.say(&console::auto_refine_status(iteration, &job.state));
    if forced || schedule::has_converged(&job.state, &job.schedule()) {
        job.state.converged = true;
        console.say(&console::converged());
    }
}

fn finish(job: &Job, console: &Console) -> Result<(), RunError> {
    let [first, second] = job.unfiltered.as_slice() else {
        return Err(RunError::Invalid(
            "the last iteration made no unregularised half maps: this is a defect of the program, please report it."
                .into(),
        ));
    };
    output::write_final(&FinalFiles {
        settings: &job.settings,
        state: &job.state,
        particles: &job.particles,
        model: &job.models[0],
        sampling: &job.sampling,
        original_sampling: job.original_sampling,
        order_iteration: job.order_iteration,
        unfiltered: [first, second],
    })?;
    let masked = job.settings.solvent_correct_fsc && job.solvent.mask().is_some();
    console.say(&console::finished(
        &job.settings.output_root,
        1.0 / job.state.current_resolution,
        masked,
        job.maximization.tau2_fudge,
        job.state.accuracy_rotations,
    ));
    Ok(())
}
