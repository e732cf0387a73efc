//! Tables of our own in `_optimiser.star` and `_model.star`, which RELION skips: what RELION forgets, or rounds, between
//! two runs. With them a continued run is the run that it would have been without the interruption.

use crate::dataset::ParticleSet;
use crate::errors::{Code, Message};
use crate::formats::star::columns::{columns, loop_of, push_cells};
use crate::formats::star::{Document, StarError, Table, Value};
use crate::geometry::sampling::Sampling;
use crate::model::Model;
use crate::refinement::checkpoint::resume::ResumeError;
use crate::refinement::settings::Settings;
use crate::refinement::state::{Declared, RunState, Subset, all_digits, declare_state};
use std::path::{Path, PathBuf};

/// Name of the table.
pub(crate) const TABLE: &str = "gerelion_state";
/// Column with the fingerprint of the particles.
pub(crate) const PARTICLES: &str = "gerelionParticles";
/// Column with the seed that the run was started with.
pub(crate) const SEED: &str = "gerelionRandomSeed";
/// Stands in the first line of our files.
pub(crate) const OWN: &str = "GeRelion-";

columns! {
    /// Options that RELION's tables do not hold, or round. Files of earlier versions, and of runs without them, lack them.
    pub(crate) struct Options(settings: Settings) {
        Optional "gerelionSymmetry" = settings.symmetry;
        Optional "gerelionWidthMaskEdge" [Some(all_digits(settings.mask_edge))] => |width: f64| settings.mask_edge = width;
        Optional "gerelionAccuracyAtCurrentSize" = settings.accuracy_current_size;
        // Findings at the end of the run judge the resolution against that of the reference, where there was one.
        Optional "gerelionInitialLowPass" [settings.initial_low_pass.filter(|_| settings.began_with_reference()).map(all_digits)]
            => |resolution: f64| settings.initial_low_pass = Some(resolution);
        Optional "gerelionRedMask" [name(&settings.regions.wanted_mask)]
            => |file: Option<PathBuf>| settings.regions.wanted_mask = file;
        Optional "gerelionYellowMask" [name(&settings.regions.unwanted_mask)]
            => |file: Option<PathBuf>| settings.regions.unwanted_mask = file;
        Optional "gerelionYellowMap" [name(&settings.regions.unwanted_map)]
            => |file: Option<PathBuf>| settings.regions.unwanted_map = file;
        Optional "gerelionFscMask" [name(&settings.regions.fsc_mask)]
            => |file: Option<PathBuf>| settings.regions.fsc_mask = file;
        Optional "gerelionExtraIterations" [Some(settings.regions.extra_iterations).filter(|n| *n > 0).map(Value::from)]
            => |iterations: usize| settings.regions.extra_iterations = iterations;
        // The group of --relax_sym, which RELION forgets (spec 06 §1.1).
        Optional "gerelionRelaxedSymmetry" [settings.relaxed_symmetry.as_deref().map(Value::from)]
            => |group: String| settings.relaxed_symmetry = Some(group);
        // The first maps were made from nothing, which RELION forgets although its schedules depend on it (spec 05 §18).
        Optional "gerelionFromNothing" [settings.gradient.on.then(|| Value::from(settings.denovo_3d))]
            => |from_nothing: bool| settings.denovo_3d = from_nothing;
    }
}

/// Returns the cell of a file; none where there is no file.
fn name(file: &Option<PathBuf>) -> Option<Value> {
    file.as_deref()
        .map(|path| Value::from(path.to_string_lossy().as_ref()))
}

/// Returns the table for a run; reals are written with all their digits.
pub(crate) fn table(settings: &Settings, state: &RunState, exact: &Exact) -> Table {
    let mut t = Table::new_list(TABLE);
    t.push("gerelionVersion", env!("CARGO_PKG_VERSION"));
    exact.push_columns(&mut t);
    state.push_columns(&mut t);
    push_cells(&mut t, Options::cells(settings));
    t
}

columns! {
    /// Sizes of all subsets so far: the order of the particles follows from them.
    struct SubsetColumns(subset: Subset) {
        Required "gerelionIteration" = subset.iteration;
        Required "gerelionSubsetSize" [subset.size.map_or(-1, |size| size as i64)]
            => |size: i64| subset.size = usize::try_from(size).ok();
    }
}

/// Returns the table of all subsets so far.
pub(crate) fn subsets_table(subsets: &[Subset]) -> Table {
    loop_of::<SubsetColumns>(SUBSETS, subsets.iter().map(SubsetColumns::cells))
}

/// Reads the subsets so far, if the file is one of ours.
///
/// # Errors
/// A column is missing, or a cell is no number.
pub(crate) fn read_subsets(document: &Document) -> Result<Vec<Subset>, StarError> {
    let Some(table) = document.table(SUBSETS) else {
        return Ok(Vec::new());
    };
    (0..table.len())
        .map(|row| {
            let mut subset = Subset::default();
            SubsetColumns::read(table, row, &mut subset)?;
            Ok(subset)
        })
        .collect()
}

const SUBSETS: &str = "gerelion_subsets";

/// Returns a warning where the seed of an optimiser file, whose own table this is, is not the one that it was written with.
///
/// # Errors
/// A cell is no number.
pub(crate) fn changed_seed(
    table: &Table,
    seed: u32,
    path: &Path,
) -> Result<Option<String>, StarError> {
    if !table.has(SEED) {
        return Ok(None);
    }
    let written = table.integer(0, SEED)?;
    Ok((written != i64::from(seed)).then(|| other_seed(path, seed, written)))
}

