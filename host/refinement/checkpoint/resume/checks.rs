//! Files of a run against each other: what cannot be right is told before it enters an iteration.

use crate::dataset::ParticleSet;
use crate::errors::Code;
use crate::expectation::NO_OFFSET_PRIOR;
use crate::formats::angstrom::Angstrom;
use crate::formats::star::Table;
use crate::geometry::sampling::Sampling;
use crate::model::Model;
use crate::options::{self, Range};
use crate::refinement::checkpoint::resume::ResumeError;
use crate::refinement::settings::lengths::too_many_offsets;
use std::path::{Path, PathBuf};

/// The particle table must have the particles that the models were made from: as many of each scale group, in each half-set.
pub(super) fn particle_numbers(
    models: &[Model],
    set: &ParticleSet,
    model_paths: &[PathBuf],
) -> Result<(), ResumeError> {
    for (index, (model, path)) in models.iter().zip(model_paths).enumerate() {
        let mut found = vec![0; set.scale_groups.len()];
        for particle in &set.particles {
            if models.len() == 1 || usize::from(particle.half) == index + 1 {
                found[particle.scale_group] += 1;
            }
        }
        let expected = &model.group_particles;
        let Some(group) = (0..found.len()).find(|&group| found[group] != expected[group]) else {
            continue;
        };
        return Err(Code::RUN_FILES_DIFFER.says(format!(
            "{}: the table has {} particles of group {}{}, but the model file {} was made from {}: particles were removed, added or \
             moved between half-sets since. Restore the file, continue from an earlier iteration, or start a new run from the \
             changed particles (--i).",
            set.source().display(),
            found[group],
            set.scale_groups[group].name,
            match models.len() {
                1 => String::new(),
                _ => format!(" in half-set {}", index + 1),
            },
            path.display(),
            expected[group]
        )).into());
    }
    Ok(())
}

/// Every class needs one prior a direction of the grid.
pub(super) fn directions(
    models: &[Model],
    grid: &Sampling,
    path: &Path,
) -> Result<(), ResumeError> {
    for class in models.iter().flat_map(|model| &model.classes) {
        if class.direction_prior.len() != grid.directions.len() {
            return Err(Code::RUN_FILES_DIFFER.says(format!(
                "{}: HEALPix order {} with symmetry {} has {} directions, but the model file has {} values of \
                 rlnOrientationDistribution: these files do not belong together. Restore them, or continue from an earlier iteration",
                path.display(),
                grid.healpix_order,
                grid.symmetry.name(),
                grid.directions.len(),
                class.direction_prior.len()
            )).into());
        }
    }
    Ok(())
}

/// Columns of an optimiser file, each with the option whose range its number lies in.
const OF_OPTIONS: [(&str, &str); 12] = [
    ("rlnParticleDiameter", "--particle_diameter"),
    (
        "rlnJoinHalvesUntilThisResolution",
        "--low_resol_join_halves",
    ),
    ("rlnHighresLimitExpectation", "--strict_highres_exp"),
    ("rlnLowresLimitExpectation", "--strict_lowres_exp"),
    ("rlnMaximumCoarseImageSize", "--coarse_size"),
    ("rlnMaximumSignificantPoses", "--maxsig"),
    ("rlnTau2FudgeArg", "--tau2_fudge"),
    ("rlnAdaptiveOversampleOrder", "--oversampling"),
    ("rlnAdaptiveOversampleFraction", "--adaptive_fraction"),
    (
        "rlnAutoLocalSearchesHealpixOrder",
        "--auto_local_healpix_order",
    ),
    ("rlnIncrementImageSize", "--incr_size"),
    ("rlnWidthMaskEdge", "--maskedge"),
];

