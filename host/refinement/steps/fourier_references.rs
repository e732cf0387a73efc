//! The references of a half-set as Fourier volumes, for each engine where it computes (spec 01 §1.5).

use crate::device::Device;
use crate::expectation::Subtraction;
use crate::fourier::reference::{
    self, DeviceReference, PreparedReference, Reference, ReferenceVolume,
};
use crate::fourier::shape::Dimensions;
use crate::fourier::shells::round;
use crate::maximization::{MaximizationError, prepare_on_device};
use crate::model::ClassModel;
use crate::refinement::cli::console::Console;
use crate::refinement::error::RunError;
use crate::refinement::job::Job;
use crate::refinement::parallel::workers::Engine;
use ndarray::Array3;
use rayon::prelude::*;
use std::sync::Arc;

/// Warning that a device has no memory for references.
const NO_ROOM: &str =
    " Device memory does not suffice to prepare the references. They were prepared on the host.";

/// Fourier volumes and powers.
type PreparedMaps = (Vec<Reference>, Vec<Vec<f64>>);

/// Fourier volumes for each engine, and powers.
type PreparedForEngines = (Vec<Vec<Reference>>, Vec<Vec<f64>>);

/// The references of a half-set.
pub struct HalfReferences {
    /// Of each engine, on its device or on the host.
    pub whole: Vec<Vec<Reference>>,
    /// Their wanted regions, likewise; empty where nothing is subtracted.
    wanted: Vec<Vec<Reference>>,
    /// Their unwanted regions up to the full radius, on the host.
    unwanted: Vec<ReferenceVolume>,
}

impl HalfReferences {
    /// Signal that is subtracted in the comparisons of an engine.
    pub fn subtraction(&self, engine: usize) -> Option<Subtraction<'_>> {
        self.wanted.get(engine).map(|wanted| Subtraction {
            wanted,
            unwanted: &self.unwanted,
        })
    }
}

/// Where references of a half-set are wanted: the device of each of its engines, or the host.
pub(crate) type Places = Vec<Option<Arc<Device>>>;

/// Returns where engines want their references.
pub(crate) fn places(engines: &[Engine]) -> Places {
    engines.iter().map(|engine| engine.device()).collect()
}

/// Fourier volumes of the references of each of `halves` (its number, and where they are wanted), and of their regions where an
/// unwanted signal is subtracted; τ² becomes the power of the whole references.
pub(crate) fn prepare(
    job: &mut Job,
    halves: &[(usize, Places)],
    console: &Console,
) -> Result<Vec<HalfReferences>, RunError> {
    let prepared = halves
        .par_iter()
        .map(|(half, places)| of_half(job, *half, places, console))
        .collect::<Result<Vec<_>, RunError>>()?;
    let of_halves = prepared.into_iter().zip(halves);
    let take = |((references, powers), (half, _)): ((_, Vec<Vec<f64>>), &(usize, Places))| {
        take_powers(job, *half, powers);
        references
    };
    Ok(of_halves.map(take).collect())
}

/// References of a half-set, and the power of each of the whole ones.
fn of_half(
    job: &Job,
    half: usize,
    places: &[Option<Arc<Device>>],
    console: &Console,
) -> Result<(HalfReferences, Vec<Vec<f64>>), RunError> {
    let (whole, powers) = prepare_whole(job, half, places, console)?;
    let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
    if let Some(regions) = job.subtracted_regions() {
        let model = &job.models[half];
        let maps: Vec<Array3<f64>> = model
            .classes
            .iter()
            .map(|class| regions.wanted_of(&class.map))
            .collect();
        let maps: Vec<&Array3<f64>> = maps.iter().collect();
        wanted = prepare_maps(job, half, &maps, places, console)?
            .into_iter()
            .map(|(references, _)| references)
            .collect();
        let unwanted_of = |class: &ClassModel| {
            let map = regions.unwanted_of(&class.map);
            reference::prepare(&map, model.padding, model.box_size, None).volume
        };
        unwanted = model.classes.iter().map(unwanted_of).collect();
    }
    let references = HalfReferences {
        whole,
        wanted,
        unwanted,
    };
    Ok((references, powers))
}

