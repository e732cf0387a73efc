//! The maximisation step of a gradient iteration: moments, replacement of a class, damped steps, running means (spec 05 §6–9).
//! Classes are divided among the ranks; the moments of a class are its owner's.

use crate::comm::Ranks;
use crate::expectation::WeightedSums;
use crate::fourier::shape::Dimensions;
use crate::fourier::sums::Sums;
use crate::geometry::Matrix3;
use crate::maximization::gradient::step::{StepRule, class_step_size};
use crate::maximization::gradient::{Advanced, advance_class, replacement};
use crate::maximization::{Finish, MaximizationError, all_on_host, parameters::update_parameters};
use crate::model::ClassModel;
use crate::refinement::checkpoint::moment_files::smallest;
use crate::refinement::cli::console::{self, Console};
use crate::refinement::error::RunError;
use crate::refinement::job::Job;
use crate::refinement::parallel::broadcast::{broadcast_class, broadcast_moments};
use crate::refinement::parallel::workers::agree;
use crate::refinement::steps::maximization::{average_ctf2, centring, parameter_options};
use rayon::prelude::*;

/// Updates the model from the sums of a gradient iteration. A collective.
pub(crate) fn run(
    job: &mut Job,
    ranks: &Ranks,
    mut sums: WeightedSums,
    iteration: usize,
    console: &Console,
) -> Result<(), RunError> {
    console.say(&console::maximization());
    let volumes = std::mem::take(&mut sums.backprojections);
    let mut advanced = agree(ranks, advance_all(job, ranks, volumes, &sums))?;
    replace_inactive(job, ranks, &mut advanced, iteration, console);
    step_all(job, ranks, advanced, iteration);
    let shape = smallest(&job.models[0]);
    let written = job
        .gradient
        .as_ref()
        .is_some_and(|schedule| schedule.is_written(iteration));
    for (k, class) in job.models[0].classes.iter_mut().enumerate() {
        broadcast_class(ranks, ranks.owner(k), class);
        if written {
            broadcast_moments(ranks, ranks.owner(k), class, shape);
        }
    }
    let options = parameter_options(job, iteration);
    update_parameters(&mut job.models[0], &sums, &options);
    Ok(())
}

/// New moments of this rank's classes, and where they point: class averages all at once, maps one after the other.
fn advance_all(
    job: &mut Job,
    ranks: &Ranks,
    volumes: Vec<Sums>,
    sums: &WeightedSums,
) -> Result<Vec<Option<Advanced>>, RunError> {
    let average_ctf2 = average_ctf2(job, sums);
    let (options, operators) = (&job.maximization, &job.operators);
    let flat = job.models[0].dimensions() == Dimensions::Two;
    let classes = &mut job.models[0].classes;
    let mut first = match flat {
        true => all_on_host(volumes)?.into_iter().map(Sums::Host).collect(),
        false => volumes,
    };
    let second = first.split_off(classes.len());
    // The sums of other ranks' classes are given up here.
    let halves = first.into_iter().zip(second).enumerate();
    let halves: Vec<_> = halves
        .map(|(k, (first, second))| ranks.owns(k).then_some([first, second]))
        .collect();
    let advance =
        |((class, halves), operators): ((&mut ClassModel, Option<[Sums; 2]>), &Vec<Matrix3>)| {
            let halves = halves.map(|halves| {
                advance_class(class, halves, operators, average_ctf2.as_deref(), options)
            });
            halves.transpose().map(Option::flatten)
        };
    let advanced: Result<_, MaximizationError> = match flat {
        true => classes
            .par_iter_mut()
            .zip(halves)
            .zip(operators)
            .map(advance)
            .collect(),
        false => classes
            .iter_mut()
            .zip(halves)
            .zip(operators)
            .map(advance)
            .collect(),
    };
    Ok(advanced?)
}

/// Replaces a class that has lost its particles, where the schedule lets it; it takes no step.
fn replace_inactive(
    job: &mut Job,
    ranks: &Ranks,
    advanced: &mut [Option<Advanced>],
    iteration: usize,
    console: &Console,
) {
    let schedule = job.gradient.as_ref();
    let Some(threshold) = schedule.and_then(|schedule| schedule.replaces_below(iteration)) else {
        return;
    };
    let model = &mut job.models[0];
    let shape = smallest(model);
    let fractions: Vec<f64> = model.classes.iter().map(|class| class.fraction).collect();
    let mut errors: Vec<f64> = advanced
        .iter()
        .zip(&fractions)
        .map(|(advanced, &fraction)| {
            let error = advanced.as_ref().map(|a| a.direction.error(fraction));
            f64::from(error.unwrap_or(0.0))
        })
        .collect();
    ranks.sum(&mut errors);
    let errors: Vec<f32> = errors.into_iter().map(|error| error as f32).collect();
    let Some(found) = replacement::choose(&errors, &fractions, threshold) else {
        return;
    };
    let root = ranks.owner(found.expanded);
    broadcast_moments(ranks, root, &mut model.classes[found.expanded], shape);
    replacement::replace(model, found);
    advanced[found.dropped] = None;
    console.say(&format!(
        " Class {} has lost its particles and becomes a copy of class {}",
        found.dropped + 1,
        found.expanded + 1
    ));
}

/// Steps of this rank's classes; all of them are centred and their solvent is flattened.
fn step_all(job: &mut Job, ranks: &Ranks, advanced: Vec<Option<Advanced>>, iteration: usize) {
    let finish = Finish {
        local_symmetry: None,
        low_pass: None,
        centre: centring(job, iteration),
        flatten: job.solvent.flattening(),
    };
    let (step_size, tau2_fudge) = (job.state.step_size, job.maximization.tau2_fudge);
    let flat = job.models[0].dimensions() == Dimensions::Two;
    let classes = &mut job.models[0].classes;
    let count = classes.len();
    let step = |(class, advanced): (&mut ClassModel, Option<Advanced>)| {
        if let Some(advanced) = advanced {
            let fsc = class.fsc.clone();
            let rule = StepRule {
                step_size: class_step_size(step_size, count, class.fraction),
                tau2_fudge,
                fsc: &fsc,
            };
            advanced.step(class, &rule);
        }
        finish.on_class(class);
    };
    let own: Vec<_> = classes
        .iter_mut()
        .zip(advanced)
        .enumerate()
        .filter(|(k, _)| ranks.owns(*k))
        .map(|(_, pair)| pair)
        .collect();
    match flat {
        true => own.into_par_iter().for_each(step),
        false => own.into_iter().for_each(step),
    }
}