/// Columns of a sampling file: offsets in Å, steps and limits of angles in degrees. RELION's own files may hold more than its
/// options allow here.
pub(super) const OF_SAMPLING: [(&str, Range); 5] = [
    ("rlnOffsetRange", OFFSET),
    ("rlnOffsetStep", STEP),
    (
        "rlnPsiStep",
        Range::between(0.001, 360.0).or(&[-1.0], "by the order of the directions"),
    ),
    ("rlnTiltAngleLimit", Range::between(-180.0, 180.0)),
    ("rlnSamplingPerturbFactor", Range::between(0.0, 10.0)),
];

/// Columns of our own table.
pub(super) const OF_STATE: [(&str, Range); 3] = [
    ("gerelionOffsetRange", OFFSET),
    ("gerelionOffsetStep", STEP),
    ("gerelionPerturbation", Range::between(-100.0, 100.0)),
];

const OFFSET: Range = Range::between(0.0, 100_000.0);
const STEP: Range = Range::between(0.001, 100_000.0);

/// Checks that numbers of a table, as far as it has them, are possible ones.
pub(super) fn numbers<'a>(
    table: &Table,
    path: &Path,
    columns: impl IntoIterator<Item = (&'a str, Range)>,
) -> Result<(), ResumeError> {
    for (label, range) in columns {
        if !table.has(label) {
            continue;
        }
        let value = table.real(0, label)?;
        if !range.holds(value) {
            return Err(impossible(path, label, value, &range.rule("")));
        }
    }
    Ok(())
}

/// Checks that the offsets of a sampling file, as far as it has them, are not too many to be searched.
pub(super) fn offset_steps(table: &Table, path: &Path) -> Result<(), ResumeError> {
    if !(table.has("rlnOffsetRange") && table.has("rlnOffsetStep")) {
        return Ok(());
    }
    let (range, step) = (
        table.real(0, "rlnOffsetRange")?,
        table.real(0, "rlnOffsetStep")?,
    );
    let Some(many) = too_many_offsets(range, step) else {
        return Ok(());
    };
    Err(Code::RUN_FILES_DIFFER
        .says(format!(
            "{}: rlnOffsetRange {range} with rlnOffsetStep {step} {many}. Restore the file, \
             or continue from an earlier iteration.",
            path.display()
        ))
        .into())
}

/// Checks the columns of an optimiser file that hold options.
pub(super) fn option_values(table: &Table, path: &Path) -> Result<(), ResumeError> {
    let range = |option: &str| options::table::find(option).map(|entry| entry.range);
    let columns = OF_OPTIONS
        .into_iter()
        .filter_map(|(label, option)| Some((label, range(option)?)));
    numbers(table, path, columns)
}

/// Particles belong to the classes of the model, or to none yet.
pub(super) fn class_numbers(set: &ParticleSet, classes: usize) -> Result<(), ResumeError> {
    let mut particles = set.particles.iter();
    let Some(at) = particles.position(|particle| particle.class > classes) else {
        return Ok(());
    };
    Err(Code::RUN_FILES_DIFFER
        .says(format!(
            "{}: {} is in class {} (rlnClassNumber), but the last class of the model file is {classes}. Restore the file, or continue from an \
             earlier iteration.",
            set.source().display(),
            set.image_name(at),
            set.particles[at].class
        ))
        .into())
}

/// Single values and spectra of a model that everything is divided or weighted by.
pub(super) fn model_values(models: &[Model], paths: &[PathBuf]) -> Result<(), ResumeError> {
    for (model, path) in models.iter().zip(paths) {
        values_of(model, path)?;
        progress_of(model, path)?;
        something_everywhere(model, path)?;
    }
    match (models, paths) {
        ([one, two], [_, path]) => alike(one, two, path),
        _ => Ok(()),
    }
}

/// Widest prior of offsets, Å, as for --offset.
const WIDEST_OFFSET_PRIOR: f64 = 10_000.0;

