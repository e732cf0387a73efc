//! A small table of our own in `_optimiser.star`, which RELION skips: what RELION forgets, or rounds, between two runs.
//! With it a continued run is the run that it would have been without the interruption.

use crate::formats::star::{StarError, Table, Value};
use crate::geometry::sampling::Sampling;
use crate::refinement::state::RunState;
use std::str::FromStr;

/// Name of the table.
pub const TABLE: &str = "gerelion_state";

/// The table for a state; reals are written with all their digits.
pub fn table(state: &RunState, sampling: &Sampling, order_iteration: usize) -> Table {
    let mut t = Table::new_list(TABLE);
    t.push("gerelionVersion", env!("CARGO_PKG_VERSION"));
    t.push("gerelionOrderIteration", order_iteration);
    t.push("gerelionFineEnoughSampling", state.fine_enough);
    t.push("gerelionCurrentImageSize", state.current_size);
    for (label, value) in reals(state, sampling) {
        t.push(label, Value::Text(format!("{value:?}")));
    }
    t
}

fn reals(state: &RunState, sampling: &Sampling) -> [(&'static str, f64); 12] {
    [
        ("gerelionCurrentResolution", state.current_resolution),
        ("gerelionBestResolution", state.best_resolution),
        ("gerelionAccuracyRotations", state.accuracy_rotations),
        ("gerelionAccuracyTranslations", state.accuracy_translations),
        ("gerelionChangesOrientations", state.changes_orientations),
        ("gerelionChangesOffsets", state.changes_offsets),
        ("gerelionChangesClasses", state.changes_classes),
        ("gerelionSmallestOrientations", state.smallest_orientations),
        ("gerelionSmallestOffsets", state.smallest_offsets),
        ("gerelionPerturbation", sampling.perturbation),
        ("gerelionOffsetRange", sampling.offset_range),
        ("gerelionOffsetStep", sampling.offset_step),
    ]
}

/// What the table adds to RELION's columns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exact {
    /// Iteration whose number seeded the processing order.
    pub order_iteration: usize,
    /// Current perturbation of the sampling.
    pub perturbation: f64,
    /// Range of translations, Å.
    pub offset_range: f64,
    /// Coarse step of translations, Å.
    pub offset_step: f64,
}

/// Read the table, overwriting the rounded values in `state`.
pub fn read(table: &Table, state: &mut RunState) -> Result<Exact, StarError> {
    let real = |label: &str| -> Result<f64, StarError> {
        let text = table.text(0, label)?;
        f64::from_str(text).or_else(|_| table.real(0, label))
    };
    let count = |label: &str| table.integer(0, label).map(|n| n.max(0) as usize);
    state.fine_enough = table.boolean(0, "gerelionFineEnoughSampling")?;
    state.current_size = count("gerelionCurrentImageSize")?;
    state.current_resolution = real("gerelionCurrentResolution")?;
    state.best_resolution = real("gerelionBestResolution")?;
    state.accuracy_rotations = real("gerelionAccuracyRotations")?;
    state.accuracy_translations = real("gerelionAccuracyTranslations")?;
    state.changes_orientations = real("gerelionChangesOrientations")?;
    state.changes_offsets = real("gerelionChangesOffsets")?;
    state.changes_classes = real("gerelionChangesClasses")?;
    state.smallest_orientations = real("gerelionSmallestOrientations")?;
    state.smallest_offsets = real("gerelionSmallestOffsets")?;
    Ok(Exact {
        order_iteration: count("gerelionOrderIteration")?,
        perturbation: real("gerelionPerturbation")?,
        offset_range: real("gerelionOffsetRange")?,
        offset_step: real("gerelionOffsetStep")?,
    })
}
