//! The maximisation step: from the sums of all half-sets to new models. The one place where the loop calls the
//! maximisation (spec 02 §1.4, §5.1 steps 6–8, §5.6). Classes and halves are divided among the ranks, all of which have
//! the same sums before and the same models after.

mod classification;
mod gold_standard;

use self::classification::classification;
use self::gold_standard::gold_standard;
use crate::comm::Ranks;
use crate::errors::listed::listed;
use crate::expectation::{ClassSelection, WeightedSums};
use crate::maximization::{
    Centring, LowPass, first_iteration, gradient::centring::least_shift,
    parameters::ParameterOptions, spectra, volumes::Moved,
};
use crate::refinement::cli::console::{self, Console};
use crate::refinement::error::RunError;
use crate::refinement::job::Job;
use crate::refinement::steps::gradient;

/// Warn about classes that hold less than this fraction of the particles.
const NEARLY_EMPTY: f64 = 1e-3;

/// Update the models from the sums of an iteration. In the last iteration of an auto-refinement (`job.state.converged`)
/// the halves are joined: the first model becomes that of all particles, and the unregularised half maps are kept. So they are, but
/// for these maps, by `--join_random_halves`.
/// A collective.
pub fn run(
    job: &mut Job,
    ranks: &Ranks,
    sums: Vec<WeightedSums>,
    iteration: usize,
    console: &Console,
) -> Result<(), RunError> {
    job.unfiltered.clear();
    job.unmasked.clear();
    if job.halves() {
        gold_standard(job, ranks, sums, iteration, console)?;
    } else if job.state.gradient {
        for sums in sums {
            gradient::run(job, ranks, sums, iteration, console)?;
        }
    } else {
        console.say(&console::maximization());
        for (half, sums) in sums.into_iter().enumerate() {
            classification(job, ranks, half, sums, iteration, console)?;
        }
        warn_of_empty_classes(job, iteration, console);
    }
    if job.settings.first_iteration_cc && iteration == 1 {
        for model in &mut job.models {
            let filter = job.settings.initial_filter(iteration, model.pixel_size);
            first_iteration::follow_up(model, filter, job.state.seeds_due);
        }
    }
    if job.settings.ctf {
        job.state.references_ctf_corrected = true;
    }
    Ok(())
}

/// Returns the mean CTF² per shell that a reference's spectra are corrected by: for premultiplied data, unless τ² is the user's.
pub(crate) fn average_ctf2(job: &Job, sums: &WeightedSums) -> Option<Vec<f64>> {
    let premultiplied = job.particles.optics.iter().any(|g| g.ctf_premultiplied);
    (premultiplied && !job.fixed_tau2)
        .then(|| spectra::average_ctf2(sums, job.maximization.box_size))
}

/// Says that a step was done on the host.
fn tell(console: &Console, moved: Option<Moved>) {
    if let Some(step) = moved {
        console.say(&format!(
            " Device memory does not suffice for this step of the maximisation: {step}. It was done on the host."
        ));
    }
}

/// How the classes are centred after an iteration (`--center_classes`).
pub(crate) fn centring(job: &Job, iteration: usize) -> Option<Centring> {
    let pixel_size = job.models[0].pixel_size;
    let least = match &job.gradient {
        None => 0.0,
        Some(schedule) if schedule.centres(iteration) => {
            least_shift(job.expectation.particle_diameter / pixel_size)
        }
        Some(_) => return None,
    };
    (job.settings.center_classes && !job.halves()).then(|| Centring {
        limit: job.sampling.offset_range / pixel_size,
        least,
    })
}

fn low_pass(job: &Job, iteration: usize) -> Option<LowPass> {
    let pixel_size = job.models[0].pixel_size;
    job.settings.initial_filter(iteration, pixel_size)
}

pub(crate) fn parameter_options(job: &Job, iteration: usize) -> ParameterOptions {
    ParameterOptions {
        norm: job.settings.norm,
        scale: job.settings.scale,
        cross_correlation: job.cross_correlation(iteration),
        fix_sigma_noise: job.settings.fix_sigma_noise,
        fix_sigma_offset: job.settings.fix_sigma_offset,
        min_sigma2_offset: job.settings.min_sigma2_offset,
        directions: !job.skips_orientations(),
        premultiplied: job
            .particles
            .optics
            .iter()
            .map(|g| g.ctf_premultiplied)
            .collect(),
        momentum: job.gradient.as_ref().map_or(0.0, |s| s.momentum(iteration)),
    }
}

fn warn_of_empty_classes(job: &Job, iteration: usize, console: &Console) {
    if job.class_selection(iteration) == ClassSelection::First {
        return;
    }
    let classes = &job.models[0].classes;
    let poor: Vec<String> = classes
        .iter()
        .enumerate()
        .filter(|(_, class)| class.fraction < NEARLY_EMPTY)
        .map(|(k, class)| format!("{} ({:.2} %)", k + 1, 100.0 * class.fraction))
        .collect();
    if poor.is_empty() || classes.len() == 1 {
        return;
    }
    console.warn(&format!(
        " + WARNING: {} of {} classes are empty or nearly empty after iteration {iteration} (class and occupancy: {}). If this \
         is not intended, try fewer classes, a lower --tau2_fudge or another --random_seed.",
        poor.len(),
        classes.len(),
        listed(poor.iter().map(String::as_str), ", ")
    ));
}
