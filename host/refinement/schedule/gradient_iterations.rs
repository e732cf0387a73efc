//! Beginning of an iteration of a gradient run: schedule, subset, cap on significant samples (spec 05 §0, §3–5).

use crate::fourier::shape::Dimensions;
use crate::maximization::gradient::schedule::{JobKind, Schedule};
use crate::model::Moments;
use crate::refinement::checkpoint::moment_files::smallest;
use crate::refinement::cli::console::{self, Console};
use crate::refinement::job::Job;
use crate::refinement::schedule::subsets;
use crate::refinement::settings::Settings;
use crate::refinement::start_up::last_iteration;
use crate::refinement::state::Subset;

/// Most significant coarse samples of a particle per class, for class averages and for maps.
const SAMPLES_PER_CLASS: [usize; 2] = [5, 100];

/// The schedule of a run with `--grad`. Sizes of subsets that follow from the number of particles are fixed in the settings.
pub(crate) fn schedule(
    settings: &mut Settings,
    dimensions: Dimensions,
    particles: usize,
) -> Option<Schedule> {
    if !settings.gradient.on {
        return None;
    }
    let options = settings.gradient.schedule_options(
        last_iteration(settings),
        settings.tau2_fudge,
        settings.first_iteration_cc,
    );
    let schedule = Schedule::new(
        options,
        JobKind {
            dimensions,
            from_nothing: settings.denovo_3d,
            particles,
            classes: settings.classes,
        },
    );
    [
        settings.gradient.initial_subset,
        settings.gradient.last_subset,
    ] = schedule.subset_sizes().map(Some);
    Some(schedule)
}

/// T of an iteration: that of the schedule, or `--tau2_fudge`.
pub(crate) fn tau2_fudge(
    schedule: Option<&Schedule>,
    settings: &Settings,
    iteration: usize,
) -> f64 {
    match schedule {
        Some(schedule) => schedule.tau2_fudge(iteration),
        None => settings.tau2_fudge.unwrap_or(1.0),
    }
}

/// Makes the job ready for its first iteration, or the first one after a continuation.
pub(crate) fn start(job: &mut Job, console: &Console) {
    let Some(schedule) = &job.gradient else {
        return;
    };
    let [first, last] = schedule.subset_sizes();
    console.say(&format!(" Initial subset size set to {first}"));
    console.say(&format!(" Final subset size set to {last}"));
    job.orders = vec![subsets::replay(
        &job.particles.particles,
        &job.state.subsets,
        job.state.random_seed,
    )];
}

/// Gives every class of a gradient run moments before their first gradient; a fresh run stands before its first iteration.
pub(crate) fn prepare(job: &mut Job) {
    let Some(schedule) = &job.gradient else {
        return;
    };
    if job.state.iteration == 0 {
        job.state.step_size = schedule.step_size(0);
        job.state.subset_size = 0;
    }
    for model in &mut job.models {
        model.tau2_fudge = schedule.tau2_fudge(job.state.iteration);
        let shape = smallest(model);
        for class in &mut model.classes {
            class.moments.get_or_insert_with(|| Moments::new(shape));
        }
    }
}

/// Turns the job to what the schedule says of an iteration.
pub(crate) fn follow_schedule(job: &mut Job, iteration: usize) {
    let Some(schedule) = &job.gradient else {
        return;
    };
    let state = &mut job.state;
    if schedule.resets_counters(iteration) {
        state.iterations_without_gain = 0;
        state.iterations_without_changes = 0;
    }
    let subset = Subset {
        iteration,
        size: schedule.subset(iteration),
    };
    state.gradient = schedule.is_gradient(iteration);
    state.step_size = schedule.step_size(iteration);
    state.subset_size = subset.size.map_or(-1, |size| size as i64);
    let is_first = state.subsets.is_empty();
    let particles = &job.particles.particles;
    subsets::advance(
        &mut job.orders[0],
        particles,
        subset,
        is_first,
        state.random_seed,
    );
    state.subsets.push(subset);
    let fudge = schedule.tau2_fudge(iteration);
    job.maximization.tau2_fudge = fudge;
    for model in &mut job.models {
        model.tau2_fudge = fudge;
    }
    // The cap stays in iterations of expectation-maximisation that follow.
    if (1..=iteration).any(|i| schedule.is_gradient(i)) && job.settings.max_significant.is_none() {
        let [of_averages, of_maps] = SAMPLES_PER_CLASS;
        let each = match job.models[0].dimensions() {
            Dimensions::Two => of_averages,
            Dimensions::Three => of_maps,
        };
        job.expectation.max_significant = Some(each * job.models[0].classes.len());
    }
}

/// The line that announces the expectation step of an iteration.
pub(crate) fn announcement(job: &Job, iteration: usize, last: usize) -> String {
    if !job.state.gradient {
        return console::expectation(iteration, Some(last));
    }
    let particles = match job.state.subset_size {
        size @ 1.. => format!(" with {size} particles"),
        _ => String::new(),
    };
    let step = (100.0 * job.state.step_size).round() / 100.0;
    format!(" Gradient optimisation iteration {iteration} of {last}{particles} (Step size {step})")
}
