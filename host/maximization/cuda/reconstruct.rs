//! From sums to a map on a device (spec 02 §2.1–2.5).

use super::super::MaximizationOptions;
use super::super::prior::InversePrior;
use super::density_compensation;
use super::map::DeviceMap;
use super::operand::{Operand, PriorOperand};
use crate::device::{Buffer, Cube, CubeTransform, Device, DeviceError, Direction};
use crate::fourier::shape::VolumeShape;
use crate::fourier::sums::DeviceSums;
use gpu::kernels::map::{BackgroundSums, CropMap, FinishMap};
use gpu::kernels::volume::{DivideIntoTransform, Regularise, WeightByBin};
use gpu::volume::weight_floor;
use std::sync::Arc;

/// Adds the inverse prior variance to the weights. On a full device nothing is changed.
pub(crate) fn regularise(
    sums: &DeviceSums,
    prior: &InversePrior,
    options: &MaximizationOptions,
) -> Result<(), DeviceError> {
    let operand = Operand::new(sums)?;
    let prior = PriorOperand::new(operand.device, Some(prior))?;
    // SAFETY: array sizes as the kernel demands.
    unsafe {
        operand.device.launch(&Regularise {
            voxels: operand.voxels,
            sums: operand.sums,
            shape: operand.shape(),
            radius2: operand.radius2,
            padding: operand.padding,
            inverse: prior.view(),
            shells: prior.shells(),
            first_shell: options.minres_map as u32,
        })
    }
}

/// Divides data by weights, or multiplies them by the densities of gridding, as the centred transform of the padded box.
/// The sums stay as they are. `prior`: for gridding, where the weights do not hold it already.
pub(crate) fn transform_of(
    sums: &DeviceSums,
    prior: Option<&InversePrior>,
    class_weight: f64,
    options: &MaximizationOptions,
) -> Result<Cube, DeviceError> {
    match options.gridding_iterations {
        Some(iterations) => {
            let prior = prior.map(|prior| (prior, options.minres_map));
            density_compensation::compensated(sums, prior, class_weight, iterations)
        }
        None => divided(sums),
    }
}

/// Data divided by weights no lower than a thousandth of the mean of their bin (spec 02 §2.2).
fn divided(sums: &DeviceSums) -> Result<Cube, DeviceError> {
    let operand = Operand::new(sums)?;
    let device = operand.device;
    let bins = sums.shape.r_max.max(1);
    let floor = device.upload(&floor(&operand, bins)?)?;
    // SAFETY: filled by the kernel; array sizes as it demands.
    unsafe {
        let cube = Cube::new(device, sums.shape.padded_box)?;
        device.launch(&DivideIntoTransform {
            sums: operand.sums,
            shape: operand.shape(),
            radius2: operand.radius2,
            padding: operand.padding,
            floor: floor.view(),
            bins: bins as u32,
            padded_box: cube.side() as u32,
            out: cube.transform(),
        })?;
        Ok(cube)
    }
}

/// A thousandth of the mean weight of each bin.
fn floor(operand: &Operand, bins: usize) -> Result<Vec<f32>, DeviceError> {
    let device = operand.device;
    let by_bin: Buffer<f64> = device.zeros(2 * bins)?;
    // SAFETY: array sizes as the kernel demands.
    unsafe {
        device.launch(&WeightByBin {
            voxels: operand.voxels,
            sums: operand.sums,
            shape: operand.shape(),
            radius2: operand.radius2,
            padding: operand.padding,
            bins: bins as u32,
            out: by_bin.view(),
        })?;
    }
    let by_bin = device.download(&by_bin, 2 * bins)?;
    let floor = by_bin
        .chunks_exact(2)
        .map(|bin| weight_floor([bin[0], bin[1]]));
    Ok(floor.map(|floor| floor as f32).collect())
}

/// Bytes that [`map_of`] takes besides the transform, for a padded box and a map of these sides.
pub(crate) fn bytes_after_sums(
    device: &Device,
    padded_box: usize,
    box_size: usize,
) -> Result<usize, DeviceError> {
    /// Two sums.
    const BACKGROUND: usize = 16;
    let work_area = CubeTransform::<f32>::work_area(device, padded_box, &[Direction::Inverse])?;
    Ok(work_area + size_of::<f32>() * box_size.pow(3) + BACKGROUND)
}

/// Inverse transform, crop, scale, corner mask, gridding correction (spec 02 §2.4).
pub(crate) fn map_of(
    device: &Arc<Device>,
    mut cube: Cube,
    shape: &VolumeShape,
) -> Result<DeviceMap, DeviceError> {
    const EDGE: f32 = 3.0;
    let box_size = shape.box_size;
    let n = box_size as u32;
    let plan = CubeTransform::new(device, cube.side(), &[Direction::Inverse])?;
    plan.run(device, Direction::Inverse, &mut cube)?;
    drop(plan);
    // SAFETY: filled by the kernel below.
    let map = unsafe { DeviceMap::new(device, box_size)? };
    let background: Buffer<f64> = device.zeros(2)?;
    let scale = 1.0 / shape.amplitude_scale();
    let sphere = (box_size / 2) as f32;
    // SAFETY: array sizes as the kernels demand.
    unsafe {
        device.launch(&CropMap {
            padded: cube.voxels(),
            padded_box: cube.side() as u32,
            n,
            scale: scale as f32,
            out: map.view(),
        })?;
        device.launch(&BackgroundSums {
            map: map.view(),
            n,
            sphere,
            edge: EDGE,
            out: background.view(),
        })?;
        let sinc_box = (box_size as f64 * shape.padding) as f32;
        device.launch(&FinishMap {
            map: map.view(),
            n,
            sphere,
            edge: EDGE,
            background: background.view(),
            sinc_box,
        })?;
    }
    Ok(map)
}
