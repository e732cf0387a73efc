//! The maximisation step: from the sums of all half-sets to new models. The one place where the loop calls the
//! maximisation (spec 02 §1.4, §5.1 steps 6–8, §5.6).

use super::console::{self, Console};
use super::error::RunError;
use super::job::Job;
use super::sizes;
use crate::device::DeviceError;
use crate::expectation::{ClassSelection, WeightedSums};
use crate::fourier::sums::Sums;
use crate::geometry::Matrix3;
use crate::maximization::{
    MaximizationError, Prior, first_iteration, halves, map_fsc, maximize_class,
    parameters::{ParameterOptions, update_parameters},
    spectra, volumes,
};
use crate::model::Model;

/// Warn about classes that hold less than this fraction of the particles.
const NEARLY_EMPTY: f64 = 1e-3;

/// Update the models from the sums of an iteration. In the last iteration of an auto-refinement (`job.state.converged`)
/// the halves are joined: the first model becomes that of all particles, and the unregularised half maps are kept.
pub fn run(
    job: &mut Job,
    sums: Vec<WeightedSums>,
    iteration: usize,
    console: &Console,
) -> Result<(), RunError> {
    job.unfiltered.clear();
    if job.halves() {
        gold_standard(job, sums, iteration, console)?;
    } else {
        console.say(&console::maximization());
        for (half, sums) in sums.into_iter().enumerate() {
            classification(job, half, sums, iteration)?;
        }
        warn_of_empty_classes(job, iteration, console);
    }
    if job.settings.first_iteration_cc && iteration == 1 {
        for model in &mut job.models {
            first_iteration::follow_up(model, job.settings.initial_low_pass, job.generate_seeds);
        }
    }
    if job.settings.ctf {
        job.state.references_ctf_corrected = true;
    }
    Ok(())
}

fn classification(
    job: &mut Job,
    half: usize,
    mut sums: WeightedSums,
    iteration: usize,
) -> Result<(), RunError> {
    // Before seeds are generated only the first class is compared; the others are copied from it afterwards.
    let only_first = job.class_selection(iteration) == ClassSelection::First;
    let premultiplied = job.particles.optics.iter().any(|g| g.ctf_premultiplied);
    let average_ctf2 = (premultiplied && !job.fixed_tau2)
        .then(|| spectra::average_ctf2(&sums, job.maximization.box_size));
    let volumes = std::mem::take(&mut sums.backprojections);
    let model = &mut job.models[half];
    for (k, mut sum) in volumes.into_iter().enumerate() {
        if only_first && k > 0 {
            break;
        }
        volumes::symmetrise(&mut sum, &job.operators[k])?;
        let prior = Prior::Reference {
            average_ctf2: average_ctf2.as_deref(),
        };
        maximize_class(
            &mut model.classes[k],
            sum,
            sums.class_weight[k],
            prior,
            &job.maximization,
        )?;
    }
    let options = parameter_options(job, iteration);
    update_parameters(&mut job.models[half], &sums, &options);
    Ok(())
}

fn gold_standard(
    job: &mut Job,
    mut sums: Vec<WeightedSums>,
    iteration: usize,
    console: &Console,
) -> Result<(), RunError> {
    let last = job.state.converged;
    let options = parameter_options(job, iteration);
    let mut second = sums.pop().expect("two half-sets");
    let mut first = sums.pop().expect("two half-sets");
    {
        let (a, b) = (
            &mut first.backprojections[0],
            &mut second.backprojections[0],
        );
        symmetrise(a, b, &job.operators[0])?;
        symmetrise(b, a, &job.operators[0])?;
    }
    let corrected = job.settings.solvent_correct_fsc && job.solvent.mask().is_some();
    if last && !corrected {
        keep_unfiltered(job, &mut first, &mut second)?;
    }
    join_low_resolution(job, &mut first, &mut second, console)?;
    if corrected {
        keep_unfiltered(job, &mut first, &mut second)?;
    }
    let curve = if corrected {
        console.say(" Calculating solvent-corrected gold-standard FSC ...");
        solvent_corrected_curve(job, iteration, console)?
    } else {
        console.say(&console::gold_standard_fsc());
        volumes::fsc(
            &first.backprojections[0],
            &second.backprojections[0],
            job.maximization.box_size,
        )?
    };
    let reach = sizes::fsc_reach(
        &curve,
        job.state.current_size,
        job.state.increment_size,
        job.state.high_fsc_at_limit,
    );
    job.state.increment_size = reach.increment;
    job.state.high_fsc_at_limit = reach.high_at_limit;
    console.say(&console::maximization());
    if last {
        join(&mut first, &second)?;
        drop(second);
        maximize_half(job, 0, first, &curve, true, &options)
    } else {
        if job.settings.always_join_halves {
            let sum = &mut first.backprojections[0];
            sum.add(&second.backprojections[0]).map_err(device_failed)?;
            second.backprojections[0] = sum.duplicate().map_err(device_failed)?;
        }
        let joined = job.settings.always_join_halves;
        maximize_half(job, 0, first, &curve, joined, &options)?;
        maximize_half(job, 1, second, &curve, joined, &options)?;
        impose_first_half(&mut job.models);
        Ok(())
    }
}

