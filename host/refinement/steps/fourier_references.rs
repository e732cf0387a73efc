//! The references of a half-set as Fourier volumes, for each engine where it computes (spec 01 §1.5).

use crate::device::Device;
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
use rayon::prelude::*;
use std::sync::Arc;

/// What is said when a device has no room for references.
const NO_ROOM: &str =
    " Device memory does not suffice to prepare the references. They were prepared on the host.";

/// Fourier volumes of the references of half `half` for each engine, on its device or on the host; τ² becomes their
/// power.
pub fn prepare(
    job: &mut Job,
    half: usize,
    engines: &[Engine],
    console: &Console,
) -> Result<Vec<Vec<Reference>>, RunError> {
    let current_size = job.state.current_size;
    let model = &job.models[half];
    let low = job
        .settings
        .strict_lowres
        .map(|resolution| round(model.box_size as f64 * model.pixel_size / resolution) as usize);
    let prepare =
        |class: &ClassModel| reference::prepare(&class.map, model.padding, current_size, low);
    let devices: Vec<Option<Arc<Device>>> = engines.iter().map(|e| e.device()).collect();
    if model.dimensions() == Dimensions::Two {
        // They are small and may be many: all at once, a thread a class, for all engines.
        let prepared: Vec<PreparedReference> = model.classes.par_iter().map(prepare).collect();
        let (volumes, powers): (Vec<_>, Vec<_>) =
            prepared.into_iter().map(|p| (p.volume, p.power)).unzip();
        let references = devices
            .iter()
            .map(|device| averages_for(device.as_ref(), &volumes, console))
            .collect::<Result<_, _>>()?;
        take_powers(job, half, powers);
        return Ok(references);
    }
    let on_host = || {
        let prepare = |class: &ClassModel| {
            let PreparedReference { volume, power } = prepare(class);
            (Reference::Host(volume), power)
        };
        model.classes.iter().map(prepare).unzip()
    };
    let prepare_for = |device: Option<Arc<Device>>| {
        let Some(device) = device else {
            return Ok(on_host());
        };
        let maps: Vec<_> = model.classes.iter().map(|class| &class.map).collect();
        match prepare_on_device(&device, &maps, model.padding, current_size, low) {
            Err(error) if error.is_full() => {
                console.say(NO_ROOM);
                Ok(on_host())
            }
            prepared => prepared.map_err(|error| MaximizationError::from(error).into()),
        }
    };
    let prepared: Vec<(Vec<Reference>, Vec<Vec<f64>>)> = devices
        .into_par_iter()
        .map(prepare_for)
        .collect::<Result<_, RunError>>()?;
    let (references, mut powers): (Vec<_>, Vec<_>) = prepared.into_iter().unzip();
    take_powers(job, half, powers.swap_remove(0));
    Ok(references)
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
