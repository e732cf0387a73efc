//! Sums and priors as kernels take them.

use super::super::prior::InversePrior;
use crate::device::{Buffer, Device, DeviceError, View};
use crate::fourier::sums::DeviceSums;
use gpu::slice::VolumeShape;
use std::sync::Arc;

/// Sums with their geometry, also on the device.
pub(super) struct Operand<'a> {
    pub device: &'a Arc<Device>,
    pub sums: View<[f32; 4]>,
    shape: Buffer<VolumeShape>,
    /// Stored voxels.
    pub voxels: u32,
    /// Side of the full cube.
    pub side: u32,
    /// Rp².
    pub radius2: u32,
    pub padding: f32,
}

impl<'a> Operand<'a> {
    pub(super) fn new(sums: &'a DeviceSums) -> Result<Self, DeviceError> {
        let device = sums.volume.device();
        let shape = sums.kernel_shape();
        Ok(Self {
            device,
            sums: sums.volume.view(),
            shape: device.upload(&[shape])?,
            voxels: shape.len() as u32,
            side: shape.side,
            radius2: sums.radius2(),
            padding: sums.shape.padding as f32,
        })
    }

    pub(super) fn shape(&self) -> View<VolumeShape> {
        self.shape.view()
    }
}

/// The inverse prior variance per shell.
pub(super) struct PriorOperand {
    inverse: Buffer<f32>,
}

impl PriorOperand {
    /// None: no shell has prior power.
    pub(super) fn new(device: &Device, prior: Option<&InversePrior>) -> Result<Self, DeviceError> {
        Self::of_classes(device, prior.into_iter())
    }

    /// The values of several classes of as many shells, one class after the other.
    pub(super) fn of_classes<'p>(
        device: &Device,
        priors: impl Iterator<Item = &'p InversePrior>,
    ) -> Result<Self, DeviceError> {
        let inverse: Vec<f32> = priors.flat_map(InversePrior::for_kernels).collect();
        Ok(Self {
            inverse: device.upload(&inverse)?,
        })
    }

    pub(super) fn view(&self) -> View<f32> {
        self.inverse.view()
    }

    pub(super) fn shells(&self) -> u32 {
        self.inverse.len() as u32
    }
}
