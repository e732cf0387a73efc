//! Iterative density compensation of sums on a device (spec 02 §2.3), in place of the division of
//! [`super::reconstruct`].
//!
//! The densities are found in double precision, and the prior is added to the weights in double precision as well: where it rises steeply from
//! shell to shell, the rounds enlarge the rounding of its last digits (`docs/numerics.md`).

use super::super::density_compensation::{blob_table, densities};
use super::super::prior::InversePrior;
use super::super::radial::Radial;
use super::super::reconstruct::regularise;
use super::operand::Operand;
use crate::device::{Buffer, Cube, CubeTransform, DeviceError, Direction};
use crate::fourier::sums::DeviceSums;
use gpu::kernels::density_compensation::{
    BeginDensities, CompensateIntoTransform, DivideDensities, SpreadDensities, WeightByBlob,
};

/// Sums that densities are found for, and how.
struct Task<'a> {
    operand: &'a Operand<'a>,
    /// Added to the weights from a shell on.
    prior: Option<(&'a InversePrior, usize)>,
    /// Weights are multiplied by this, which only limits magnitudes.
    scale: f64,
    iterations: usize,
}

/// Data times the densities found in `iterations` rounds, as the centred transform of the padded box. A prior is added to the weights from a
/// shell on. `class_weight` only limits magnitudes.
pub(super) fn compensated(
    sums: &DeviceSums,
    prior: Option<(&InversePrior, usize)>,
    class_weight: f64,
    iterations: usize,
) -> Result<Cube, DeviceError> {
    let operand = Operand::new(sums)?;
    let device = operand.device;
    let scale = match class_weight > 0.0 {
        true => 1.0 / class_weight,
        false => 1.0,
    };
    let task = Task {
        operand: &operand,
        prior,
        scale,
        iterations,
    };
    let density = match found_on_device(sums, &task) {
        // Cubes of the sums' side in double precision are the largest things there are.
        Err(error) if error.is_full() => device.upload(&found_on_host(sums, &task)?)?,
        found => found?,
    };
    // SAFETY: filled by the kernel; array sizes as it demands.
    unsafe {
        let cube = Cube::new(device, sums.shape.padded_box)?;
        device.launch(&CompensateIntoTransform {
            sums: operand.sums,
            density: density.view(),
            shape: operand.shape(),
            radius2: operand.radius2,
            scale,
            padded_box: cube.side() as u32,
            out: cube.transform(),
        })?;
        Ok(cube)
    }
}

/// Density of every voxel: what the blob makes of them, times the weights, is brought to 1 everywhere.
fn found_on_device(sums: &DeviceSums, task: &Task) -> Result<Buffer<f64>, DeviceError> {
    let operand = task.operand;
    let (device, side) = (operand.device, operand.side);
    let (inverse, first_shell) = match task.prior {
        Some((prior, first)) => (prior.per_shell(), first as u32),
        None => (&[][..], u32::MAX),
    };
    let inverse = device.upload(inverse)?;
    let plans = CubeTransform::<f64>::new(
        device,
        side as usize,
        &[Direction::Forward, Direction::Inverse],
    )?;
    let blob = device.upload(&blob_table())?;
    // There and back, a transform multiplies by the number of voxels.
    let unscaled = 1.0 / f64::from(side).powi(3);
    // SAFETY: both are filled by kernels before they are read; array sizes as those demand.
    unsafe {
        let density = device.buffer::<f64>(operand.voxels as usize)?;
        let mut cube = Cube::<f64>::new(device, side as usize)?;
        device.launch(&BeginDensities {
            voxels: operand.voxels,
            shape: operand.shape(),
            radius2: operand.radius2,
            density: density.view(),
        })?;
        for _ in 0..task.iterations {
            device.launch(&SpreadDensities {
                side,
                sums: operand.sums,
                density: density.view(),
                shape: operand.shape(),
                padding: operand.padding,
                inverse: inverse.view(),
                shells: inverse.len() as u32,
                first_shell,
                scale: task.scale,
                out: cube.transform(),
            })?;
            plans.run(device, Direction::Inverse, &mut cube)?;
            device.launch(&WeightByBlob {
                side,
                padded_box: sums.shape.padded_box as u32,
                blob: blob.view(),
                cube: cube.voxels(),
            })?;
            plans.run(device, Direction::Forward, &mut cube)?;
            device.launch(&DivideDensities {
                side,
                convolved: cube.transform(),
                scale: unscaled,
                shape: operand.shape(),
                radius2: operand.radius2,
                density: density.view(),
            })?;
        }
        Ok(density)
    }
}

/// The same where the device has no room.
fn found_on_host(sums: &DeviceSums, task: &Task) -> Result<Vec<f64>, DeviceError> {
    let radial = Radial::of(&sums.shape);
    let mut weight: Vec<f64> = sums
        .volume
        .read(0..task.operand.voxels as usize)?
        .iter()
        .map(|voxel| f64::from(voxel[2]))
        .collect();
    if let Some((prior, first)) = task.prior {
        regularise(&mut weight, &radial, prior, first);
    }
    weight.iter_mut().for_each(|w| *w *= task.scale);
    let padded_box = sums.shape.padded_box;
    Ok(densities(&radial, &weight, task.iterations, padded_box))
}
