//! From sums to a map on a device (spec 02 §2.1–2.5).

use super::super::MaximizationOptions;
use super::super::prior::{InversePrior, oversampling};
use crate::device::{Buffer, Device, DeviceError, InverseTransform};
use crate::fourier::sums::DeviceSums;
use ndarray::Array3;
use rayon::prelude::*;
use std::sync::Arc;

/// Regularised map (with `prior`, if there is one); frees the sums before it transforms.
pub fn regularised(
    sums: DeviceSums,
    prior: Option<&InversePrior>,
    options: &MaximizationOptions,
) -> Result<Array3<f64>, DeviceError> {
    if let Some(prior) = prior {
        regularise(&sums, prior, options)?;
    }
    let device = sums.volume.device().clone();
    let padding = sums.shape.padding;
    let transform = divided(&sums)?;
    drop(sums);
    to_real_space(&device, transform, padding, options.box_size)
}

/// Map without a prior; the sums stay as they are.
pub fn unregularised(
    sums: &DeviceSums,
    options: &MaximizationOptions,
) -> Result<Array3<f64>, DeviceError> {
    to_real_space(
        sums.volume.device(),
        divided(sums)?,
        sums.shape.padding,
        options.box_size,
    )
}

/// Add the inverse prior variance to the weights.
fn regularise(
    sums: &DeviceSums,
    prior: &InversePrior,
    options: &MaximizationOptions,
) -> Result<(), DeviceError> {
    let device = sums.volume.device();
    let shape = sums.kernel_shape();
    let inverse = prior.for_kernels();
    let inverse_on_device = device.upload(&inverse)?;
    let shape_on_device = device.upload(&[shape])?;
    // SAFETY: array sizes as the kernel demands.
    unsafe {
        device.regularise(
            shape.len() as u32,
            sums.volume.pointer(),
            shape_on_device.pointer(),
            sums.radius2(),
            sums.shape.padding as f32,
            inverse_on_device.pointer(),
            inverse.len() as u32,
            options.minres_map as u32,
        )
    }
}

/// Data divided by weights no lower than a thousandth of the mean of their bin, as the centred transform of the padded
/// box (spec 02 §2.2).
fn divided(sums: &DeviceSums) -> Result<Buffer<[f32; 2]>, DeviceError> {
    let device = sums.volume.device();
    let shape = sums.kernel_shape();
    let padding = sums.shape.padding as f32;
    let bins = sums.shape.r_max.max(1);
    let shape_on_device = device.upload(&[shape])?;
    let by_bin: Buffer<f64> = device.zeros(2 * bins)?;
    // SAFETY: array sizes as the kernel demands.
    unsafe {
        device.weight_by_bin(
            shape.len() as u32,
            sums.volume.pointer(),
            shape_on_device.pointer(),
            sums.radius2(),
            padding,
            bins as u32,
            by_bin.pointer(),
        )?;
    }
    let floor: Vec<f32> = device
        .download(&by_bin, 2 * bins)?
        .chunks_exact(2)
        .map(|bin| match bin[1] > 0.0 {
            true => (bin[0] / bin[1] / 1000.0) as f32,
            false => 0.0,
        })
        .collect();
    let floor = device.upload(&floor)?;
    let side = sums.shape.padded_box;
    // SAFETY: filled by the kernel; array sizes as it demands.
    unsafe {
        let transform = device.buffer(side * side * (side / 2 + 1))?;
        device.divide_into_transform(
            sums.volume.pointer(),
            shape_on_device.pointer(),
            sums.radius2(),
            padding,
            floor.pointer(),
            bins as u32,
            side as u32,
            transform.pointer(),
        )?;
        Ok(transform)
    }
}

/// Inverse transform, crop, scale, corner mask, gridding correction (spec 02 §2.4).
fn to_real_space(
    device: &Arc<Device>,
    mut transform: Buffer<[f32; 2]>,
    padding: f64,
    box_size: usize,
) -> Result<Array3<f64>, DeviceError> {
    const EDGE: f32 = 3.0;
    let n = box_size as u32;
    let plan = InverseTransform::new(
        device,
        crate::fourier::reference::volume_shape(box_size, padding, 0).padded_box,
    )?;
    let side = plan.side();
    // SAFETY: filled by the transform.
    let mut padded = unsafe { device.buffer(side * side * side)? };
    plan.inverse(device, &mut transform, &mut padded)?;
    drop((plan, transform));
    // SAFETY: filled by the kernel below.
    let map: Buffer<f32> = unsafe { device.buffer(box_size.pow(3))? };
    let background: Buffer<f64> = device.zeros(2)?;
    let scale = 1.0 / (oversampling(padding) * box_size as f64);
    let sphere = (box_size / 2) as f32;
    // SAFETY: array sizes as the kernels demand.
    unsafe {
        device.crop_map(
            padded.pointer(),
            side as u32,
            n,
            scale as f32,
            map.pointer(),
        )?;
        device.background_sums(map.pointer(), n, sphere, EDGE, background.pointer())?;
        let sinc_box = (box_size as f64 * padding) as f32;
        device.finish_map(
            map.pointer(),
            n,
            sphere,
            EDGE,
            background.pointer(),
            sinc_box,
        )?;
    }
    let values: Vec<f64> = device
        .download(&map, box_size.pow(3))?
        .into_par_iter()
        .map(f64::from)
        .collect();
    Ok(Array3::from_shape_vec([box_size; 3], values).expect("a value a voxel"))
}
