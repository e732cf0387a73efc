//! Class averages on a device, all of them in one batch: two or three launches and one transform, however many there are
//! (spec 04 §8).

use super::super::finish::Centring;
use super::super::prior::InversePrior;
use super::super::spectra::Statistics;
use super::super::{Finish, MaximizationOptions};
use super::operand::{Operand, PriorOperand};
use crate::device::{Buffer, Device, DeviceError, DeviceVolume, ImageTransforms};
use crate::fourier::sums::DeviceSums;
use gpu::kernels::averages::{CentreAverages, DivideAverages, FinishAverages};
use ndarray::Array3;
use rayon::prelude::*;

/// The average of a class, as a map of one section, and what its spectra follow from.
pub(crate) struct Average {
    pub map: Array3<f64>,
    pub statistics: Statistics,
}

/// Whether a device makes class averages that are finished like this. Density compensation and filters, which few iterations
/// need, are the host's.
pub(crate) fn makes_averages(options: &MaximizationOptions, finish: &Finish) -> bool {
    options.gridding_iterations.is_none()
        && finish.local_symmetry.is_none()
        && finish.low_pass.is_none()
        && finish.flatten.is_none()
}

/// Makes the averages of the classes `own` from the sums of all classes, regularised with their priors, centred where `centre`
/// says so. Nothing is waited for in between. The sums cannot be used afterwards. None where the sums do not follow each other
/// in one array, as those of an expectation do. On a full device nothing is changed.
pub(crate) fn averages(
    sums: &[&DeviceSums],
    own: &[(usize, InversePrior)],
    options: &MaximizationOptions,
    centre: Option<Centring>,
) -> Result<Option<Vec<Average>>, DeviceError> {
    const EDGE: f32 = 3.0;
    let volumes: Vec<_> = sums.iter().map(|sums| &sums.volume).collect();
    let Some(&first) = sums.first().filter(|_| !own.is_empty()) else {
        return Ok(Some(Vec::new()));
    };
    let Some(all) = DeviceVolume::together(&volumes) else {
        return Ok(None);
    };
    let operand = Operand::new(first)?;
    let device: &Device = operand.device;
    let (count, shape) = (own.len(), &first.shape);
    let (n, padded_box, shells) = (options.box_size, shape.padded_box, first.shells());
    let bins = shape.r_max.max(1);
    let class_of: Vec<u32> = own.iter().map(|(k, _)| *k as u32).collect();
    let class_of = device.upload(&class_of)?;
    let prior = PriorOperand::of_classes(device, own.iter().map(|(_, prior)| prior))?;
    let statistics: Buffer<f64> = device.zeros(count * 4 * shells)?;
    let plan = ImageTransforms::inverse_plan(device, padded_box, count)?;
    // SAFETY: filled by the kernels below.
    let (mut transforms, mut padded, maps, centred) = unsafe {
        (
            device.buffer::<[f32; 2]>(count * padded_box * (padded_box / 2 + 1))?,
            device.buffer::<f32>(count * padded_box * padded_box)?,
            device.buffer::<f32>(count * n * n)?,
            device.buffer::<f32>(centre.map_or(0, |_| count * n * n))?,
        )
    };
    // Everything is allocated: from here on the sums change.
    // SAFETY: array sizes as the kernels demand; the classes are among those of the sums.
    unsafe {
        device.launch(&DivideAverages {
            averages: count as u32,
            held: sums.len() as u32,
            voxels: operand.voxels,
            class_of: class_of.view(),
            sums: all,
            shape: operand.shape(),
            radius2: operand.radius2,
            padding: operand.padding,
            inverse: prior.view(),
            prior_shells: prior.shells() / count as u32,
            first_shell: match options.regularise {
                true => options.minres_map as u32,
                false => u32::MAX,
            },
            shells: shells as u32,
            bins: bins as u32,
            padded_box: padded_box as u32,
            out: transforms.view(),
            statistics: statistics.view(),
        })?;
        plan.inverse(device, &mut transforms, &mut padded)?;
        device.launch(&FinishAverages {
            averages: count as u32,
            padded: padded.view(),
            padded_box: padded_box as u32,
            n: n as u32,
            scale: (1.0 / shape.amplitude_scale()) as f32,
            circle: (n / 2) as f32,
            edge: EDGE,
            sinc_box: (n as f64 * shape.padding) as f32,
            out: maps.view(),
        })?;
        if let Some(rule) = centre {
            device.launch(&CentreAverages {
                averages: count as u32,
                maps: maps.view(),
                n: n as u32,
                limit: rule.limit as f32,
                least: rule.least as f32,
                out: centred.view(),
            })?;
        }
    }
    let finished = if centre.is_some() { &centred } else { &maps };
    let pixels = device.download(finished, count * n * n)?;
    let statistics = device.download(&statistics, count * 4 * shells)?;
    let made = pixels
        .par_chunks(n * n)
        .zip(statistics.par_chunks(4 * shells))
        .map(|(pixels, of_shells)| Average {
            map: Array3::from_shape_fn((1, n, n), |(_, y, x)| f64::from(pixels[y * n + x])),
            statistics: Statistics::of_device(of_shells, shape),
        });
    Ok(Some(made.collect()))
}
