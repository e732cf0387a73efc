//! The coarse orientations a batch or iteration deals with: one row each, of all classes.

use super::super::orientations::{common_classes, current_orientation, each_of_grid, global_list};
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
pub(super) struct Rows {
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
pub(super) struct FineAxes {
    /// On the device.
    pub view: View<SliceAxes>,
    /// Keeps those of parents.
    _of_parents: Option<Buffer<SliceAxes>>,
}

impl Rows {
    /// The grid of a global search: all orientations of all classes with a prior above 0.
    pub(super) fn of_grid(
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
        Self::new(
            staging,
            uploader,
            (input, plane),
            (index, &log_prior),
            children,
            |rows, _, order, take| each_of_rows(input, rows, order, take),
        )
    }

    /// Orientations of local searches. Few of them have significant samples: children are worked out for those alone.
    pub(super) fn of_particles(
        staging: &mut Staging,
        uploader: &mut Uploader,
        input: &IterationInput,
        plane: &ImagePlane,
        index: Vec<(u32, u32)>,
    ) -> Result<Self, ExpectationError> {
        let rows = (index, &[][..]);
        Self::new(
            staging,
            uploader,
            (input, plane),
            rows,
            None,
            |rows, _, order, take| each_of_rows(input, rows, order, take),
        )
    }

    /// Slices of the children of `parents`, which are `chosen` on the device.
    pub(super) fn fine_axes(
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
            .par_chunks(ROWS_AT_A_TIME)
            .flat_map_iter(|parents| {
                let rows = parents.iter().map(|p| self.index[p.orientation as usize]);
                let rows: Vec<(u32, u32)> = rows.collect();
                let mut axes = Vec::with_capacity(parents.len() * children);
                each_of_rows(input, &rows, oversampling, &mut |matrix| {
                    axes.push(plane.axes(&matrix))
                });
                axes
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
    pub(super) fn fixed(
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
        let rows = (index, &[][..]);
        Self::new(
            staging,
            uploader,
            (input, plane),
            rows,
            Some(1),
            |rows, first, _, take| {
                for row in first..first + rows.len() {
                    take(current_orientation(input, items[row / classes].particle));
                }
            },
        )
    }

    /// `index` and `log_prior` have an element per row. `each_matrix` is given some elements of `index`, the number of the first,
    /// and an order of oversampling, and passes on the matrices of their children at that order. There are `children` at that of
    /// the run, which are worked out unless that is None.
    fn new(
        staging: &mut Staging,
        uploader: &mut Uploader,
        (input, plane): (&IterationInput, &ImagePlane),
        (index, log_prior): (Vec<(u32, u32)>, &[f32]),
        children: Option<usize>,
        each_matrix: impl Fn(&[(u32, u32)], usize, u32, &mut dyn FnMut(Matrix3)) + Sync,
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
                let rows = &index[first..first + to.len() / children];
                let mut to = to.iter_mut();
                each_matrix(rows, first, oversampling, &mut |matrix| {
                    let to = to.next().expect("as many as there are children");
                    *to = plane.axes(&matrix);
                });
            })
        };
        let class_of: Vec<u32> = index.par_iter().map(|i| i.0).collect();
        let slot_of: Vec<u32> = index
            .par_iter()
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
            index,
        })
    }
}

/// Children of an orientation of the sampling in the second pass.
fn fine_children(input: &IterationInput) -> usize {
    let oversampling = input.options.oversampling;
    input.sampling.orientation_children(oversampling)
}

/// Calls `take` with the children, at an order of oversampling, of one of the `rows` after the other.
fn each_of_rows(
    input: &IterationInput,
    rows: &[(u32, u32)],
    oversampling: u32,
    take: &mut dyn FnMut(Matrix3),
) {
    let orientations = rows.iter().map(|&(_, orientation)| orientation);
    each_of_grid(input, orientations, oversampling, take);
}
