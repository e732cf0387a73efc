//! Tables of our own in `_optimiser.star` and `_model.star`, which RELION skips: what RELION forgets, or rounds, between
//! two runs. With them a continued run is the run that it would have been without the interruption.

use crate::errors::{Code, Message};
use crate::formats::star::{Document, StarError, Table, Value};
use crate::geometry::sampling::Sampling;
use crate::model::Model;
use crate::refinement::settings::Settings;
use crate::refinement::state::{RunState, Subset};
use std::path::Path;

/// Name of the table.
pub const TABLE: &str = "gerelion_state";
/// Stands in the first line of our files.
pub const OWN: &str = "GeRelion-";

/// The table for a state; reals are written with all their digits.
pub fn table(state: &RunState, sampling: &Sampling, order_iteration: usize) -> Table {
    let mut t = Table::new_list(TABLE);
    t.push("gerelionVersion", env!("CARGO_PKG_VERSION"));
    t.push("gerelionOrderIteration", order_iteration);
    t.push("gerelionFineEnoughSampling", state.fine_enough);
    t.push("gerelionLocalSearches", state.local_searches);
    t.push("gerelionCurrentImageSize", state.current_size);
    t.push(SEEDS_DUE, state.seeds_due);
    t.push(REFERENCES_MADE, state.references_made);
    if let Some(done) = state.iterations_after_convergence {
        t.push(AFTER_CONVERGENCE, done);
    }
    for (label, value) in reals(state, sampling) {
        t.push(label, all_digits(value));
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

/// Options that RELION's tables do not hold, or round.
pub fn push_settings(table: &mut Table, settings: &Settings) {
    table.push(SYMMETRY, settings.symmetry.as_str());
    table.push(MASK_EDGE, all_digits(settings.mask_edge));
    table.push(ACCURACY_SIZE, settings.accuracy_current_size);
    settings.regions.push(table);
}

/// Takes these options from the table, as far as it has them.
pub fn read_settings(table: &Table, settings: &mut Settings) -> Result<(), StarError> {
    if table.has(SYMMETRY) {
        table.text(0, SYMMETRY)?.clone_into(&mut settings.symmetry);
    }
    if table.has(MASK_EDGE) {
        settings.mask_edge = table.real(0, MASK_EDGE)?;
    }
    if table.has(ACCURACY_SIZE) {
        settings.accuracy_current_size = table.boolean(0, ACCURACY_SIZE)?;
    }
    settings.regions.read(table)
}

const SYMMETRY: &str = "gerelionSymmetry";
const MASK_EDGE: &str = "gerelionWidthMaskEdge";
const ACCURACY_SIZE: &str = "gerelionAccuracyAtCurrentSize";

/// What a gradient run adds to the table.
pub fn push_gradient(table: &mut Table, settings: &Settings) {
    table.push(FROM_NOTHING, settings.denovo_3d);
}

/// The first maps were made from nothing, which RELION forgets although its schedules depend on it (spec 05 §18). False where
/// the table does not say.
pub fn read_from_nothing(table: &Table) -> Result<bool, StarError> {
    Ok(table.has(FROM_NOTHING) && table.boolean(0, FROM_NOTHING)?)
}

/// The group of `--relax_sym`, which RELION forgets (spec 06 §1.1). A run without it has no such entry.
pub fn push_relaxed_symmetry(table: &mut Table, settings: &Settings) {
    if let Some(name) = &settings.relaxed_symmetry {
        table.push(RELAXED_SYMMETRY, name.as_str());
    }
}

/// The group that the run relaxes, if it does.
pub fn read_relaxed_symmetry(table: &Table) -> Result<Option<String>, StarError> {
    match table.has(RELAXED_SYMMETRY) {
        true => Ok(Some(table.text(0, RELAXED_SYMMETRY)?.to_owned())),
        false => Ok(None),
    }
}

const RELAXED_SYMMETRY: &str = "gerelionRelaxedSymmetry";

const FROM_NOTHING: &str = "gerelionFromNothing";
const SEEDS_DUE: &str = "gerelionSeedsDue";
const AFTER_CONVERGENCE: &str = "gerelionIterationsAfterConvergence";
const REFERENCES_MADE: &str = "gerelionFirstReferencesMade";

/// Sizes of all subsets so far: the order of the particles follows from them.
pub fn subsets_table(subsets: &[Subset]) -> Table {
    let mut t = Table::new_loop(SUBSETS, &["gerelionIteration", "gerelionSubsetSize"]);
    for subset in subsets {
        let size = subset.size.map_or(-1, |size| size as i64);
        t.push_row(vec![subset.iteration.into(), size.into()]);
    }
    t
}

/// The subsets so far, if the file is one of ours.
pub fn read_subsets(document: &Document) -> Result<Vec<Subset>, StarError> {
    let Some(table) = document.table(SUBSETS) else {
        return Ok(Vec::new());
    };
    (0..table.len())
        .map(|row| {
            Ok(Subset {
                iteration: table.integer(row, "gerelionIteration")?.max(0) as usize,
                size: usize::try_from(table.integer(row, "gerelionSubsetSize")?).ok(),
            })
        })
        .collect()
}

const SUBSETS: &str = "gerelion_subsets";

/// Our table, where the file is one of ours.
///
/// # Errors
/// The first line says that the file is ours, but the table is missing.
pub fn own_table<'a>(document: &'a Document, path: &Path) -> Result<Option<&'a Table>, Message> {
    let table = document.table(TABLE);
    let is_ours = document
        .header
        .first()
        .is_some_and(|line| line.contains(OWN));
    let complete =
        table.is_some() && (document.table(SUBSETS).is_some() || !in_gradient_run(document));
    match is_ours && !complete {
        true => Err(cut_short(path)),
        false => Ok(table),
    }
}

