//! The next projection volumes on a device (spec 01 §1.5).

use super::map::DeviceMap;
use crate::device::{Buffer, Cube, CubeTransform, Device, DeviceError, DeviceVolume, Direction};
use crate::fourier::reference::{DeviceReference, Reference};
use crate::fourier::shape::{Dimensions, VolumeShape};
use crate::fourier::shells::round;
use gpu::kernels::map::PadMap;
use gpu::kernels::volume::CropReference;
use ndarray::Array3;
use std::sync::Arc;

/// Gridding-correct, pad, transform and crop the maps of all classes for current size `current_size`, into one array on
/// `device`; as [`crate::fourier::reference::prepare`] does on the host. Returns the references and the power spectrum of
/// each.
pub fn prepare(
    device: &Arc<Device>,
    maps: &[&Array3<f64>],
    padding: f64,
    current_size: usize,
    lowres_limit_shell: Option<usize>,
) -> Result<(Vec<Reference>, Vec<Vec<f64>>), DeviceError> {
    let Some(first) = maps.first() else {
        return Ok((Vec::new(), Vec::new()));
    };
    let n = first.dim().0;
    let shape = VolumeShape::new(Dimensions::Three, n, padding, current_size);
    let side = shape.padded_box;
    let kernel_shape = shape.for_kernels();
    let shape_on_device = device.upload(&[kernel_shape])?;
    let radius2 = shape.radius2();
    let silent2 = lowres_limit_shell.map_or(-1, |s| round(s as f64 * shape.padding).pow(2));
    let scale = shape.amplitude_scale() / shape.padded_values();
    let shells = n / 2 + 1;
    let plan = CubeTransform::new(device, side, &[Direction::Forward])?;
    // SAFETY: filled below.
    let array = unsafe { device.buffer(shape.voxels() * maps.len())? };
    let volumes = DeviceVolume::split(device, array, maps.len());
    let mut powers = Vec::new();
    for (map, volume) in maps.iter().zip(&volumes) {
        // SAFETY: filled before it is read.
        let mut cube = unsafe { Cube::new(device, side)? };
        let on_device = DeviceMap::upload(device, map)?;
        let power: Buffer<f64> = device.zeros(2 * shells)?;
        let sinc_box = (n as f64 * shape.padding) as f32;
        // SAFETY: array sizes as the kernels demand.
        unsafe {
            device.launch(&PadMap {
                map: on_device.view(),
                n: n as u32,
                padded_box: side as u32,
                sinc_box,
                out: cube.voxels(),
            })?;
            plan.run(device, Direction::Forward, &mut cube)?;
            device.launch(&CropReference {
                voxels: shape.voxels() as u32,
                transform: cube.transform(),
                padded_box: side as u32,
                shape: shape_on_device.view(),
                radius2: radius2 as u32,
                silent2: silent2 as i32,
                scale: scale as f32,
                padding: shape.padding as f32,
                shells: shells as u32,
                out: volume.view(),
                power: power.view(),
            })?;
        }
        powers.push(
            device
                .download(&power, 2 * shells)?
                .chunks_exact(2)
                .map(|shell| match shell[1] < 1.0 {
                    true => 0.0,
                    false => shell[0] / 2.0 / shell[1],
                })
                .collect(),
        );
    }
    let references = volumes
        .into_iter()
        .map(|volume| Reference::Device(DeviceReference { volume, shape }))
        .collect();
    Ok((references, powers))
}
