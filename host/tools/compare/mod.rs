//! Compare one iteration of two runs through the files they wrote: statistics, spectra, poses, class averages and maps.

mod agreement;
mod averages;
mod models;
mod poses;
mod report;

pub use agreement::Agreement;
pub use averages::Match;
pub use models::{AlignedMap, aligned};
pub use poses::{PoseComparison, Poses, compare_poses, rotation_between};
pub use report::{Comparison, Divisions};

use super::density::read_cube;
use super::fsc::{FscError, compare_maps, same_boxes};
use crate::errors::{Code, wrapping_error};
use crate::formats::mrc::MrcError;
use crate::formats::star::{Document, StarError, Table};
use crate::geometry::symmetry::{PointGroup, SymmetryError};
use ndarray::Array3;
use std::path::{Path, PathBuf};

wrapping_error! {
    /// Error of a comparison of runs.
    pub enum CompareError {
        /// A STAR file.
        Star(StarError),
        /// A map.
        Map(MrcError),
        /// Maps that cannot be compared.
        Shapes(FscError),
        /// The point group of poses.
        Symmetry(SymmetryError),
    }
}

/// Options of a comparison; without a point group by default.
#[derive(Debug, Clone, PartialEq)]
pub struct CompareOptions {
    /// Point group under which poses are the same.
    pub symmetry: String,
    /// Angular step (degrees) of "within one step".
    pub step: f64,
    /// Compare this half-set's model and maps.
    pub half: Option<u8>,
    /// Lay maps onto each other first, in the better hand, whatever their numbers: those of runs that started from nothing.
    pub align: bool,
    /// Truth of the simulation that both runs classify.
    pub truth: Option<PathBuf>,
}

impl Default for CompareOptions {
    fn default() -> Self {
        Self {
            symmetry: "C1".into(),
            step: 7.5,
            half: None,
            align: false,
            truth: None,
        }
    }
}

/// A number that both runs report.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Label without `rln`.
    pub name: String,
    /// In the reference run; None where the file lacks it.
    pub reference: Option<f64>,
    /// In the other run.
    pub ours: Option<f64>,
}

/// Largest relative difference of a spectrum.
#[derive(Debug, Clone, PartialEq)]
pub struct SpectrumDifference {
    /// Table and column.
    pub name: String,
    /// max |b/a − 1| over shells up to the reference's current resolution.
    pub to_resolution: f64,
    /// The same over all shells with power.
    pub overall: f64,
}

/// Comparison of one pair of class maps.
#[derive(Debug, Clone, PartialEq)]
pub struct MapDifference {
    /// File name of the map; the only thing known when one is missing.
    pub name: String,
    /// ‖a − b‖/‖a‖.
    pub relative_l2: f64,
    /// FSC per shell.
    pub fsc: Vec<f64>,
    /// Smallest FSC of the shells up to the reference's current resolution.
    pub smallest_to_resolution: f64,
}

const FIGURES: [&str; 6] = [
    "rlnCurrentResolution",
    "rlnCurrentImageSize",
    "rlnAveragePmax",
    "rlnLogLikelihood",
    "rlnSigmaOffsetsAngst",
    "rlnNormCorrectionAverage",
];

