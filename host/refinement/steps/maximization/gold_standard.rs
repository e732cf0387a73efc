//! The maximisation of two half-sets, whose FSC gives τ² (spec 02 §1.4, §5.6).

use super::{low_pass, parameter_options, tell};
use crate::comm::Ranks;
use crate::device::DeviceError;
use crate::expectation::WeightedSums;
use crate::fourier::sums::Sums;
use crate::maximization::{
    Finish, MaximizationError, MaximizationOptions, Prior, halves, maximize_class,
    parameters::{ParameterOptions, update_parameters},
    volumes::{self, HalfMap},
};
use crate::model::{ClassModel, Model};
use crate::refinement::cli::console::{self, Console};
use crate::refinement::error::RunError;
use crate::refinement::job::Job;
use crate::refinement::parallel::broadcast::{broadcast_class, broadcast_map};
use crate::refinement::parallel::workers::agree;
use crate::refinement::schedule::image_size;
use crate::refinement::steps::external::{self, Rule};
use ndarray::Array3;
use rayon::prelude::*;

/// Updates the models of both half-sets from their FSC. A collective.
pub(super) fn gold_standard(
    job: &mut Job,
    ranks: &Ranks,
    mut sums: Vec<WeightedSums>,
    iteration: usize,
    console: &Console,
) -> Result<(), RunError> {
    let last = job.state.converged;
    let options = parameter_options(job, iteration);
    let mut second = sums.pop().expect("two half-sets");
    let mut first = sums.pop().expect("two half-sets");
    let (a, b) = (
        &mut first.backprojections[0],
        &mut second.backprojections[0],
    );
    let symmetrised = symmetrise(job, a, b, console).and_then(|()| symmetrise(job, b, a, console));
    agree(ranks, symmetrised)?;
    let corrected = job.settings.solvent_correct_fsc && job.solvent.mask().is_some();
    let mut unfiltered = Vec::new();
    if last && !corrected {
        unfiltered = unregularised(job, ranks, &mut first, &mut second, console)?;
        // Only the corrected curve is worked out from them.
        unfiltered.iter_mut().for_each(HalfMap::leave_device);
    }
    let joined = join_low_resolution(job, &mut first, &mut second, console);
    agree(ranks, joined)?;
    let curve = if corrected {
        unfiltered = unregularised(job, ranks, &mut first, &mut second, console)?;
        console.say(" Calculating solvent-corrected gold-standard FSC ...");
        solvent_corrected_curve(job, ranks, &unfiltered, &mut first, iteration, console)
    } else {
        console.say(&console::gold_standard_fsc());
        let [a, b] = [&mut first, &mut second].map(|half| &mut half.backprojections[0]);
        match &job.fsc_mask {
            Some(mask) => volumes::masked_fsc(a, b, mask),
            None => volumes::fsc(a, b, job.maximization.box_size),
        }
        .map_err(RunError::from)
    };
    job.unfiltered = unfiltered.into_iter().map(|half| half.map.into()).collect();
    let mut curve = agree(ranks, curve)?;
    ranks.broadcast(0, &mut curve);
    let reach = image_size::fsc_reach(
        &curve,
        job.state.current_size,
        job.state.increment_size,
        job.state.high_fsc_at_limit,
    );
    job.state.increment_size = reach.increment;
    job.state.high_fsc_at_limit = reach.high_at_limit;
    console.say(&console::maximization());
    if last || job.settings.maps.join_halves {
        agree(ranks, join(&mut first, &mut second))?;
        drop(second);
        maximize_halves(job, ranks, vec![first], &curve, true, &options, console)
    } else {
        if job.settings.always_join_halves {
            agree(ranks, sum_halves(&mut first, &mut second))?;
        }
        let joined = job.settings.always_join_halves;
        maximize_halves(
            job,
            ranks,
            vec![first, second],
            &curve,
            joined,
            &options,
            console,
        )?;
        impose_first_half(&mut job.models);
        Ok(())
    }
}

