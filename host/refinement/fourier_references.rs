//! The references of a half-set as Fourier volumes, for each engine where it computes (spec 01 §1.5).

use super::console::Console;
use super::crew::Engine;
use super::error::RunError;
use super::job::Job;
use crate::device::Device;
use crate::fourier::reference::{self, PreparedReference, Reference};
use crate::fourier::shells::round;
use crate::maximization::{MaximizationError, prepare_on_device};
use crate::model::ClassModel;
use rayon::prelude::*;
use std::sync::Arc;

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
    let on_host = || {
        let prepare = |class: &ClassModel| {
            let PreparedReference { volume, power } =
                reference::prepare(&class.map, model.padding, current_size, low);
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
                console.say(
                    " Device memory does not suffice to prepare the references. They were prepared on the host.",
                );
                Ok(on_host())
            }
            prepared => prepared.map_err(|error| MaximizationError::from(error).into()),
        }
    };
    let devices: Vec<Option<Arc<Device>>> = engines.iter().map(|e| e.device()).collect();
    let prepared: Vec<(Vec<Reference>, Vec<Vec<f64>>)> = devices
        .into_par_iter()
        .map(prepare_for)
        .collect::<Result<_, RunError>>()?;
    let (references, mut powers): (Vec<_>, Vec<_>) = prepared.into_iter().unzip();
    if !job.fixed_tau2 {
        let classes = &mut job.models[half].classes;
        for (class, power) in classes.iter_mut().zip(powers.swap_remove(0)) {
            class.tau2 = power;
        }
    }
    Ok(references)
}