/// Compare `REFERENCE_{data,model}.star` and `REFERENCE_classNNN.mrc` with the same files of `ours`
/// (e.g. prefix `run_it003`).
pub fn compare_runs(
    reference: &str,
    ours: &str,
    options: &CompareOptions,
) -> Result<Comparison, CompareError> {
    let tag = options
        .half
        .map(|h| format!("_half{h}"))
        .unwrap_or_default();
    let model = |prefix: &str| Document::read(Path::new(&format!("{prefix}{tag}_model.star")));
    let data = |prefix: &str| Document::read(Path::new(&format!("{prefix}_data.star")));
    let (model_a, model_b) = (model(reference)?, model(ours)?);
    let group = PointGroup::parse(&options.symmetry)?;
    let (data_a, data_b) = (data(reference)?, data(ours)?);
    let (particles_a, particles_b) = (data_a.require("particles")?, data_b.require("particles")?);
    let (poses_a, poses_b) = (
        Poses::from_table(particles_a)?,
        Poses::from_table(particles_b)?,
    );
    let limit = resolution_shell(&model_a)?;
    let prefixes = [reference, ours].map(|prefix| format!("{prefix}{tag}"));
    let is_2d = has_averages(&model_a);
    if is_2d != has_averages(&model_b) {
        let text =
            "one of the runs has class averages and the other maps; compare runs of one kind";
        return Err(Code::RUNS_DIFFER.says(text).into());
    }
    let averages = match is_2d {
        true => {
            let read = |prefix: &str| averages::read(Path::new(&format!("{prefix}_classes.mrcs")));
            let [a, b] = [read(&prefixes[0])?, read(&prefixes[1])?];
            Some(averages::matched(&a, &b)?)
        }
        false => None,
    };
    // Spectra of two classes mean something where these show the same.
    let is_same_class = |k: usize| match &averages {
        Some(matches) => matches.iter().any(|m| (m.reference, m.ours) == (k, k)),
        None => !options.align,
    };
    let (maps, aligned) = match options.align && !is_2d {
        true => {
            let [a, b] = prefixes.each_ref().map(|prefix| class_maps(prefix));
            (Vec::new(), models::paired(&a, &b)?)
        }
        false => (maps(&prefixes[0], &prefixes[1], limit)?, Vec::new()),
    };
    let has_classes = model_classes(&model_a)?.max(model_classes(&model_b)?) > 1;
    Ok(Comparison {
        figures: figures(&model_a, &model_b)?,
        spectra: spectra(&model_a, &model_b, limit, is_same_class)?,
        poses: compare_poses(&poses_a, &poses_b, &group, options.step)?,
        divisions: match has_classes {
            true => Some(divisions(
                particles_a,
                particles_b,
                options.truth.as_deref(),
            )?),
            false => None,
        },
        averages,
        maps,
        aligned,
    })
}

/// The references of a model are class averages.
fn has_averages(model: &Document) -> bool {
    let general = model.table("model_general");
    general.is_some_and(|table| {
        table
            .integer(0, "rlnReferenceDimensionality")
            .is_ok_and(|dimensions| dimensions == 2)
    })
}

fn model_classes(model: &Document) -> Result<usize, StarError> {
    Ok(model.require("model_classes")?.len())
}

fn divisions(a: &Table, b: &Table, truth: Option<&Path>) -> Result<Divisions, CompareError> {
    let (a, b) = (agreement::classes(a)?, agreement::classes(b)?);
    let truth = truth.map(agreement::truth).transpose()?;
    let with_truth = |classes: &agreement::Classes| match &truth {
        Some(truth) => agreement::agreement(truth, classes).map(Some),
        None => Ok(None),
    };
    Ok(Divisions {
        runs: agreement::agreement(&a, &b)?,
        truth: [with_truth(&a)?, with_truth(&b)?],
    })
}

/// Maps `PREFIX_classNNN.mrc` that are there.
fn class_maps(prefix: &str) -> Vec<PathBuf> {
    (1..)
        .map(|class| PathBuf::from(format!("{prefix}_class{class:03}.mrc")))
        .take_while(|path| path.exists())
        .collect()
}

/// Last shell inside the current resolution of a model.
fn resolution_shell(model: &Document) -> Result<usize, CompareError> {
    let general = model.require("model_general")?;
    let extent =
        general.integer(0, "rlnOriginalImageSize")? as f64 * general.real(0, "rlnPixelSize")?;
    Ok((extent / general.real(0, "rlnCurrentResolution")?).round() as usize)
}

fn figures(a: &Document, b: &Document) -> Result<Vec<Figure>, CompareError> {
    let (a, b) = (a.require("model_general")?, b.require("model_general")?);
    Ok(FIGURES
        .iter()
        .map(|label| Figure {
            name: label.trim_start_matches("rln").into(),
            reference: a.real(0, label).ok(),
            ours: b.real(0, label).ok(),
        })
        .collect())
}

fn spectra(
    a: &Document,
    b: &Document,
    limit: usize,
    is_same_class: impl Fn(usize) -> bool,
) -> Result<Vec<SpectrumDifference>, CompareError> {
    let mut found = Vec::new();
    for table in &a.tables {
        let class = table.name().strip_prefix("model_class_");
        let number = class.and_then(|number| number.parse::<usize>().ok());
        if number.is_some_and(|number| !is_same_class(number - 1)) {
            continue;
        }
        let column = if table.name().starts_with("model_optics_group_") {
            "rlnSigma2Noise"
        } else if table.name().starts_with("model_class_") && table.has("rlnReferenceTau2") {
            "rlnReferenceTau2"
        } else {
            continue;
        };
        let (x, y) = (
            table.real_column(column)?,
            b.require(table.name())?.real_column(column)?,
        );
        if x.len() != y.len() {
            return Err(Code::RUNS_DIFFER
                .says(format!(
                    "{} has {} shells in one run and {} in the other; compare runs of the same images",
                    table.name(),
                    x.len(),
                    y.len()
                ))
                .into());
        }
        found.push(SpectrumDifference {
            name: format!("{}.{}", table.name(), column.trim_start_matches("rln")),
            to_resolution: largest_difference(&x[..x.len().min(limit + 1)], &y),
            overall: largest_difference(&x, &y),
        });
    }
    Ok(found)
}