fn prepare_whole(
    job: &Job,
    half: usize,
    places: &[Option<Arc<Device>>],
    console: &Console,
) -> Result<PreparedForEngines, RunError> {
    let model = &job.models[half];
    if model.dimensions() == Dimensions::Two {
        // They are small and may be many: all at once, a thread a class, for all engines.
        let prepare = |class: &ClassModel| {
            let size = job.state.current_size;
            reference::prepare(&class.map, model.padding, size, lowest_shell(job, half))
        };
        let prepared: Vec<PreparedReference> = model.classes.par_iter().map(prepare).collect();
        let (volumes, powers): (Vec<_>, Vec<_>) =
            prepared.into_iter().map(|p| (p.volume, p.power)).unzip();
        let references = places
            .iter()
            .map(|place| averages_for(place.as_ref(), &volumes, console))
            .collect::<Result<_, _>>()?;
        return Ok((references, powers));
    }
    let maps: Vec<&Array3<f64>> = model
        .classes
        .iter()
        .map(|class| class.map.as_ref())
        .collect();
    let prepared = prepare_maps(job, half, &maps, places, console)?;
    let (references, mut powers): (Vec<_>, Vec<_>) = prepared.into_iter().unzip();
    Ok((references, powers.swap_remove(0)))
}

/// Shell up to which references are silent (`--strict_lowres_exp`).
fn lowest_shell(job: &Job, half: usize) -> Option<usize> {
    let model = &job.models[half];
    let width = model.box_size as f64 * model.pixel_size;
    let resolution = job.settings.strict_lowres?;
    Some(round(width / resolution) as usize)
}

/// Fourier volumes of maps for each engine, on its device or on the host, and the power of each of them.
fn prepare_maps(
    job: &Job,
    half: usize,
    maps: &[&Array3<f64>],
    places: &[Option<Arc<Device>>],
    console: &Console,
) -> Result<Vec<PreparedMaps>, RunError> {
    let (padding, size) = (job.models[half].padding, job.state.current_size);
    let low = lowest_shell(job, half);
    let on_host = || {
        let prepare = |map: &&Array3<f64>| {
            let PreparedReference { volume, power } = reference::prepare(map, padding, size, low);
            (Reference::Host(volume), power)
        };
        maps.iter().map(prepare).unzip()
    };
    let prepare_for = |device: &Option<Arc<Device>>| {
        let Some(device) = device else {
            return Ok(on_host());
        };
        match prepare_on_device(device, maps, padding, size, low) {
            Err(error) if error.is_full() => {
                console.say(NO_ROOM);
                Ok(on_host())
            }
            prepared => prepared.map_err(|error| MaximizationError::from(error).into()),
        }
    };
    places.par_iter().map(prepare_for).collect()
}

/// Class averages where an engine computes: in one array on its device.
fn averages_for(
    device: Option<&Arc<Device>>,
    volumes: &[ReferenceVolume],
    console: &Console,
) -> Result<Vec<Reference>, RunError> {
    let on_host = || volumes.iter().cloned().map(Reference::Host).collect();
    let Some(device) = device else {
        return Ok(on_host());
    };
    match reference::upload_all(device, volumes.iter()) {
        Err(error) if error.is_full() => {
            console.say(NO_ROOM);
            Ok(on_host())
        }
        uploaded => {
            let uploaded = uploaded.map_err(MaximizationError::from)?;
            let there = uploaded.into_iter().zip(volumes);
            Ok(there
                .map(|(volume, of_host)| {
                    Reference::Device(DeviceReference {
                        volume,
                        shape: of_host.shape,
                    })
                })
                .collect())
        }
    }
}

/// τ² of each class becomes the power of its reference, unless it is fixed.
fn take_powers(job: &mut Job, half: usize, powers: Vec<Vec<f64>>) {
    if job.fixed_tau2 {
        return;
    }
    for (class, power) in job.models[half].classes.iter_mut().zip(powers) {
        class.tau2 = power;
    }
}
