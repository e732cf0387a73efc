//! The coarse orientations a batch or iteration deals with: one row each, of all classes.

use super::super::orientations::global_list;
use super::super::slices::ImagePlane;
use super::super::{BatchItem, ClassSelection, ExpectationError, IterationInput};
use crate::device::{Buffer, Device};
use crate::geometry::{Matrix3, euler};
use gpu::slice::SliceAxes;
use rayon::prelude::*;

/// Orientations, and what kernels need of them.
pub struct Rows {
    /// Number of rows.
    pub count: usize,
    /// (class, direction · n_psi + psi) of each row; (class, 0) where orientations are fixed.
    pub index: Vec<(u32, u32)>,
    /// Class of each row.
    pub class_of: Buffer<u32>,
    /// Place of each row's class and direction in the direction sums.
    pub slot_of: Buffer<u32>,
    /// ln of the prior relative to its mean (global searches; else 0).
    pub log_prior: Buffer<f32>,
    /// Slices of the orientations themselves.
    pub coarse_axes: Buffer<SliceAxes>,
    /// Slices of their children, consecutive.
    pub fine_axes: Buffer<SliceAxes>,
}

impl Rows {
    /// The grid of a global search: all orientations of all classes with a prior above 0.
    pub fn of_grid(
        device: &Device,
        input: &IterationInput,
        plane: &ImagePlane,
    ) -> Result<Self, ExpectationError> {
        let lists: Vec<_> = (0..input.model.classes.len())
            .map(|k| global_list(input, k))
            .collect();
        // ⟨p_o⟩ over the classes that are visited together; with one class a particle, over that class.
        let visited = |k: usize| match input.classes {
            ClassSelection::First => k == 0,
            _ => input.model.classes[k].fraction > 0.0,
        };
        let mean_of = |classes: &[usize]| {
            let (sum, count) = classes.iter().fold((0.0, 0), |(s, n), &k| {
                (s + lists[k].total.0, n + lists[k].total.1)
            });
            if count > 0 { sum / count as f64 } else { 1.0 }
        };
        let together: Vec<usize> = (0..lists.len()).filter(|&k| visited(k)).collect();
        let mut index = Vec::new();
        let mut log_prior = Vec::new();
        for (k, list) in lists.iter().enumerate() {
            let mean = match input.classes {
                ClassSelection::RandomPerParticle => mean_of(&[k]),
                _ if !visited(k) => continue,
                _ => mean_of(&together),
            };
            index.extend(list.index.iter().map(|&o| (k as u32, o)));
            log_prior.extend(list.prior.iter().map(|p| (p / mean).ln() as f32));
        }
        Self::of_sampling(device, input, plane, index, &log_prior)
    }

    /// Orientations of the sampling; `log_prior` may be empty.
    pub fn of_sampling(
        device: &Device,
        input: &IterationInput,
        plane: &ImagePlane,
        index: Vec<(u32, u32)>,
        log_prior: &[f32],
    ) -> Result<Self, ExpectationError> {
        let n_psi = input.sampling.n_psi();
        let matrices = |row: usize, oversampling: u32| {
            let o = index[row].1 as usize;
            input
                .sampling
                .orientations(o / n_psi, o % n_psi, oversampling)
        };
        Self::new(device, input, plane, &index, log_prior, matrices)
    }

    /// The current orientation of each particle, once a class: row image · classes + class.
    pub fn fixed(
        device: &Device,
        input: &IterationInput,
        plane: &ImagePlane,
        items: &[&BatchItem],
    ) -> Result<Self, ExpectationError> {
        let classes = input.references.len();
        let index: Vec<(u32, u32)> = (0..items.len() * classes)
            .map(|row| ((row % classes) as u32, 0))
            .collect();
        let matrices = |row: usize, _| {
            let particle = items[row / classes].particle;
            vec![euler::matrix(particle.rot, particle.tilt, particle.psi)]
        };
        Self::new(device, input, plane, &index, &[], matrices)
    }

    /// `matrices` gives the children of a row by order of oversampling.
    fn new(
        device: &Device,
        input: &IterationInput,
        plane: &ImagePlane,
        index: &[(u32, u32)],
        log_prior: &[f32],
        matrices: impl Fn(usize, u32) -> Vec<Matrix3> + Sync,
    ) -> Result<Self, ExpectationError> {
        let n_psi = input.sampling.n_psi();
        let directions = input.sampling.directions.len() as u32;
        let axes = |oversampling: u32| -> Vec<SliceAxes> {
            (0..index.len())
                .into_par_iter()
                .flat_map_iter(|row| {
                    matrices(row, oversampling)
                        .into_iter()
                        .map(|a| plane.axes(&a))
                })
                .collect()
        };
        let class_of: Vec<u32> = index.iter().map(|i| i.0).collect();
        let slot_of: Vec<u32> = index
            .iter()
            .map(|&(k, o)| k * directions + o / n_psi as u32)
            .collect();
        Ok(Self {
            count: index.len(),
            class_of: device.upload(&class_of)?,
            slot_of: device.upload(&slot_of)?,
            log_prior: device.upload(log_prior)?,
            coarse_axes: device.upload(&axes(0))?,
            fine_axes: device.upload(&axes(input.options.oversampling))?,
            index: index.to_vec(),
        })
    }
}