/// max |b/a − 1| where a has power.
fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    let floor = 1e-12 * a.iter().copied().fold(0.0, f64::max);
    a.iter()
        .zip(b)
        .filter(|(x, _)| **x > floor)
        .map(|(x, y)| (y / x - 1.0).abs())
        .fold(0.0, f64::max)
}

fn maps(
    reference: &str,
    ours: &str,
    limit: usize,
) -> Result<Vec<Option<MapDifference>>, CompareError> {
    let path = |prefix: &str, class: usize| PathBuf::from(format!("{prefix}_class{class:03}.mrc"));
    let mut found = Vec::new();
    for class in 1.. {
        let (a, b) = (path(reference, class), path(ours, class));
        if !a.exists() {
            break;
        }
        if !b.exists() {
            found.push(None);
            continue;
        }
        let (x, y) = (read_cube(&a, "map")?, read_cube(&b, "map")?);
        same_boxes([(a.as_path(), &x), (b.as_path(), &y)].into_iter())?;
        let (x, y) = (x.data.mapv(f64::from), y.data.mapv(f64::from));
        let fsc = compare_maps(&x, &y, None, 1.0)?.curve;
        found.push(Some(MapDifference {
            name: format!("class{class:03}"),
            relative_l2: relative_difference(&x, &y),
            smallest_to_resolution: fsc[1..fsc.len().min(limit + 1)]
                .iter()
                .copied()
                .fold(1.0, f64::min),
            fsc,
        }));
    }
    Ok(found)
}