/// Returns a warning about a seed that is not the one that the run was started with.
pub(crate) fn other_seed(path: &Path, seed: u32, started: i64) -> String {
    format!(
        "{}: rlnRandomSeed is {seed}, but the run was started with {started}: the perturbations of the sampling and the order of the \
         particles will not be those of the run. Restore the file if that was not meant.",
        path.display()
    )
}

/// Our table, where the file is one of ours.
///
/// # Errors
/// The first line says that the file is ours, but the table is missing.
pub(crate) fn own_table<'a>(
    document: &'a Document,
    path: &Path,
) -> Result<Option<&'a Table>, Message> {
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
pub(crate) fn check_subsets(state: &RunState, path: &Path) -> Result<(), Message> {
    match state.subsets.last() {
        Some(last) if last.iteration != state.iteration => Err(cut_short(path)),
        _ => Ok(()),
    }
}

/// The particles are those of the run, in its half-sets. Files of earlier versions do not tell.
///
/// # Errors
/// The table of the optimiser file was written with other particles.
pub(crate) fn check_particles(table: &Table, set: &ParticleSet) -> Result<(), ResumeError> {
    if !table.has(PARTICLES) || table.text(0, PARTICLES)? == set.fingerprint() {
        return Ok(());
    }
    Err(Code::RUN_FILES_DIFFER
        .says(format!(
            "{}: these are not the particles of the run, or not in its half-sets: rows were exchanged or changed since (rlnImageName, \
             rlnRandomSubset). Restore the file, continue from an earlier iteration, or start a new run from the changed particles \
             (--i).",
            set.source().display()
        ))
        .into())
}

fn cut_short(path: &Path) -> Message {
    Code::RUN_FILES_DIFFER.says(format!(
        "{}: the tables of GeRelion at its end ({TABLE}, and {SUBSETS} of a run with --grad) are not whole: the file was cut short or \
         changed. Restore it, or continue from an earlier iteration.",
        path.display()
    ))
}

declare_state! {
    /// Numbers of the sampling and the order of the particles that RELION's files round or lack.
    #[derive(Debug, Clone, Copy, PartialEq)]
    #[allow(unreachable_pub, reason = "what the macro declares is public")]
    pub struct Exact {
        shared {
            /// Iteration whose number seeded the processing order.
            order_iteration: usize = 0, Required("gerelionOrderIteration");
            /// Current perturbation of the sampling.
            perturbation: f64 = 0.0, Required("gerelionPerturbation");
            /// Range of translations, Å.
            offset_range: f64 = 0.0, Required("gerelionOffsetRange");
            /// Coarse step of translations, Å.
            offset_step: f64 = 0.0, Required("gerelionOffsetStep");
        }
        local {}
    }
}

impl Exact {
    /// Returns the numbers of a sampling, and the iteration whose number seeded the processing order.
    pub(crate) fn of(sampling: &Sampling, order_iteration: usize) -> Self {
        Self {
            order_iteration,
            perturbation: sampling.perturbation,
            offset_range: sampling.offset_range,
            offset_step: sampling.offset_step,
        }
    }
}

/// Reads the table, overwriting the rounded values in `settings` and `state`.
///
/// # Errors
/// A column that every file of ours has is missing, or a cell is no value of its kind.
pub(crate) fn read(
    table: &Table,
    settings: &mut Settings,
    state: &mut RunState,
) -> Result<Exact, StarError> {
    // The command line tells of RELION's files alone.
    settings.denovo_3d = false;
    Options::read(table, 0, settings)?;
    state.read_columns(table)?;
    let mut exact = Exact::initial();
    exact.read_columns(table)?;
    Ok(exact)
}

columns! {
    /// Priors with all their digits: one row per direction of a class, of which RELION's six decimals leave three or four, or
    /// one row per class average, which RELION does not write at all (spec 04 §17).
    struct Priors(prior: f64) {
        Required "gerelionOrientationDistribution" [Some(all_digits(*prior))] => |read: f64| *prior = read;
    }
}

/// Returns the table of the direction priors of a class (counted from 1).
pub(crate) fn direction_priors_table(class: usize, priors: &[f64]) -> Table {
    let rows = priors.iter().map(Priors::cells);
    loop_of::<Priors>(&direction_priors_name(class), rows)
}

/// Reads the direction priors of a class (counted from 1), if the model file is one of ours.
///
/// # Errors
/// The column is missing, or a cell is no number.
pub(crate) fn read_direction_priors(
    document: &Document,
    class: usize,
) -> Result<Option<Vec<f64>>, StarError> {
    read_priors(document, &direction_priors_name(class))
}

/// Returns the table of the priors of the class averages.
pub(crate) fn class_priors_table(model: &Model) -> Table {
    let classes = model.classes.iter();
    let rows = classes.map(|class| Priors::cells(&class.direction_prior[0]));
    loop_of::<Priors>(CLASS_PRIORS, rows)
}

/// Reads the priors of the class averages, if the model file is one of ours.
///
/// # Errors
/// The column is missing, or a cell is no number.
pub(crate) fn read_class_priors(document: &Document) -> Result<Option<Vec<f64>>, StarError> {
    read_priors(document, CLASS_PRIORS)
}

fn read_priors(document: &Document, name: &str) -> Result<Option<Vec<f64>>, StarError> {
    let Some(table) = document.table(name) else {
        return Ok(None);
    };
    let mut priors = vec![0.0; table.len()];
    for (row, prior) in priors.iter_mut().enumerate() {
        Priors::read(table, row, prior)?;
    }
    Ok(Some(priors))
}

const CLASS_PRIORS: &str = "gerelion_class_priors";

fn direction_priors_name(class: usize) -> String {
    format!("gerelion_pdf_orient_class_{class}")
}
