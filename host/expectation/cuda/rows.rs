//! The coarse orientations a batch or iteration deals with: one row each, of all classes.

use super::super::orientations::{common_classes, current_orientation, global_list};
use super::super::priors::{mean_prior, relative_log_priors};
use super::super::slices::ImagePlane;
use super::super::{BatchItem, ExpectationError, IterationInput};
use crate::device::{Buffer, Device, Staging, Uploaded, Uploader, View};
use crate::geometry::Matrix3;
use gpu::kernels::own_samples::PlaceAxes;
use gpu::samples::Parent;
use gpu::slice::SliceAxes;
use rayon::prelude::*;

/// Rows whose slices a thread works out at a time.
const ROWS_AT_A_TIME: usize = 1024;

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
    pub coarse_axes: Uploaded<SliceAxes>,
    /// Slices of their children, consecutive; None where they are worked out for parents alone.
    fine_axes: Option<Uploaded<SliceAxes>>,
}

/// Slices of the children of orientations, consecutive; at least those of the parents they were asked for.
pub struct FineAxes {
    /// On the device.
    pub view: View<SliceAxes>,
    /// Keeps those of parents.
    _of_parents: Option<Buffer<SliceAxes>>,
}

impl Rows {
    /// The grid of a global search: all orientations of all classes with a prior above 0.
    pub fn of_grid(
        staging: &mut Staging,
        uploader: &mut Uploader,
        input: &IterationInput,
        plane: &ImagePlane,
    ) -> Result<Self, ExpectationError> {
        let lists: Vec<_> = (0..input.model.classes.len())
            .map(|k| global_list(input, k))
            .collect();
        // ⟨p_o⟩ over the classes that are visited together; with one class per particle, over that class.
        let visited: Vec<(usize, f64)> = match common_classes(input) {
            Some(classes) => {
                let mean = mean_prior(classes.iter().map(|&k| &lists[k]));
                classes.into_iter().map(|k| (k, mean)).collect()
            }
            None => {
                let alone = lists.iter().map(|list| mean_prior([list]));
                alone.enumerate().collect()
            }
        };
        let mut index = Vec::new();
        let mut log_prior = Vec::new();
        for (k, mean) in visited {
            let list = &lists[k];
            index.extend(list.index.iter().map(|&o| (k as u32, o)));
            let log_priors = relative_log_priors(input, list, mean);
            log_prior.extend(log_priors.into_iter().map(|log| log as f32));
        }
        let children = Some(fine_children(input));
        let matrices = |row: usize, order| matrices(input, &index, row, order);
        let priors = (&index[..], &log_prior[..]);
        Self::new(
            staging,
            uploader,
            (input, plane),
            priors,
            children,
            matrices,
        )
    }

    /// Orientations of local searches. Few of them have significant samples: children are worked out for those alone.
    pub fn of_particles(
        staging: &mut Staging,
        uploader: &mut Uploader,
        input: &IterationInput,
        plane: &ImagePlane,
        index: Vec<(u32, u32)>,
    ) -> Result<Self, ExpectationError> {
        let matrices = |row: usize, order| matrices(input, &index, row, order);
        let priors = (&index[..], &[][..]);
        Self::new(staging, uploader, (input, plane), priors, None, matrices)
    }

    /// Slices of the children of `parents`, which are `chosen` on the device.
    pub fn fine_axes(
        &self,
        device: &Device,
        staging: &mut Staging,
        (input, plane): (&IterationInput, &ImagePlane),
        (parents, chosen): (&[Parent], View<u32>),
    ) -> Result<FineAxes, ExpectationError> {
        if let Some(all) = &self.fine_axes {
            return Ok(FineAxes {
                view: all.block.view(),
                _of_parents: None,
            });
        }
        let (children, oversampling) = (fine_children(input), input.options.oversampling);
        let axes: Vec<SliceAxes> = parents
            .par_iter()
            .flat_map_iter(|parent| {
                let row = parent.orientation as usize;
                let matrices = matrices(input, &self.index, row, oversampling);
                matrices.into_iter().map(|matrix| plane.axes(&matrix))
            })
            .collect();
        let axes = staging.upload(&axes)?;
        // SAFETY: what is read of it is filled by the kernel below.
        let out = unsafe { device.buffer::<SliceAxes>(self.count * children)? };
        // SAFETY: arrays of the sizes the kernel's documentation asks for.
        unsafe {
            device.launch(&PlaceAxes {
                chosen,
                parents: parents.len() as u32,
                children: children as u32,
                axes: axes.view(),
                out: out.view(),
            })?;
        }
        Ok(FineAxes {
            view: out.view(),
            _of_parents: Some(out),
        })
    }

    /// The current orientation of each particle, once a class: row image · classes + class.
    pub fn fixed(
        staging: &mut Staging,
        uploader: &mut Uploader,
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
            vec![current_orientation(input, particle)]
        };
        let priors = (&index[..], &[][..]);
        Self::new(staging, uploader, (input, plane), priors, Some(1), matrices)
    }

    /// `index` and `log_prior` have an element per row. `matrices` gives the children of a row by order of oversampling;
    /// there are `children` at that of the run, which are worked out unless that is None.
    fn new(
        staging: &mut Staging,
        uploader: &mut Uploader,
        (input, plane): (&IterationInput, &ImagePlane),
        (index, log_prior): (&[(u32, u32)], &[f32]),
        children: Option<usize>,
        matrices: impl Fn(usize, u32) -> Vec<Matrix3> + Sync,
    ) -> Result<Self, ExpectationError> {
        let n_psi = input.sampling.n_psi();
        let directions = input.sampling.directions.len() as u32;
        let mut axes = |oversampling: u32, children: usize| {
            let counts: Vec<usize> = index
                .chunks(ROWS_AT_A_TIME)
                .map(|rows| rows.len() * children)
                .collect();
            uploader.queue(&counts, |part, to: &mut [SliceAxes]| {
                let first = part * ROWS_AT_A_TIME;
                for (row, to) in (first..).zip(to.chunks_exact_mut(children)) {
                    for (to, matrix) in to.iter_mut().zip(matrices(row, oversampling)) {
                        *to = plane.axes(&matrix);
                    }
                }
            })
        };
        let class_of: Vec<u32> = index.iter().map(|i| i.0).collect();
        let slot_of: Vec<u32> = index
            .iter()
            .map(|&(k, o)| k * directions + o / n_psi as u32)
            .collect();
        Ok(Self {
            count: index.len(),
            class_of: staging.upload(&class_of)?,
            slot_of: staging.upload(&slot_of)?,
            log_prior: staging.upload(log_prior)?,
            coarse_axes: axes(0, 1)?,
            fine_axes: children
                .map(|children| axes(input.options.oversampling, children))
                .transpose()?,
            index: index.to_vec(),
        })
    }
}

/// Children of an orientation of the sampling in the second pass.
fn fine_children(input: &IterationInput) -> usize {
    let oversampling = input.options.oversampling;
    input.sampling.orientation_children(oversampling)
}

/// The children, by order of oversampling, of row `row` of `index`.
fn matrices(
    input: &IterationInput,
    index: &[(u32, u32)],
    row: usize,
    oversampling: u32,
) -> Vec<Matrix3> {
    let (o, n_psi) = (index[row].1 as usize, input.sampling.n_psi());
    input
        .sampling
        .orientations(o / n_psi, o % n_psi, oversampling)
}