/// ‖a − b‖/‖a‖; for an empty `a` 0 where `b` is empty, too, else infinite.
fn relative_difference(a: &Array3<f64>, b: &Array3<f64>) -> f64 {
    let norm = |map: &Array3<f64>| map.iter().map(|v| v * v).sum::<f64>().sqrt();
    match norm(&(a - b)) {
        0.0 => 0.0,
        difference => difference / norm(a),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn largest_difference_leaves_out_empty_shells() {
        assert!((largest_difference(&[2.0, 0.0, 1.0], &[2.1, 5.0, 1.0]) - 0.05).abs() < 1e-12);
    }

    /// The maps of classes without particles are 0 everywhere.
    #[test]
    fn empty_maps_differ_by_nothing_or_by_all() {
        let (empty, full) = (Array3::zeros((2, 2, 2)), Array3::ones((2, 2, 2)));
        assert_eq!(relative_difference(&empty, &empty), 0.0);
        assert_eq!(relative_difference(&empty, &full), f64::INFINITY);
        assert_eq!(relative_difference(&full, &empty), 1.0);
    }

    fn golden(name: &str) -> Option<String> {
        let folder = material::shared("golden")?;
        Some(folder.join(name).to_string_lossy().into_owned())
    }

    fn options() -> CompareOptions {
        CompareOptions::default()
    }

    #[test]
    fn a_run_equals_itself() {
        let Some(prefix) = golden("class3d_k1_noperturb/run_it001") else {
            return;
        };
        let same = compare_runs(&prefix, &prefix, &options()).unwrap();
        assert_eq!(same.poses.identical, 1.0);
        assert!(same.spectra.iter().all(|s| s.overall == 0.0));
        let map = same.maps[0].as_ref().unwrap();
        assert!(map.relative_l2 == 0.0 && map.fsc.iter().all(|c| *c > 1.0 - 1e-9));
    }

    /// Iterations 1 and 2 of the reference run, against the figures of an independent program (numpy).
    #[test]
    fn agrees_with_an_independent_program() {
        let (Some(a), Some(b)) = (
            golden("class3d_k1_noperturb/run_it001"),
            golden("class3d_k1_noperturb/run_it002"),
        ) else {
            return;
        };
        let found = compare_runs(&a, &b, &options()).unwrap();
        let close = |value: f64, expected: f64, digits: f64| {
            assert!((value - expected).abs() <= digits, "{value} for {expected}");
        };
        close(found.poses.identical, 343.0 / 2000.0, 5e-5);
        close(found.poses.within_step, 636.0 / 2000.0, 5e-5);
        close(found.poses.median_angle, 90.0, 5e-4);
        close(found.poses.shifts_identical, 978.0 / 2000.0, 5e-5);
        close(found.poses.pmax_p95, 0.974, 5e-4);
        let map = found.maps[0].as_ref().unwrap();
        close(map.relative_l2, 0.161, 5e-4);
        close(map.fsc[1..].iter().sum::<f64>() / 32.0, 0.717091, 5e-7);
        close(found.spectra[1].overall, 0.387, 5e-4);
        assert_eq!(found.figures[0].reference, Some(42.666667));
    }

    /// A 2D run against itself, and against its iteration before.
    #[test]
    fn class_averages_are_matched_by_what_they_show() {
        let Some(prefix) = golden("class2d_em/run_it008") else {
            return;
        };
        let same = compare_runs(&prefix, &prefix, &options()).unwrap();
        let matches = same.averages.as_ref().unwrap();
        assert_eq!(matches.len(), 8);
        for (k, found) in matches.iter().enumerate() {
            assert_eq!((found.reference, found.ours), (k, k));
            assert!(
                found.correlation > 1.0 - 1e-5 && found.angle == 0.0,
                "{found:?}"
            );
        }
        assert_eq!(
            same.spectra
                .iter()
                .filter(|s| s.name.contains("Tau2"))
                .count(),
            8
        );
        let divisions = same.divisions.as_ref().unwrap();
        assert_eq!(
            (divisions.runs.purity, divisions.runs.rand_index),
            (1.0, 1.0)
        );
        assert!(same.maps.is_empty() && same.aligned.is_empty());

        let truth = material::golden("input").map(|folder| folder.join("mix_mini_truth.star"));
        let options = CompareOptions { truth, ..options() };
        let before = golden("class2d_em/run_it007").unwrap();
        let found = compare_runs(&prefix, &before, &options).unwrap();
        let matches = found.averages.as_ref().unwrap();
        assert!(
            matches
                .iter()
                .all(|m| m.reference == m.ours && m.correlation > 0.9),
            "{matches:?}"
        );
        let divisions = found.divisions.as_ref().unwrap();
        assert!(divisions.runs.purity > 0.8 && divisions.runs.purity < 1.0);
        let by_truth = divisions.truth[0].unwrap();
        assert!(
            by_truth.common == 500 && by_truth.purity > 0.5,
            "{by_truth:?}"
        );
        let text = found.to_string();
        assert!(text.contains("class 8 of ref is class 8 of ours"), "{text}");
    }

    /// Maps of two runs that lie anyhow and have other numbers are paired.
    #[test]
    fn initial_models_are_laid_onto_each_other() {
        use crate::formats::mrc::write_map;
        use crate::geometry::euler;
        use crate::tools::rotation::turner::Turner;
        use crate::tools::simulate::{
            phantom::{HelixBundle, helix_bundle},
            truth_map,
        };
        let folder = tempfile::tempdir().unwrap();
        let maps = [0, 3].map(|conformation| {
            let shape = HelixBundle {
                diameter: 90.0,
                helices: 8,
                conformation,
            };
            truth_map(&helix_bundle(&shape, &PointGroup::c1()), 32, 5.0, 300.0)
        });
        let write = |name: &str, map: &Array3<f64>| {
            let path = folder.path().join(name);
            write_map(&path, map.mapv(|v| v as f32).view(), 5.0).unwrap();
            path
        };
        let turned = |map| Turner::new(map, 2.0, 0).turned(&[euler::matrix(20.0, 65.0, 90.0)]);
        let a = [write("a1.mrc", &maps[0]), write("a2.mrc", &maps[1])];
        let b = [
            write("b1.mrc", &turned(&maps[1])),
            write("b2.mrc", &turned(&maps[0])),
        ];
        let found = models::paired(&a, &b).unwrap();
        assert_eq!(found.len(), 2);
        for pair in &found {
            let k = usize::from(pair.reference == a[1]);
            assert_eq!(pair.ours, b[1 - k], "{pair}");
            assert!(
                !pair.alignment.mirrored && pair.alignment.correlation > 0.97,
                "{pair}"
            );
            assert!(pair.other_hand < pair.alignment.correlation, "{pair}");
            assert!(pair.fsc.curve[1..10].iter().all(|v| *v > 0.9), "{pair}");
        }
    }
}
