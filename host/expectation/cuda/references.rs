//! References where the kernels want them: those of all classes one after the other.

use crate::device::{Device, DeviceError, DeviceVolume};
use crate::fourier::reference::{self, Reference};
use crate::fourier::shape::Dimensions;
use std::sync::Arc;

/// The references of all classes one after the other on `device`: where they are, or copies.
pub(super) fn side_by_side(
    device: &Arc<Device>,
    references: &[Reference],
) -> Result<Vec<DeviceVolume<[f32; 2]>>, DeviceError> {
    let in_place: Vec<_> = references
        .iter()
        .filter_map(|reference| match reference {
            Reference::Device(r) if reference.is_on(device) => Some(&r.volume),
            _ => None,
        })
        .collect();
    if in_place.len() == references.len()
        && in_place
            .windows(2)
            .all(|pair| pair[0].is_followed_by(pair[1]))
    {
        return Ok(in_place.into_iter().cloned().collect());
    }
    let on_host: Vec<_> = references.iter().filter_map(Reference::on_host).collect();
    if on_host.len() == references.len() && on_host[0].shape.dimensions == Dimensions::Two {
        return reference::upload_all(device, on_host.into_iter());
    }
    let voxels = references[0].shape().voxels();
    // SAFETY: filled below.
    let array = unsafe { device.buffer(voxels * references.len())? };
    let mut volumes = DeviceVolume::split(device, array, references.len());
    for (volume, reference) in volumes.iter_mut().zip(references) {
        match reference {
            Reference::Host(r) => volume.write(0, bytemuck::cast_slice(&r.data))?,
            Reference::Device(r) => volume.copy_from(&r.volume)?,
        }
    }
    Ok(volumes)
}