/// Returns a warning about a width of the prior of offsets that no run comes to: one that is as good as none, or wider than the
/// images.
pub(super) fn offset_prior(model: &Model, path: &Path) -> Option<String> {
    let (variance, side) = (
        model.sigma2_offset,
        model.box_size as f64 * model.pixel_size,
    );
    let why = match variance.sqrt() {
        0.0 => return None,
        _ if variance < NO_OFFSET_PRIOR => {
            "widths below 0.01 Å count as none, so that all offsets are as likely".to_owned()
        }
        width if width > side => format!("it is wider than the images of {} Å", Angstrom(side)),
        _ => return None,
    };
    Some(format!(
        "{}: rlnSigmaOffsetsAngst, the width of the prior of offsets, is {} Å; {why}. Restore the file if that was not meant, or give the \
         width with --offset.",
        path.display(),
        Angstrom(variance.sqrt())
    ))
}

fn values_of(model: &Model, path: &Path) -> Result<(), ResumeError> {
    let above_zero = |v: f64| v.is_finite() && v > 0.0;
    let not_negative = |v: f64| v.is_finite() && v >= 0.0;
    let of_all = |mut values: &mut dyn Iterator<Item = f64>, fits: &dyn Fn(f64) -> bool| {
        Iterator::find(&mut values, |&value| !fits(value))
    };
    let single = |value: f64, fits: &dyn Fn(f64) -> bool| (!fits(value)).then_some(value);
    let classes = || model.classes.iter();
    let whole_sizes = model.current_size <= model.box_size;
    for (label, wrong, must) in [
        (
            "rlnPixelSize",
            single(model.pixel_size, &above_zero),
            "it is in Å, above 0",
        ),
        (
            "rlnPaddingFactor",
            single(model.padding, &|v| (1.0..=8.0).contains(&v)),
            "it lies between 1 and 8",
        ),
        (
            "rlnCurrentImageSize",
            (!whole_sizes).then_some(model.current_size as f64),
            "it is at most rlnOriginalImageSize",
        ),
        (
            "rlnNormCorrectionAverage",
            single(model.average_norm, &above_zero),
            "it is above 0",
        ),
        (
            "rlnTau2FudgeFactor",
            single(model.tau2_fudge, &above_zero),
            "it is above 0",
        ),
        (
            "rlnSigmaOffsetsAngst",
            single(
                model
                    .sigma2_offset
                    .abs()
                    .sqrt()
                    .copysign(model.sigma2_offset),
                &|v| (0.0..=WIDEST_OFFSET_PRIOR).contains(&v),
            ),
            "it is the width of a prior in Å, from 0 (none) to 10,000",
        ),
        (
            "rlnGroupScaleCorrection",
            of_all(&mut model.scales.iter().copied(), &|v| v.is_finite()),
            "it is a finite number",
        ),
        (
            "rlnClassDistribution",
            of_all(&mut classes().map(|c| c.fraction), &|v| {
                (0.0..=1.001).contains(&v)
            }),
            "it is a share of the particles, from 0 to 1",
        ),
        (
            "rlnSigma2Noise",
            of_all(&mut model.noise.iter().flatten().copied(), &not_negative),
            "it is the power of noise, at least 0",
        ),
        (
            "rlnReferenceTau2",
            of_all(
                &mut classes()
                    .filter(|class| class.fraction > 0.0)
                    .flat_map(|class| class.tau2.iter().copied()),
                &not_negative,
            ),
            "it is the power of a reference, at least 0",
        ),
        (
            "rlnOrientationDistribution",
            of_all(
                &mut classes().flat_map(|class| class.direction_prior.iter().copied()),
                &not_negative,
            ),
            "it is a share of the particles, at least 0",
        ),
    ] {
        if let Some(value) = wrong {
            return Err(impossible(path, label, value, must));
        }
    }
    Ok(())
}