fn in_gradient_run(document: &Document) -> bool {
    let flag = "rlnDoGradientRefine";
    document
        .table("optimiser_general")
        .is_some_and(|table| table.has(flag) && table.boolean(0, flag).unwrap_or(false))
}

/// The last subset of a gradient run is that of the last iteration.
///
/// # Errors
/// The table ends before.
pub fn check_subsets(state: &RunState, path: &Path) -> Result<(), Message> {
    match state.subsets.last() {
        Some(last) if last.iteration != state.iteration => Err(cut_short(path)),
        _ => Ok(()),
    }
}

fn cut_short(path: &Path) -> Message {
    Code::RUN_FILES_DIFFER.says(format!(
        "{}: the tables of GeRelion at its end ({TABLE}, and {SUBSETS} of a run with --grad) are not whole: the file was cut short or \
         changed. Restore it, or continue from an earlier iteration.",
        path.display()
    ))
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
    let real = |label: &str| table.real(0, label);
    let count = |label: &str| table.integer(0, label).map(|n| n.max(0) as usize);
    // Files of earlier versions have no such columns.
    for (label, flag) in [
        (SEEDS_DUE, &mut state.seeds_due),
        (REFERENCES_MADE, &mut state.references_made),
    ] {
        if table.has(label) {
            *flag = table.boolean(0, label)?;
        }
    }
    if table.has(AFTER_CONVERGENCE) {
        state.iterations_after_convergence = Some(count(AFTER_CONVERGENCE)?);
    }
    state.fine_enough = table.boolean(0, "gerelionFineEnoughSampling")?;
    state.local_searches = table.boolean(0, "gerelionLocalSearches")?;
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

/// Direction priors of a class (counted from 1) with all their digits; RELION's six decimals leave three or four.
pub fn direction_priors_table(class: usize, priors: &[f64]) -> Table {
    let mut t = Table::new_loop(&direction_priors_name(class), &[DIRECTION_PRIOR]);
    for &prior in priors {
        t.push_row(vec![all_digits(prior)]);
    }
    t
}

/// The direction priors of a class (counted from 1), if the model file is one of ours.
pub fn read_direction_priors(
    document: &Document,
    class: usize,
) -> Result<Option<Vec<f64>>, StarError> {
    document
        .table(&direction_priors_name(class))
        .map(|table| table.real_column(DIRECTION_PRIOR))
        .transpose()
}

/// Priors of the class averages, which RELION does not write at all (spec 04 §17).
pub fn class_priors_table(model: &Model) -> Table {
    let mut t = Table::new_loop(CLASS_PRIORS, &[DIRECTION_PRIOR]);
    for class in &model.classes {
        t.push_row(vec![all_digits(class.direction_prior[0])]);
    }
    t
}

/// The priors of the class averages, if the model file is one of ours.
pub fn read_class_priors(document: &Document) -> Result<Option<Vec<f64>>, StarError> {
    document
        .table(CLASS_PRIORS)
        .map(|table| table.real_column(DIRECTION_PRIOR))
        .transpose()
}

const CLASS_PRIORS: &str = "gerelion_class_priors";
const DIRECTION_PRIOR: &str = "gerelionOrientationDistribution";

fn direction_priors_name(class: usize) -> String {
    format!("gerelion_pdf_orient_class_{class}")
}

/// The shortest text that is read back as the same number.
fn all_digits(value: f64) -> Value {
    Value::Text(format!("{value:?}"))
}
