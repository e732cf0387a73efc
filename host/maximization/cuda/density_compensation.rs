//! Iterative density compensation of sums on a device (spec 02 §2.3), in place of the division of
//! [`super::reconstruct`].
//!
//! The densities are found in double precision: in single precision maps of a real run with padding 2 differed more from
//! the host's (`docs/numerics.md`).

use super::super::density_compensation::{blob_table, densities};
use super::super::radial::Radial;
use super::operand::Operand;
use crate::device::{Buffer, Cube, CubeTransform, DeviceError, Direction};
use crate::fourier::sums::DeviceSums;
use gpu::kernels::density_compensation::{
    BeginDensities, CompensateIntoTransform, DivideDensities, SpreadDensities, WeightByBlob,
};

/// Data times the densities found in `iterations` rounds, as the centred transform of the padded box. `class_weight` only
/// limits magnitudes.
pub(super) fn compensated(
    sums: &DeviceSums,
    class_weight: f64,
    iterations: usize,
) -> Result<Cube, DeviceError> {
    let operand = Operand::new(sums)?;
    let device = operand.device;
    let scale = match class_weight > 0.0 {
        true => 1.0 / class_weight,
        false => 1.0,
    };
    let density = match found_on_device(sums, &operand, scale, iterations) {
        // Cubes of the sums' side in double precision are the largest things there are.
        Err(error) if error.is_full() => {
            device.upload(&found_on_host(sums, &operand, scale, iterations)?)?
        }
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
fn found_on_device(
    sums: &DeviceSums,
    operand: &Operand,
    scale: f64,
    iterations: usize,
) -> Result<Buffer<f64>, DeviceError> {
    let (device, side) = (operand.device, operand.side);
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
        for _ in 0..iterations {
            device.launch(&SpreadDensities {
                side,
                sums: operand.sums,
                density: density.view(),
                shape: operand.shape(),
                scale,
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
fn found_on_host(
    sums: &DeviceSums,
    operand: &Operand,
    scale: f64,
    iterations: usize,
) -> Result<Vec<f64>, DeviceError> {
    let radial = Radial::of(&sums.shape);
    let weight: Vec<f64> = sums
        .volume
        .read(0..operand.voxels as usize)?
        .iter()
        .map(|voxel| f64::from(voxel[2]) * scale)
        .collect();
    Ok(densities(
        &radial,
        &weight,
        iterations,
        sums.shape.padded_box,
    ))
}