/// Both halves take the sum of their sums.
fn sum_halves(first: &mut WeightedSums, second: &mut WeightedSums) -> Result<(), RunError> {
    let sum = &mut first.backprojections[0];
    sum.add(&second.backprojections[0]).map_err(device_failed)?;
    second.backprojections[0] = sum.duplicate().map_err(device_failed)?;
    Ok(())
}

fn maximize_halves(
    job: &mut Job,
    ranks: &Ranks,
    halves: Vec<WeightedSums>,
    curve: &[f64],
    joined: bool,
    options: &ParameterOptions,
    console: &Console,
) -> Result<(), RunError> {
    // The map of all particles is left as it is, without local symmetry too (spec 06 §2.3).
    let finish = Finish {
        local_symmetry: job.local_symmetry.as_ref().filter(|_| !job.state.converged),
        low_pass: low_pass(job, job.state.iteration),
        centre: None,
        flatten: job.solvent.flattening().filter(|_| !job.state.converged),
    };
    let prior = Prior::Fsc { curve, joined };
    if let Some(rule) = Rule::of(job, ranks, console) {
        let mut totals = halves;
        let made = external::maximize_halves(&mut job.models, &mut totals, prior, &rule, &finish);
        agree(ranks, made)?;
        return share_halves(job, ranks, &totals, options);
    }
    let (sums, totals): (Vec<Sums>, Vec<WeightedSums>) = halves
        .into_iter()
        .map(|mut half| (half.backprojections.remove(0), half))
        .unzip();
    let together = match &sums[..] {
        [first, second] => volumes::have_room_together([first, second], &job.maximization),
        _ => false,
    };
    let mut halves: Vec<OwnHalf> = job
        .models
        .iter_mut()
        .zip(sums)
        .zip(&totals)
        .enumerate()
        .filter(|(half, _)| ranks.owns(*half))
        .map(|(_, ((model, sums), totals))| OwnHalf {
            class: &mut model.classes[0],
            sums,
            weight: totals.class_weight[0],
        })
        .collect();
    let make = |half: OwnHalf| half.maximize(prior, &job.maximization, &finish, console);
    let maximized = match together {
        true => halves.into_par_iter().try_for_each(make),
        false => one_after_the_other(&mut halves, &job.maximization, make),
    };
    agree(ranks, maximized.map_err(RunError::from))?;
    share_halves(job, ranks, &totals, options)
}

/// A half-set whose map this rank makes.
struct OwnHalf<'a> {
    class: &'a mut ClassModel,
    sums: Sums,
    weight: f64,
}

impl OwnHalf<'_> {
    fn maximize(
        self,
        prior: Prior,
        options: &MaximizationOptions,
        finish: &Finish,
        console: &Console,
    ) -> Result<(), MaximizationError> {
        let Self {
            class,
            sums,
            weight,
        } = self;
        tell(
            console,
            maximize_class(class, sums, weight, prior, options, finish)?,
        );
        Ok(())
    }
}

/// Makes the maps of `halves` in turn. The sums that are worked on are used up, so those of the next half make room for them before.
fn one_after_the_other<'a>(
    halves: &mut Vec<OwnHalf<'a>>,
    options: &MaximizationOptions,
    mut make: impl FnMut(OwnHalf<'a>) -> Result<(), MaximizationError>,
) -> Result<(), MaximizationError> {
    let mut rest = halves.drain(..).peekable();
    while let Some(half) = rest.next() {
        let mut other = rest
            .peek_mut()
            .map(|other| &mut other.sums)
            .filter(|_| volumes::is_short_of_room(&half.sums, options, |f| f.regularised));
        let parked = other.as_mut().map(|other| other.park()).transpose()?;
        make(half)?;
        if let (Some(other), Some(parked)) = (other, parked) {
            other.restore(parked)?;
        }
    }
    Ok(())
}

