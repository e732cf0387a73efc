//! Iterative density compensation on a device (spec 02 §2.3), in place of the division of [`super::reconstruct`].

use super::super::gridding::BlobTransform;
use super::operand::Operand;
use crate::device::{Cube, CubeTransform, DeviceError, Direction};
use crate::fourier::sums::DeviceSums;

/// Data times the densities found in `iterations` rounds, as the centred transform of the padded box. Changes nothing in
/// the sums that anyone reads. `class_weight` only limits magnitudes.
pub fn compensated(
    sums: &DeviceSums,
    class_weight: f64,
    iterations: usize,
) -> Result<Cube, DeviceError> {
    let operand = Operand::new(sums)?;
    let device = operand.device;
    let scale = match class_weight > 0.0 {
        true => (1.0 / class_weight) as f32,
        false => 1.0,
    };
    // SAFETY: array sizes as the kernel demands.
    unsafe {
        device.begin_density(
            operand.voxels,
            operand.sums,
            operand.shape(),
            operand.radius2,
        )?;
    }
    iterate(&operand, scale, sums.shape.padded_box, iterations)?;
    // SAFETY: filled by the kernel; array sizes as it demands.
    unsafe {
        let cube = Cube::new(device, sums.shape.padded_box)?;
        device.compensate_into_transform(
            operand.sums,
            operand.shape(),
            operand.radius2,
            scale,
            cube.side() as u32,
            cube.transform(),
        )?;
        Ok(cube)
    }
}

/// Find the densities: what the blob makes of them, times the weights, is brought to 1 everywhere.
fn iterate(
    operand: &Operand,
    scale: f32,
    padded_box: usize,
    iterations: usize,
) -> Result<(), DeviceError> {
    let device = operand.device;
    let side = operand.side as usize;
    let blob = device.upload(&BlobTransform::new(padded_box).for_kernels())?;
    let plan = CubeTransform::new(device, side, &[Direction::Inverse, Direction::Forward])?;
    // SAFETY: filled by the first kernel of every round.
    let mut cube = unsafe { Cube::new(device, side)? };
    let values = Cube::bytes(side) / size_of::<[f32; 2]>();
    // Transforms are unscaled.
    let unscale = 1.0 / (side as f64).powi(3);
    for _ in 0..iterations {
        // SAFETY: the cube is of the sums' side; array sizes as the kernels demand.
        unsafe {
            device.density_transform(
                values as u32,
                operand.sums,
                operand.shape(),
                scale,
                cube.transform(),
            )?;
            plan.run(device, Direction::Inverse, &mut cube)?;
            device.multiply_by_blob(
                cube.voxels(),
                operand.side,
                padded_box as u32,
                blob.pointer(),
            )?;
            plan.run(device, Direction::Forward, &mut cube)?;
            device.correct_density(
                operand.voxels,
                cube.transform(),
                operand.shape(),
                operand.radius2,
                unscale as f32,
                operand.sums,
            )?;
        }
    }
    Ok(())
}
