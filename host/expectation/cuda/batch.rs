//! Data that all stages of a batch share.

use super::super::{BatchItem, IterationInput};
use super::Iteration;
use super::images::Prepared;
use super::layout::DeviceLayout;
use crate::device::{Buffer, Device};
use gpu::kernels::groups::ComparedViews;

/// A batch of particles of one optics group, their images on the device.
#[derive(Clone, Copy)]
pub(super) struct BatchContext<'a> {
    pub device: &'a Device,
    pub input: &'a IterationInput<'a>,
    pub iteration: &'a Iteration,
    pub layout: &'a DeviceLayout,
    pub items: &'a [&'a BatchItem<'a>],
    pub images: &'a Prepared,
}

impl BatchContext<'_> {
    /// Returns the images as the first pass (0) or the second (1) compares them, over the first `pixels` of the list, which have
    /// these weights.
    pub(super) fn compared(
        &self,
        pass: usize,
        (weight, pixels): (&Buffer<f32>, usize),
    ) -> ComparedViews {
        let images = self.images;
        ComparedViews {
            count: images.starts.len() as u32,
            images: images.compared(),
            ctf: images.comparison_ctf(self.input),
            stride: self.layout.stride as u32,
            scales: images.scales.view(),
            powers: images.powers(pass),
            weight: weight.view(),
            pixels: pixels as u32,
        }
    }
}
