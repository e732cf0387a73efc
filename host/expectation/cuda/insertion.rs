//! Insertion of slices that the host has made into sums on a device.

use crate::device::{Buffer, Device, DeviceError, DeviceVolume, View};
use crate::expectation::cpu::SumSlice;
use crate::fourier::shape::VolumeShape;
use crate::fourier::sums::DeviceSums;
use gpu::kernels::insert::InsertSlices;
use gpu::slice::{Bend, SliceAxes};
use std::sync::Arc;

/// Returns zeroed sums of a shape on a device.
///
/// # Errors
/// The device is full.
pub fn zeroed_sums(device: &Arc<Device>, shape: VolumeShape) -> Result<DeviceSums, DeviceError> {
    let array = device.zeros(shape.voxels())?;
    Ok(DeviceSums {
        volume: DeviceVolume::split(device, array, 1).remove(0),
        shape,
    })
}

/// Adds slices (of boxes of `size` pixels) to sums on their device.
///
/// # Errors
/// The device is full, or fails.
pub fn insert_slices(
    sums: &mut DeviceSums,
    size: usize,
    slices: &[SumSlice],
) -> Result<(), DeviceError> {
    if slices.is_empty() {
        return Ok(());
    }
    let device = sums.volume.device();
    let (width, pixels) = (size / 2 + 1, size * (size / 2 + 1));
    let axes: Vec<SliceAxes> = slices.iter().map(|slice| slice.axes).collect();
    let values: Vec<[f32; 3]> = slices
        .iter()
        .flat_map(|s| s.values.iter().copied())
        .collect();
    let bends: Option<Buffer<Bend>> = match slices.iter().any(|slice| slice.bend.is_some()) {
        true => {
            let bends: Vec<Bend> = slices.iter().map(|s| s.bend.unwrap_or_default()).collect();
            Some(device.upload(&bends)?)
        }
        false => None,
    };
    let (axes, values) = (device.upload(&axes)?, device.upload(&values)?);
    let shape = device.upload(&[sums.kernel_shape()])?;
    // SAFETY: the sums have the shape; other lengths are compared.
    unsafe {
        device.launch(&InsertSlices {
            slices: slices.len() as u32,
            axes: axes.view(),
            bends: bends.as_ref().map_or(View::null(), Buffer::view),
            values: values.view(),
            width: width as u32,
            pixels: pixels as u32,
            shape: shape.view(),
            max_radius2: sums.shape.insertion_limit2(),
            sums: sums.volume.view(),
        })
    }
}
