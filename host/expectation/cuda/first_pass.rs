//! First pass on the device: differences with all coarse orientations and shifts, and the list of significant samples. The
//! grid of a global search is here; orientations of particles' own are in `own_orientations.rs`.

use super::super::orientations::{classes_of, common_classes};
use super::super::{BatchItem, Criterion, ExpectationError, IterationInput};
use super::batch::BatchContext;
use super::clock::{Clock, Stage};
use super::layout::DeviceLayout;
use super::listing::{Listing, Significant};
use super::rows::Rows;
use super::ties;
use crate::device::{MatrixProduct, Precision, Staging};
use gpu::correlation::TIE_TOLERANCE;
use gpu::kernels::coarse::{CoarseBounds, LogsViews};
use gpu::samples::Selection;
use gpu::shapes::ALL_CLASSES;

/// Significant coarse samples of a batch.
pub(super) struct FirstPass {
    /// The list.
    pub list: Significant,
    /// Particle-specific orientations; None where those of the grid are meant.
    pub own_rows: Option<Rows>,
}

impl FirstPass {
    /// The orientations that samples refer to.
    pub(super) fn rows<'a>(&'a self, layout: &'a DeviceLayout) -> &'a Rows {
        self.own_rows
            .as_ref()
            .or(layout.grid.as_ref().map(|g| &g.rows))
            .expect("a first pass is over the grid or over own orientations")
    }
}

/// Samples of a particle that are counted as significant at most.
pub(super) fn limit(input: &IterationInput) -> u32 {
    input.options.max_significant.map_or(u32::MAX, |m| m as u32)
}

/// Returns the class that each image visits, or [`ALL_CLASSES`].
fn visited_classes(input: &IterationInput, items: &[&BatchItem]) -> Vec<u32> {
    match common_classes(input) {
        Some(_) => vec![ALL_CLASSES; items.len()],
        None => {
            let own = items.iter().map(|item| classes_of(input, item.position)[0]);
            own.map(|class| class as u32).collect()
        }
    }
}

/// Global search: matrix products of the grid's slices with all images and shifts. Room is made for `capacity` significant
/// samples before their number is known.
pub(super) fn global(
    batch: &BatchContext,
    product: (&MatrixProduct, Precision),
    capacity: usize,
    staging: &mut Staging,
    clock: &mut Clock,
) -> Result<FirstPass, ExpectationError> {
    let &BatchContext {
        device,
        input,
        iteration,
        layout,
        items,
        images,
    } = batch;
    let grid = layout.grid.as_ref().expect("a global search has a grid");
    let (rows, count, shifts) = (grid.rows.count, items.len(), layout.host.shifts());
    let products = grid.products(batch, product)?;
    clock.end_of(Stage::GetDiff)?;

    let visited = staging.upload(&visited_classes(input, items))?;
    let offsets = &iteration.offsets;
    let offset_priors = offsets.log_priors(batch, staging, &visited)?;
    let selections = device.zeros::<Selection>(count)?;
    let kept = device.zeros::<u32>(count)?;
    let fraction = match input.criterion {
        Criterion::Likelihood => input.options.adaptive_fraction as f32,
        Criterion::CrossCorrelation => TIE_TOLERANCE,
    };
    // SAFETY: filled by the first kernel below.
    let largest = unsafe { device.buffer::<f32>(count * rows)? };
    let bounds = CoarseBounds {
        logs: LogsViews {
            cross: products.cross.view(),
            norm: products.norm.view(),
            log_prior: grid.rows.log_prior.view(),
            class_of: grid.rows.class_of.view(),
            offset_log_prior: offset_priors.view(),
            offset_lists: offsets.lists() as u32,
            visited: visited.view(),
            powers: images.powers(0),
            orientations: rows as u32,
            images: count as u32,
            shifts: shifts as u32,
        },
        bounds: largest.view(),
    };
    let found = (selections.view(), kept.view());
    // SAFETY: arrays of the sizes the kernels' documentation asks for.
    unsafe {
        device.launch(&bounds)?;
        device.launch(&bounds.select(fraction, limit(input), found))?;
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
            unsafe { device.launch(&bounds.list(selections.view(), first, (samples, capacity))) }
        },
    )?;
    let mut found = FirstPass {
        list,
        own_rows: None,
    };
    if input.criterion == Criterion::CrossCorrelation {
        ties::decide(batch, &mut found)?;
    }
    clock.end_of(Stage::Convert)?;
    Ok(found)
}
