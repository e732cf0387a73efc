//! Iterative density compensation of sums on a device (spec 02 §2.3), in place of the division of
//! [`super::reconstruct`].
//!
//! The densities are found on the host, in double precision, from the device's weights. In single precision maps of a real
//! run with padding 2 differed more from the host's (`docs/numerics.md`).

use super::super::gridding::densities;
use super::super::radial::Radial;
use super::operand::Operand;
use crate::device::{Cube, DeviceError};
use crate::fourier::sums::DeviceSums;

/// Data times the densities found in `iterations` rounds, as the centred transform of the padded box. `class_weight` only
/// limits magnitudes.
pub fn compensated(
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
    let density = device.upload(&found(sums, &operand, scale, iterations)?)?;
    // SAFETY: filled by the kernel; array sizes as it demands.
    unsafe {
        let cube = Cube::new(device, sums.shape.padded_box)?;
        device.compensate_into_transform(
            operand.sums,
            density.pointer(),
            operand.shape(),
            operand.radius2,
            scale as f32,
            cube.side() as u32,
            cube.transform(),
        )?;
        Ok(cube)
    }
}

/// Density of every voxel: what the blob makes of them, times the weights, is brought to 1 everywhere.
fn found(
    sums: &DeviceSums,
    operand: &Operand,
    scale: f64,
    iterations: usize,
) -> Result<Vec<f32>, DeviceError> {
    let radial = Radial::of(
        operand.side as usize,
        i64::from(operand.radius2),
        sums.shape.padding,
    );
    let weight: Vec<f64> = sums
        .volume
        .read(0..operand.voxels as usize)?
        .iter()
        .map(|voxel| f64::from(voxel[2]) * scale)
        .collect();
    let densities = densities(&radial, &weight, iterations, sums.shape.padded_box);
    // Where a voxel has no weight nothing limits its density.
    Ok(densities.iter().map(|&d| d.min(1e20) as f32).collect())
}