fn maximize_half(
    job: &mut Job,
    half: usize,
    mut sums: WeightedSums,
    curve: &[f64],
    joined: bool,
    options: &ParameterOptions,
) -> Result<(), RunError> {
    let sum = sums.backprojections.remove(0);
    let model = &mut job.models[half];
    maximize_class(
        &mut model.classes[0],
        sum,
        sums.class_weight[0],
        Prior::Fsc { curve, joined },
        &job.maximization,
    )?;
    update_parameters(model, &sums, options);
    Ok(())
}

/// Both halves follow the resolution and Pmax of the first.
fn impose_first_half(models: &mut [Model]) {
    let (first, rest) = models.split_at_mut(1);
    for model in rest {
        model.average_pmax = first[0].average_pmax;
        model.classes[0].ssnr = first[0].classes[0].ssnr.clone();
    }
}

fn keep_unfiltered(
    job: &mut Job,
    first: &mut WeightedSums,
    second: &mut WeightedSums,
) -> Result<(), RunError> {
    let options = &job.maximization;
    let map = |half: &WeightedSums, other: &mut WeightedSums| {
        other.backprojections[0].make_room_for(MaximizationError::is_full, || {
            volumes::unregularised(&half.backprojections[0], half.class_weight[0], options)
        })
    };
    job.unfiltered = vec![map(first, second)?, map(second, first)?];
    Ok(())
}

/// Symmetrise the sums of one half; those of the other make room where they have to.
fn symmetrise(sums: &mut Sums, other: &mut Sums, operators: &[Matrix3]) -> Result<(), RunError> {
    other.make_room_for(MaximizationError::is_full, || {
        volumes::symmetrise(sums, operators)
    })?;
    Ok(())
}

fn device_failed(error: DeviceError) -> RunError {
    MaximizationError::from(error).into()
}

fn join_low_resolution(
    job: &Job,
    first: &mut WeightedSums,
    second: &mut WeightedSums,
    console: &Console,
) -> Result<(), RunError> {
    let Some(limit) = job.settings.low_resol_join_halves else {
        return Ok(());
    };
    let model = &job.models[0];
    let current = job.state.current_resolution;
    let resolution = if current > 0.0 {
        limit.max(1.0 / current)
    } else {
        limit
    };
    console.say(&console::joining_halves(resolution));
    let (a, b) = (
        &mut first.backprojections[0],
        &mut second.backprojections[0],
    );
    let shell =
        halves::low_resolution_shell(limit, current, model.box_size, model.pixel_size, a.r_max());
    volumes::join_low_resolution(a, b, shell)?;
    Ok(())
}

fn solvent_corrected_curve(
    job: &Job,
    iteration: usize,
    console: &Console,
) -> Result<Vec<f64>, RunError> {
    let mask = job.solvent.mask().expect("checked by the caller");
    let seed = u64::from(job.state.random_seed) + iteration as u64;
    let found = map_fsc::solvent_corrected_fsc(
        &job.unfiltered[0],
        &job.unfiltered[1],
        mask,
        job.state.current_size,
        seed,
    )?;
    if let Some(shell) = found.randomised_from {
        let model = &job.models[0];
        let resolution = model.box_size as f64 * model.pixel_size / shell as f64;
        console.say(&format!(
            "  + randomize phases beyond: {resolution} Angstroms"
        ));
    }
    Ok(found.corrected)
}

/// Add the sums of the second half to those of the first.
fn join(first: &mut WeightedSums, second: &WeightedSums) -> Result<(), RunError> {
    fn add(a: &mut [f64], b: &[f64]) {
        a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
    }
    for (a, b) in first
        .backprojections
        .iter_mut()
        .zip(&second.backprojections)
    {
        a.add(b).map_err(device_failed)?;
    }
    for (a, b) in [
        (&mut first.direction_weight, &second.direction_weight),
        (&mut first.noise, &second.noise),
        (&mut first.ctf2, &second.ctf2),
    ] {
        a.iter_mut().zip(b).for_each(|(a, b)| add(a, b));
    }
    add(&mut first.class_weight, &second.class_weight);
    add(&mut first.noise_weight, &second.noise_weight);
    add(&mut first.scale_xa, &second.scale_xa);
    add(&mut first.scale_aa, &second.scale_aa);
    first.norm += second.norm;
    first.sigma2_offset += second.sigma2_offset;
    first.log_likelihood += second.log_likelihood;
    first.max_probability += second.max_probability;
    first.particles += second.particles;
    Ok(())
}

fn parameter_options(job: &Job, iteration: usize) -> ParameterOptions {
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
    }
}

fn warn_of_empty_classes(job: &Job, iteration: usize, console: &Console) {
    if job.class_selection(iteration) == ClassSelection::First {
        return;
    }
    let model = &job.models[0];
    let occupancy: Vec<String> = model
        .classes
        .iter()
        .map(|class| format!("{:.2} %", 100.0 * class.fraction))
        .collect();
    for (k, class) in model.classes.iter().enumerate() {
        if class.fraction < NEARLY_EMPTY && model.classes.len() > 1 {
            console.warn(&format!(
                " + WARNING: class {} is {} after iteration {iteration} (occupancy of the classes: {}). If this is not \
                 intended, try fewer classes, a lower --tau2_fudge or another --random_seed.",
                k + 1,
                if class.fraction == 0.0 { "empty" } else { "nearly empty" },
                occupancy.join(", ")
            ));
        }
    }
}