/// All ranks get the maps from their owners, and the models their parameters from the totals.
fn share_halves(
    job: &mut Job,
    ranks: &Ranks,
    totals: &[WeightedSums],
    options: &ParameterOptions,
) -> Result<(), RunError> {
    for (half, (model, totals)) in job.models.iter_mut().zip(totals).enumerate() {
        broadcast_class(ranks, ranks.owner(half), &mut model.classes[0]);
        update_parameters(model, totals, options);
    }
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

/// Un-regularised maps of both halves, each made by the rank that owns it.
fn unregularised(
    job: &Job,
    ranks: &Ranks,
    first: &mut WeightedSums,
    second: &mut WeightedSums,
    console: &Console,
) -> Result<Vec<HalfMap>, RunError> {
    let options = &job.maximization;
    let shape = job.models[0].classes[0].map.dim();
    let map = |number, half: &WeightedSums, other: &mut WeightedSums| {
        if !ranks.owns(number) {
            return Ok(HalfMap::from(Array3::zeros(shape)));
        }
        let (sums, weight) = (&half.backprojections[0], half.class_weight[0]);
        let made = other.backprojections[0].make_room_for(MaximizationError::is_full, || {
            volumes::unregularised(sums, weight, options)
        });
        match made {
            Err(error) if error.is_full() => {
                tell(console, Some("unregularised half map"));
                volumes::unregularised_on_host(sums, weight, options)
            }
            made => made,
        }
    };
    let own = map(0, first, second)
        .and_then(|a| Ok(vec![a, map(1, second, first)?]))
        .map_err(RunError::from);
    let mut maps = agree(ranks, own)?;
    for (half, map) in maps.iter_mut().enumerate() {
        broadcast_map(ranks, ranks.owner(half), &mut map.map);
    }
    Ok(maps)
}

/// Symmetrises the sums of one half; those of the other make room where they have to.
fn symmetrise(
    job: &Job,
    sums: &mut Sums,
    other: &mut Sums,
    console: &Console,
) -> Result<(), RunError> {
    let operators = &job.operators[0];
    let short = !operators.is_empty()
        && volumes::is_short_of_room(sums, &job.maximization, |footprint| footprint.symmetrise);
    let parked = short
        .then(|| other.park())
        .transpose()
        .map_err(device_failed)?;
    tell(console, volumes::symmetrise(sums, operators)?);
    if let Some(parked) = parked {
        other.restore(parked).map_err(device_failed)?;
    }
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

/// The curve of the first rank; the others get it from there. `sums` make room on a full device.
fn solvent_corrected_curve(
    job: &Job,
    ranks: &Ranks,
    halves: &[HalfMap],
    sums: &mut WeightedSums,
    iteration: usize,
    console: &Console,
) -> Result<Vec<f64>, RunError> {
    if ranks.rank() > 0 {
        return Ok(vec![0.0; job.maximization.box_size / 2 + 1]);
    }
    let mask = job.solvent.mask().expect("checked by the caller");
    let seed = u64::from(job.state.random_seed) + iteration as u64;
    let size = job.state.current_size;
    let maps = [&halves[0], &halves[1]];
    let found = sums.backprojections[0].make_room_for(MaximizationError::is_full, || {
        volumes::solvent_corrected_fsc(maps, mask, size, seed)
    });
    let found = match found {
        Err(error) if error.is_full() => {
            tell(console, Some("solvent-corrected FSC"));
            volumes::solvent_corrected_fsc_on_host(maps, mask, size, seed)?
        }
        found => found?,
    };
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
fn join(first: &mut WeightedSums, second: &mut WeightedSums) -> Result<(), RunError> {
    for (a, b) in first
        .backprojections
        .iter_mut()
        .zip(&second.backprojections)
    {
        a.add(b).map_err(device_failed)?;
    }
    first.add_spectra_and_totals(second);
    Ok(())
}
