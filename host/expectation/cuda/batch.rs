//! Data that all stages of a batch share.

use super::super::{BatchItem, IterationInput};
use super::Iteration;
use super::images::Prepared;
use super::layout::DeviceLayout;
use crate::device::Device;

/// A batch of particles of one optics group, their images on the device.
#[derive(Clone, Copy)]
pub struct BatchContext<'a> {
    pub device: &'a Device,
    pub input: &'a IterationInput<'a>,
    pub iteration: &'a Iteration,
    pub layout: &'a DeviceLayout,
    pub items: &'a [&'a BatchItem<'a>],
    pub images: &'a Prepared,
}
