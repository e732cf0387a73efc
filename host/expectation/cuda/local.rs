//! Differences of the first pass of local searches on the device: each image with orientations of its own, projected where
//! they are compared.

use super::super::ExpectationError;
use super::batch::BatchContext;
use super::rows::Rows;
use super::work;
use crate::device::meter::Part;
use crate::device::{Buffer, View};
use gpu::kernels::groups::{PhasesViews, ReferencesViews};
use gpu::kernels::local::{
    LocalDifferences10, LocalDifferences22, LocalDifferences32, LocalDifferences40,
};
use gpu::samples::OwnOrientation;
use gpu::shapes::local_shifts;

/// Fills `values`: the differences of each of the orientations `own` with each shift. Those of image i are
/// `first[i]`…`first[i+1]`, on the host and on the device.
pub(super) fn compare(
    batch: &BatchContext,
    rows: &Rows,
    own: View<OwnOrientation>,
    (first, first_there): (&[u32], Buffer<u32>),
    values: &Buffer<f32>,
) -> Result<(), ExpectationError> {
    let &BatchContext {
        device,
        iteration,
        layout,
        items,
        ..
    } = batch;
    let shifts = layout.host.shifts();
    let numbers = first.windows(2).map(|range| range[1] - range[0]);
    let differences = LocalDifferences10 {
        most: numbers.max().unwrap_or(0),
        first: first_there.view(),
        own,
        references: ReferencesViews {
            volumes: iteration.compared[0].view(),
            shape: iteration.shape.view(),
            axes: rows.coarse_axes.block.view(),
            class_of: rows.class_of.view(),
        },
        walk: layout.coarse_walk.view(),
        pixels: layout.pixels.view(),
        compared: batch.compared(0, (&layout.coarse_weight, layout.coarse_count)),
        phases: PhasesViews {
            shifts: shifts as u32,
            rows: layout.coarse_phases.view(),
            stride: layout.coarse_stride as u32,
        },
        shifts: shifts as u32,
        values: values.view(),
    };
    // SAFETY: arrays of the sizes the kernel's documentation asks for.
    device.metered(Part::LocalDifferences, || unsafe {
        match local_shifts(shifts as u32) {
            10 => device.launch(&differences),
            22 => device.launch(&LocalDifferences22::from(differences)),
            32 => device.launch(&LocalDifferences32::from(differences)),
            _ => device.launch(&LocalDifferences40::from(differences)),
        }
    })?;
    work::count_local(
        device,
        (items.len(), own.len()),
        shifts,
        layout.coarse_count,
    );
    Ok(())
}
