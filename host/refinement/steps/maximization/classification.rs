//! The maximisation of a classification: every class by itself.

use super::{average_ctf2, centring, low_pass, parameter_options, tell};
use crate::comm::Ranks;
use crate::expectation::{ClassSelection, WeightedSums};
use crate::fourier::shape::Dimensions;
use crate::fourier::sums::{Parked, Sums};
use crate::maximization::{
    Finish, MaximizationError, MaximizationOptions, Prior, maximize_averages, maximize_class,
    parameters::update_parameters, volumes,
};
use crate::refinement::cli::console::Console;
use crate::refinement::error::RunError;
use crate::refinement::job::Job;
use crate::refinement::parallel::broadcast::broadcast_class;
use crate::refinement::parallel::workers::agree;
use crate::refinement::steps::external::{self, Rule};
use rayon::prelude::*;

/// Updates the model of one half-set, or of all particles, class by class. A collective.
pub(super) fn classification(
    job: &mut Job,
    ranks: &Ranks,
    half: usize,
    mut sums: WeightedSums,
    iteration: usize,
    console: &Console,
) -> Result<(), RunError> {
    // Before seeds are generated only the first class is compared; the others are copied from it afterwards.
    let only_first = job.class_selection(iteration) == ClassSelection::First;
    let low_pass = low_pass(job, iteration);
    let average_ctf2 = average_ctf2(job, &sums);
    let volumes = std::mem::take(&mut sums.backprojections);
    let centre = centring(job, iteration);
    let by_program = Rule::of(job, ranks, console);
    let model = &mut job.models[half];
    let flat = model.dimensions() == Dimensions::Two;
    let finish = Finish {
        local_symmetry: job.local_symmetry.as_ref(),
        low_pass,
        centre,
        // Class averages are kept as they are before as well.
        flatten: job.solvent.flattening().filter(|_| !flat),
    };
    let classes = if only_first { 1 } else { model.classes.len() };
    let prior = Prior::Reference {
        average_ctf2: average_ctf2.as_deref(),
    };
    let maximized = if let Some(rule) = &by_program {
        let (classes, weights) = (&mut model.classes[..classes], &sums.class_weight);
        let operators = &job.operators;
        external::maximize_classes(classes, volumes, weights, operators, prior, rule, &finish)
    } else if flat {
        let (classes, weights) = (&mut model.classes[..classes], &sums.class_weight);
        let (owns, options) = (|k| ranks.owns(k), &job.maximization);
        maximize_averages(classes, volumes, weights, owns, prior, options, &finish)
            .map_err(RunError::from)
    } else {
        let own = volumes.into_iter().enumerate().take(classes);
        let own: Vec<_> = own.filter(|(k, _)| ranks.owns(*k)).collect();
        let symmetric = !job.operators[0].is_empty();
        waiting_where_crowded(own, symmetric, &job.maximization)
            .and_then(|own| {
                for (k, mut sum, parked) in own {
                    sum.restore(parked)?;
                    tell(console, volumes::symmetrise(&mut sum, &job.operators[k])?);
                    let (class, weight) = (&mut model.classes[k], sums.class_weight[k]);
                    let moved =
                        maximize_class(class, sum, weight, prior, &job.maximization, &finish)?;
                    tell(console, moved);
                }
                Ok(())
            })
            .map_err(RunError::from)
    };
    agree(ranks, maximized)?;
    for (k, class) in model.classes.iter_mut().enumerate().take(classes) {
        broadcast_class(ranks, ranks.owner(k), class);
    }
    if flat {
        // RELION writes none in a run with --grad.
        if job.gradient.is_none() {
            let maps = model.classes.iter().map(|class| class.map.clone());
            job.unmasked = maps.collect();
        }
        let flatten = Finish {
            flatten: job.solvent.flattening(),
            ..Finish::default()
        };
        let classes = model.classes.par_iter_mut();
        classes.for_each(|class| flatten.on_class(class));
    }
    let options = parameter_options(job, iteration);
    update_parameters(&mut job.models[half], &sums, &options);
    Ok(())
}

/// The sums of the classes, which share an array on a device: when one of them would not find the room that it needs beside
/// the others, all wait on the host for their turn.
fn waiting_where_crowded(
    classes: Vec<(usize, Sums)>,
    symmetric: bool,
    options: &MaximizationOptions,
) -> Result<Vec<(usize, Sums, Parked)>, MaximizationError> {
    let crowded = classes.len() > 1
        && classes.iter().any(|(_, sum)| {
            volumes::is_short_of_room(sum, options, |footprint| match symmetric {
                true => footprint.symmetrise.max(footprint.regularised),
                false => footprint.regularised,
            })
        });
    let park = |(k, mut sum): (usize, Sums)| {
        let parked = match crowded {
            true => sum.park()?,
            false => Parked::default(),
        };
        Ok((k, sum, parked))
    };
    classes.into_iter().map(park).collect()
}
