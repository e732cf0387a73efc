//! Differences between slices of a reference and the same slices turned or shifted, for the expected accuracies
//! (spec 01 §4.11).

use crate::device::{Buffer, DeviceError};
use crate::fourier::reference::DeviceReference;
use gpu::kernels::trials::{TrialDifferences, TrialSpectrum};
use gpu::slice::{SliceAxes, VolumeShape};

/// Trial particles of one optics group on the device of a reference.
pub struct Trials<'a> {
    reference: &'a DeviceReference,
    shape: Buffer<VolumeShape>,
    pixels: Buffer<[i16; 2]>,
    pixel_count: usize,
    weights: Buffer<f32>,
    axes: Buffer<SliceAxes>,
    count: usize,
}

impl<'a> Trials<'a> {
    /// `axes`: orientation of each trial; `pixels`: those compared; `weights`: C²/(2σ²) of each pixel, trial after trial.
    ///
    /// # Panics
    /// If there is not one weight a pixel and trial.
    pub fn new(
        reference: &'a DeviceReference,
        pixels: &[[i16; 2]],
        weights: &[f32],
        axes: &[SliceAxes],
    ) -> Result<Self, DeviceError> {
        assert_eq!(weights.len(), pixels.len() * axes.len());
        let device = reference.volume.device();
        Ok(Self {
            shape: device.upload(&[reference.shape.for_kernels()])?,
            pixels: device.upload(pixels)?,
            pixel_count: pixels.len(),
            weights: device.upload(weights)?,
            axes: device.upload(axes)?,
            count: axes.len(),
            reference,
        })
    }

    /// Σ w|s − s'|² of every trial against each of its candidates: slices along `moved`, shifted by `shifts` (turns a
    /// pixel). Candidates of a trial lie together.
    pub fn differences(
        &self,
        moved: &[SliceAxes],
        shifts: &[[f32; 2]],
    ) -> Result<Vec<f32>, DeviceError> {
        assert_eq!(moved.len(), shifts.len());
        let device = self.reference.volume.device();
        let candidates = moved.len() / self.count.max(1);
        assert_eq!(candidates * self.count, moved.len());
        let moved_on_device = device.upload(moved)?;
        let shifts = device.upload(shifts)?;
        // SAFETY: filled by the kernel; array sizes as it demands.
        unsafe {
            let out = device.buffer(moved.len())?;
            device.launch(&TrialDifferences {
                trials: self.count as u32,
                volume: self.reference.volume.view(),
                shape: self.shape.view(),
                pixels: self.pixels.view(),
                pixel_count: self.pixel_count as u32,
                weights: self.weights.view(),
                axes: self.axes.view(),
                moved: moved_on_device.view(),
                shifts: shifts.view(),
                candidates: candidates as u32,
                out: out.view(),
            })?;
            device.download(&out, moved.len())
        }
    }

    /// The difference per shell (`shell_of` a pixel) to one turned slice a trial, added up over the trials.
    pub fn spectrum(
        &self,
        moved: &[SliceAxes],
        shell_of: &[u32],
        shells: usize,
    ) -> Result<Vec<f64>, DeviceError> {
        assert_eq!(
            (moved.len(), shell_of.len()),
            (self.count, self.pixel_count)
        );
        let device = self.reference.volume.device();
        let moved = device.upload(moved)?;
        let shell_of = device.upload(shell_of)?;
        let out: Buffer<f64> = device.zeros(shells)?;
        // SAFETY: array sizes as the kernel demands.
        unsafe {
            device.launch(&TrialSpectrum {
                trials: self.count as u32,
                volume: self.reference.volume.view(),
                shape: self.shape.view(),
                pixels: self.pixels.view(),
                shell_of: shell_of.view(),
                pixel_count: self.pixel_count as u32,
                weights: self.weights.view(),
                axes: self.axes.view(),
                moved: moved.view(),
                shells: shells as u32,
                out: out.view(),
            })?;
        }
        device.download(&out, shells)
    }
}
