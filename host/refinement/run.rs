//! A whole run: start-up, iterations, files, messages.

use crate::comm::Ranks;
use crate::errors::{Code, Message, shell_word};
use crate::refinement::checkpoint::background_writer::Writer;
use crate::refinement::checkpoint::resume::Resumed;
use crate::refinement::checkpoint::{self, FinalFiles};
use crate::refinement::cli::console::{self, Console};
use crate::refinement::cli::job_markers::Pipeline;
use crate::refinement::cli::run_events;
use crate::refinement::error::RunError;
use crate::refinement::iteration::{self, Ended};
use crate::refinement::job::Job;
use crate::refinement::memory::device_plan::{self, Prospect};
use crate::refinement::memory::host_plan::{self, HostPlan};
use crate::refinement::parallel::threads;
use crate::refinement::parallel::workers::{Staff, StopSign, Workers, agree};
use crate::refinement::schedule;
use crate::refinement::schedule::gradient_iterations;
use crate::refinement::settings::Settings;
use crate::refinement::start_up;
use crate::refinement::start_up::half_sets;
use crate::refinement::start_up::input_checks;
use crate::refinement::start_up::scratch;
use crate::refinement::warnings::{at_end, search_size};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Run a fresh job from files to files, on as many threads as `--j` asks for (0: all cores). A collective of the ranks of
/// the staff, each of which is given the same settings.
pub fn run(settings: Settings, staff: &mut (impl Staff + Send)) -> Result<(), RunError> {
    let ranks = staff.ranks();
    let pool = threads::pool(threads::of_rank(&settings, &ranks))?;
    let console = run_events::console(&settings, &ranks)?;
    let result = pool.install(|| {
        let stop = stop_sign(&settings, &ranks);
        engage_first(&settings, staff, &console)?;
        ranks.watch().enter("start-up");
        let mut job = start_up::fresh(settings, &ranks, &console, &stop)?;
        let workers = staff.workers(&job.settings, &console)?;
        let mut writer = Writer::new(ranks.watch().view(), &console);
        lead(&ranks, || writer.begin(&job))?;
        iteration::update_resolution(&mut job, 0, &console);
        iterate(&mut job, workers, writer, &console, &stop)?;
        at_end::tell(&job, &ranks, &console);
        leave_scratch(&mut job)
    });
    run_events::ended(&console, &result);
    result
}

/// Go on with a run that was read from its optimiser file. `Settings::apply_continue_options` and
/// [`Resumed::apply_settings`] have been called on it. A collective, as [`run`].
pub fn resume(resumed: Resumed, staff: &mut (impl Staff + Send)) -> Result<(), RunError> {
    let ranks = staff.ranks();
    let pool = threads::pool(threads::of_rank(&resumed.settings, &ranks))?;
    let console = run_events::console(&resumed.settings, &ranks)?;
    let result = pool.install(|| {
        let stop = stop_sign(&resumed.settings, &ranks);
        engage_first(&resumed.settings, staff, &console)?;
        ranks.watch().enter("start-up");
        let exact = resumed.exact;
        let mut job = agree(&ranks, start_up::resumed(resumed, &ranks, &console))?;
        scratch::copy(&mut job.images, &job.settings, &ranks, &console, &stop)?;
        let workers = staff.workers(&job.settings, &console)?;
        let mut writer = Writer::new(ranks.watch().view(), &console);
        lead(&ranks, || writer.begin(&job))?;
        // RELION evaluates the resolution again here, which counts as one more iteration without gain.
        if !exact {
            let iteration = job.state.iteration;
            iteration::update_resolution(&mut job, iteration, &console);
        }
        iterate(&mut job, workers, writer, &console, &stop)?;
        at_end::tell(&job, &ranks, &console);
        leave_scratch(&mut job)
    });
    run_events::ended(&console, &result);
    result
}

/// Has the workers come before the start-up, where it may take long: a card that cannot be used is told of at once.
fn engage_first(
    settings: &Settings,
    staff: &mut impl Staff,
    console: &Console,
) -> Result<(), RunError> {
    if settings.gpu.is_none() || settings.scratch_dir.is_some() {
        staff.workers(settings, console)?;
    }
    Ok(())
}

fn stop_sign(settings: &Settings, ranks: &Arc<Ranks>) -> StopSign {
    let pipeline = Pipeline::new(settings.pipeline_control.clone());
    StopSign::new(ranks.clone(), pipeline)
}