/// Figures of a model that the schedule of the run follows.
fn progress_of(model: &Model, path: &Path) -> Result<(), ResumeError> {
    let local = model.local_search.as_ref();
    let widths = local.map(|search| [search.sigma_rot, search.sigma_tilt, search.sigma_psi]);
    let wide = |sigma: &f64| sigma.is_nan() || *sigma > 360.0;
    for (label, wrong, must) in [
        (
            "rlnAveragePmax",
            Some(model.average_pmax).filter(|p| !(0.0..=1.001).contains(p)),
            "it is a probability, from 0 to 1",
        ),
        (
            "rlnTau2FudgeFactor",
            Some(model.tau2_fudge).filter(|t| *t > 1e6),
            "it is about 1 to 4, and at most 1,000,000",
        ),
        (
            "rlnSigmaPriorRotAngle (or Tilt, or Psi)",
            widths.into_iter().flatten().find(wide),
            "it is the width of a prior in degrees, at most 360",
        ),
    ] {
        if let Some(value) = wrong {
            return Err(impossible(path, label, value, must));
        }
    }
    Ok(())
}

/// The models of both half-sets are of one refinement. `path` is that of the second.
fn alike(one: &Model, two: &Model, path: &Path) -> Result<(), ResumeError> {
    for (label, values) in [
        ("rlnPixelSize", [one, two].map(|m| m.pixel_size)),
        ("rlnPaddingFactor", [one, two].map(|m| m.padding)),
        ("rlnTau2FudgeFactor", [one, two].map(|m| m.tau2_fudge)),
        (
            "rlnOriginalImageSize",
            [one, two].map(|m| m.box_size as f64),
        ),
        (
            "rlnCurrentImageSize",
            [one, two].map(|m| m.current_size as f64),
        ),
    ] {
        let [first, second] = values;
        if (first - second).abs() > 1e-5 * first.abs() {
            let must = format!(
                "it is {first} in the model file of half-set 1, and both are of one refinement"
            );
            return Err(impossible(path, label, second, &must));
        }
    }
    Ok(())
}

/// Distributions and noise that are 0 everywhere: no particle would have a weight.
fn something_everywhere(model: &Model, path: &Path) -> Result<(), ResumeError> {
    let classes = || model.classes.iter();
    for (label, nothing, must) in [
        (
            "rlnClassDistribution",
            are_zero(classes().map(|class| class.fraction)),
            "it is 0 for all classes, but the particles are in some of them",
        ),
        (
            "rlnOrientationDistribution",
            classes()
                .filter(|class| class.fraction > 0.0)
                .any(|class| are_zero(class.direction_prior.iter().copied())),
            "it is 0 in all directions of a class, but its particles are seen in some of them",
        ),
        (
            "rlnSigma2Noise",
            are_zero(model.noise.iter().flatten().copied()),
            "it is 0 in all shells, but images have noise",
        ),
    ] {
        if nothing {
            return Err(impossible(path, label, 0.0, must));
        }
    }
    Ok(())
}

fn impossible(path: &Path, label: &str, value: f64, must: &str) -> ResumeError {
    let text = format!(
        "{}: {label} is {value}; {must}. Restore the file, or continue from an earlier iteration.",
        path.display()
    );
    Code::RUN_FILES_DIFFER.says(text).into()
}

fn are_zero(mut values: impl Iterator<Item = f64>) -> bool {
    values.all(|value| value == 0.0)
}

/// Returns a warning, where all classes are one map and will not be made different: RELION starts classes from a map with
/// random ones for the particles of one iteration, and leaves that out when the run is continued before (spec 03 §5).
pub(super) fn equal_references(model: &Model, seeds_due: bool) -> Vec<String> {
    let classes = &model.classes;
    let equal = || classes.len() > 1 && classes.iter().all(|class| class.map == classes[0].map);
    let warning = (!seeds_due && equal()).then(|| {
        format!(
            "the references of all {} classes are the same map, and those of a run that is continued are not made different, so the \
             classes will stay equal. Start the run afresh, or continue from a later iteration.",
            model.classes.len()
        )
    });
    warning.into_iter().collect()
}
