//! The inputs of a batch on the device.

use super::batch::Batch;
use super::*;
use gerelion::device::View;
use gpu::kernels::coarse::{CoarseBounds, LogsViews};
use gpu::kernels::groups::{ComparedViews, PhasesViews};
use gpu::shapes::ALL_CLASSES;

/// A [`Batch`] on the device.
pub struct Uploaded {
    pub shape: Buffer<VolumeShape>,
    pub references: Buffer<[f32; 2]>,
    pub class_of: Buffer<u32>,
    pub axes: Buffer<SliceAxes>,
    pub pixels: Buffer<[i16; 2]>,
    pub masked: Buffer<[f32; 2]>,
    pub unmasked: Buffer<[f32; 2]>,
    pub ctf: Buffer<f32>,
    pub scales: Buffer<f32>,
    pub weight: Buffer<f32>,
    pub phases: Buffer<[f32; 2]>,
    pub log_prior: Buffer<f32>,
    pub offset_log_prior: Buffer<f32>,
    pub visited: Buffer<u32>,
    pub cross: Buffer<f32>,
    pub norm: Buffer<f32>,
    pub bounds: Buffer<f32>,
}

impl Uploaded {
    /// The kernel that finds the largest ln W of each orientation.
    pub fn bounds(&self) -> CoarseBounds {
        CoarseBounds {
            logs: LogsViews {
                cross: self.cross.view(),
                norm: self.norm.view(),
                log_prior: self.log_prior.view(),
                class_of: self.class_of.view(),
                offset_log_prior: self.offset_log_prior.view(),
                offset_lists: 1,
                visited: self.visited.view(),
                powers: View::null(),
                orientations: ORIENTATIONS as u32,
                images: IMAGES as u32,
                shifts: SHIFTS as u32,
            },
            bounds: self.bounds.view(),
        }
    }
}

impl Uploaded {
    /// The images as they are compared with slices.
    pub fn compared(&self, b: &Batch) -> ComparedViews {
        ComparedViews {
            count: IMAGES as u32,
            images: self.masked.view(),
            ctf: self.ctf.view(),
            stride: b.stride as u32,
            scales: self.scales.view(),
            powers: View::null(),
            weight: self.weight.view(),
            pixels: b.count(),
        }
    }

    /// The phases of all children of all shifts.
    pub fn phases(&self, b: &Batch) -> PhasesViews {
        PhasesViews {
            shifts: (SHIFTS * SHIFT_CHILDREN) as u32,
            rows: self.phases.view(),
            stride: b.stride as u32,
        }
    }

    pub fn new(device: &Device, b: &Batch) -> Self {
        Self {
            shape: device.upload(&[b.shape]).unwrap(),
            references: device.upload(&b.references).unwrap(),
            class_of: device.upload(&b.class_of).unwrap(),
            axes: device.upload(&b.axes).unwrap(),
            pixels: device.upload(&b.pixels).unwrap(),
            masked: device.upload(&b.masked).unwrap(),
            unmasked: device.upload(&b.unmasked).unwrap(),
            ctf: device.upload(&b.ctf).unwrap(),
            scales: device.upload(&b.scales).unwrap(),
            weight: device.upload(&b.weight).unwrap(),
            phases: device.upload(&b.phases).unwrap(),
            log_prior: device.upload(&b.log_prior).unwrap(),
            offset_log_prior: device.upload(&b.offset_log_prior).unwrap(),
            visited: device.upload(&[ALL_CLASSES; IMAGES]).unwrap(),
            cross: poisoned(device, ORIENTATIONS * IMAGES * SHIFTS),
            norm: poisoned(device, ORIENTATIONS * IMAGES),
            bounds: poisoned(device, ORIENTATIONS * IMAGES),
        }
    }
}
