//! First pass on the device: differences with all coarse orientations and shifts, and the list of significant samples. The
//! grid of a global search is here; orientations of particles' own are in `own_orientations.rs`.

use super::super::orientations::{classes_of, common_classes};
use super::super::priors::relative_offset_log_priors;
use super::super::{BatchItem, Criterion, ExpectationError, IterationInput};
use super::clock::{Clock, Stage};
use super::images::Prepared;
use super::layout::DeviceLayout;
use super::listing::{Listing, Significant};
use super::rows::Rows;
use super::{Iteration, ties, work};
use crate::device::meter::Part;
use crate::device::{Device, MatrixProduct, Precision, Staging};
use gpu::correlation::TIE_TOLERANCE;
use gpu::samples::Selection;
use gpu::shapes::ALL_CLASSES;

/// Significant coarse samples of a batch.
pub struct FirstPass {
    /// The list.
    pub list: Significant,
    /// Particle-specific orientations; None where those of the grid are meant.
    pub own_rows: Option<Rows>,
}

impl FirstPass {
    /// The orientations that samples refer to.
    pub fn rows<'a>(&'a self, layout: &'a DeviceLayout) -> &'a Rows {
        self.own_rows
            .as_ref()
            .or(layout.grid.as_ref().map(|g| &g.rows))
            .expect("a first pass is over the grid or over own orientations")
    }
}

/// ln of the offset prior of every coarse shift relative to its mean (0 in cross-correlations).
pub fn relative_offset_priors(
    input: &IterationInput,
    layout: &DeviceLayout,
    images: &Prepared,
) -> Vec<Vec<f32>> {
    images
        .starts
        .iter()
        .map(|p| {
            let logs = relative_offset_log_priors(input, p, layout.host.pixel_size);
            logs.iter().map(|&e| e as f32).collect()
        })
        .collect()
}

/// Samples of a particle that are counted as significant at most.
pub fn limit(input: &IterationInput) -> u32 {
    input.options.max_significant.map_or(u32::MAX, |m| m as u32)
}

/// Global search: matrix products of the grid's slices with all images and shifts. Room is made for `capacity` significant
/// samples before their number is known.
#[allow(clippy::too_many_arguments)]
pub fn global(
    device: &Device,
    product: &MatrixProduct,
    precision: Precision,
    input: &IterationInput,
    iteration: &Iteration,
    layout: &DeviceLayout,
    items: &[&BatchItem],
    images: &Prepared,
    capacity: usize,
    staging: &mut Staging,
    clock: &mut Clock,
) -> Result<FirstPass, ExpectationError> {
    let grid = layout.grid.as_ref().expect("a global search has a grid");
    let (rows, count, shifts) = (grid.rows.count, items.len(), layout.host.shifts());
    let stride = layout.coarse_stride;
    // SAFETY: each is filled by a kernel below before it is read.
    let (columns, powers, cross, norm) = unsafe {
        (
            device.buffer::<[f32; 2]>(count * shifts * stride)?,
            device.buffer::<f32>(count * stride)?,
            device.buffer::<f32>(rows * count * shifts)?,
            device.buffer::<f32>(rows * count)?,
        )
    };
    // SAFETY: arrays of the sizes the kernels' documentation asks for.
    unsafe {
        device.weighted_columns(
            count as u32,
            images.masked.pointer(),
            layout.stride as u32,
            images.comparison_ctf(input),
            images.scales.pointer(),
            layout.coarse_weight.pointer(),
            layout.coarse_phases.pointer(),
            stride as u32,
            layout.coarse_count as u32,
            shifts as u32,
            columns.pointer(),
            stride as u32,
            powers.pointer(),
            stride as u32,
        )?;
    }
    for begin in (0..rows).step_by(grid.chunk.max(1)) {
        let part = begin..(begin + grid.chunk).min(rows);
        if !grid.is_whole() {
            layout.project(device, iteration, grid, part.clone())?;
        }
        let sizes = [
            (part.len(), count * shifts, 2 * stride),
            (part.len(), count, stride),
        ];
        // SAFETY: slices of the part are there; its rows exist in both products.
        device.metered(Part::CoarseProducts, || unsafe {
            product.run(
                device,
                precision,
                grid.slices.pointer().cast(),
                columns.pointer().cast(),
                sizes[0],
                cross.pointer().offset(begin * count * shifts),
                count * shifts,
            )?;
            product.run(
                device,
                precision,
                grid.half_powers.pointer(),
                powers.pointer(),
                sizes[1],
                norm.pointer().offset(begin * count),
                count,
            )
        })?;
        for size in sizes {
            work::count_product(device, size);
        }
    }
    drop((columns, powers));
    clock.end_of(Stage::GetDiff)?;

    let offset_priors: Vec<f32> = relative_offset_priors(input, layout, images).concat();
    let visited: Vec<u32> = match common_classes(input) {
        Some(_) => vec![ALL_CLASSES; count],
        None => {
            let own = items.iter().map(|item| classes_of(input, item.position)[0]);
            own.map(|class| class as u32).collect()
        }
    };
    let (offset_priors, visited) = (staging.upload(&offset_priors)?, staging.upload(&visited)?);
    let selections = device.zeros::<Selection>(count)?;
    let kept = device.zeros::<u32>(count)?;
    let fraction = match input.criterion {
        Criterion::Likelihood => input.options.adaptive_fraction as f32,
        Criterion::CrossCorrelation => TIE_TOLERANCE,
    };
    let size = (rows as u32, count as u32, shifts as u32);
    // SAFETY: arrays of the sizes the kernel's documentation asks for.
    unsafe {
        device.coarse_select(
            cross.pointer(),
            norm.pointer(),
            grid.rows.log_prior.pointer(),
            grid.rows.class_of.pointer(),
            offset_priors.pointer(),
            visited.pointer(),
            images.powers(0),
            size.0,
            size.1,
            size.2,
            fraction,
            limit(input),
            selections.pointer(),
            kept.pointer(),
        )?;
    }
    let chosen = staging.fetch(&selections, 0, count)?;
    let listing = Listing {
        device,
        input,
        layout: &layout.host,
        items,
        rows,
        capacity: capacity.min(rows * count * shifts),
    };
    let list = listing.run(
        staging,
        &kept,
        |staging| staging.values(&chosen).to_vec(),
        |first, capacity, samples| {
            // SAFETY: arrays of the sizes the kernel's documentation asks for.
            unsafe {
                device.coarse_list(
                    cross.pointer(),
                    norm.pointer(),
                    grid.rows.log_prior.pointer(),
                    grid.rows.class_of.pointer(),
                    offset_priors.pointer(),
                    visited.pointer(),
                    images.powers(0),
                    size.0,
                    size.1,
                    size.2,
                    selections.pointer(),
                    first,
                    capacity,
                    samples,
                )
            }
        },
    )?;
    let mut found = FirstPass {
        list,
        own_rows: None,
    };
    if input.criterion == Criterion::CrossCorrelation {
        ties::decide(device, input, iteration, layout, images, &mut found)?;
    }
    clock.end_of(Stage::Convert)?;
    Ok(found)
}