fn iterate(
    job: &mut Job,
    workers: &mut Workers,
    mut writer: Writer,
    console: &Console,
    stop: &StopSign,
) -> Result<(), RunError> {
    let ranks = workers.ranks.clone();
    if job.state.random_seed == 0 {
        console.warn(" + WARNING: --random_seed 0 leaves the particles in the order of the table.");
    }
    job.orders = half_sets::processing_order(
        &job.particles.particles,
        job.halves(),
        job.state.random_seed,
        job.order_iteration,
    );
    gradient_iterations::start(job, console);
    let mut begins = Ok(());
    // The card with least room decides what all of them take at a time.
    let rooms = workers.engines.iter().filter_map(|engine| engine.device());
    if let Some(limit) = rooms.map(|device| device.memory_room()).min() {
        let prospect = Prospect::of(job);
        console.say(&device_plan::table(&prospect.stages(limit), limit));
        begins = prospect.check(limit);
    }
    agree(&ranks, begins)?;
    let on_host = workers
        .engines
        .iter()
        .any(|engine| engine.device().is_none());
    let free = host_plan::free(ranks.place_on_host().1);
    let plan = HostPlan::of(job, on_host);
    console.say(&plan.line(free));
    // The maps have been read already.
    let rest = HostPlan { maps: 0.0, ..plan };
    agree(&ranks, rest.check(free).map_err(RunError::from))?;
    input_checks::warn_all(console, &search_size::of(job));
    tell_regions(job, console);
    let last = start_up::last_iteration(&job.settings);
    let first = job.state.iteration + 1;
    if first > last {
        let option = match job.settings.auto_refine {
            true => "--auto_iter_max",
            false => "--iter",
        };
        console.warn(&format!(
            " + WARNING: iteration {} is done already, and {option} {last} asks for no more. For further iterations give a \
             higher {option}.",
            job.state.iteration
        ));
    }
    for number in first..=last {
        if job.settings.auto_refine {
            let forced = job.settings.force_converge && number == first && number > 1;
            check_convergence(job, number, forced, console);
        }
        let begin = Instant::now();
        let ended = match iteration::run(job, workers, number, console, stop) {
            // Files that could not be written stop the work of the iteration after.
            Err(RunError::Stopped) => {
                writer.wait()?;
                return Err(RunError::Stopped);
            }
            result => result?,
        };
        if ended == Ended::ParticlesOnly {
            return lead(&ranks, || {
                writer.wait()?;
                let path = format!("{}_it{number:03}_data.star", job.settings.output_root);
                Ok(job.particles.write(Path::new(&path), job.halves(), true)?)
            });
        }
        run_events::iteration_done(console, job, begin.elapsed().as_secs_f64());
        if job.state.converged || job.settings.maps.join_halves {
            lead(&ranks, || writer.wait())?;
            return finish(job, &ranks, console);
        }
        let schedule = job.gradient.as_ref();
        if schedule.is_none_or(|schedule| schedule.is_written(number)) {
            lead(&ranks, || writer.begin(job))?;
        }
        if let Some(limit) = job.settings.abort_at_resolution
            && job.state.current_resolution > 0.0
            && 1.0 / job.state.current_resolution < limit
        {
            console.say(&format!(
                " Current resolution {} A is beyond --abort_at_resolution {limit} A: stopping",
                1.0 / job.state.current_resolution
            ));
            return lead(&ranks, || writer.wait());
        }
    }
    if job.settings.auto_refine {
        console.warn(&not_converged(&job.settings.output_root, last));
    }
    lead(&ranks, || writer.wait())
}

/// Says what is subtracted from the images.
fn tell_regions(job: &Job, console: &Console) {
    let Some(regions) = &job.regions else { return };
    console.say(" Images are compared without the signal of the unwanted region (--red_mask)");
    if job.state.iteration + 1 < regions.from_iteration {
        console.say(
            "  but not in the first iteration, which has no orientations yet to project that signal with",
        );
    }
}

/// Says that an auto-refinement has ended before its end, and how to go on.
fn not_converged(root: &str, last: usize) -> String {
    let optimiser = shell_word(format!("{root}_it{last:03}_optimiser.star"));
    format!(
        " + WARNING: auto-refinement did not converge within {last} iterations (--auto_iter_max), so no final map was made. Go on \
         with --continue {optimiser} and a higher --auto_iter_max, or with --force_converge."
    )
}

fn check_convergence(job: &mut Job, iteration: usize, forced: bool, console: &Console) {
    console.say(&console::auto_refine_status(iteration, &job.state));
    let (extra, rule) = (job.settings.regions.extra_iterations, job.schedule());
    if schedule::is_last(&mut job.state, &rule, extra, forced) {
        job.state.converged = true;
        console.say(&console::converged());
    } else if let Some(done) = job.state.iterations_after_convergence {
        let number = done + 1;
        console.say(&format!(
            " Auto-refine has converged: iteration {number} of --extra_iter {extra} before the last one"
        ));
    }
}

/// The copies of the images are of no use any more.
fn leave_scratch(job: &mut Job) -> Result<(), RunError> {
    job.images.leave_scratch().map_err(|error| {
        Code::SCRATCH
            .says(format!(
                "the run is complete, but the copies in --scratch_dir cannot be removed: {error}"
            ))
            .into()
    })
}

/// Let the first rank do something that all ranks need done. A collective.
fn lead(ranks: &Ranks, work: impl FnOnce() -> Result<(), RunError>) -> Result<(), RunError> {
    let result = if ranks.leads() { work() } else { Ok(()) };
    agree(ranks, result)
}

/// Writes the files without a number of the joined half-sets.
fn finish(job: &Job, ranks: &Ranks, console: &Console) -> Result<(), RunError> {
    let converged = job.state.converged;
    if converged && job.unfiltered.len() != 2 {
        return Err(Message::internal("the last iteration made no unregularised half maps").into());
    }
    lead(ranks, || {
        checkpoint::write_final(&FinalFiles {
            settings: &job.settings,
            state: &job.state,
            particles: &job.particles,
            model: &job.models[0],
            sampling: &job.sampling,
            original_sampling: job.original_sampling,
            order_iteration: job.order_iteration,
            unfiltered: &job.unfiltered,
        })?;
        Ok(())
    })?;
    if !converged {
        console.say(&console::joined(&job.settings.output_root));
        return Ok(());
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_can_be_given_to_a_shell() {
        let plain = not_converged("Refine3D/job001/run", 3);
        assert!(
            plain.contains("--continue Refine3D/job001/run_it003_optimiser.star and"),
            "{plain}"
        );
        let blank = not_converged("my job/run", 50);
        assert!(
            blank.contains("--continue 'my job/run_it050_optimiser.star' and"),
            "{blank}"
        );
    }
}
