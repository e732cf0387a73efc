//! The model, optimiser and sampling files of one iteration, as far as the page shows them.
//!
//! Columns that every version of RELION writes are required; columns that came later or are left out at times are options.

use crate::errors::Code;
use crate::formats::star::{Document, StarError, Table};
use std::path::Path;

/// `_model.star`, or that of half 1.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Model {
    /// The references are class averages, not maps.
    pub is_2d: bool,
    /// Side of the maps, voxels.
    pub box_size: usize,
    /// Å per voxel.
    pub pixel_size: f64,
    /// Å; infinite before the first iteration.
    pub resolution: f64,
    /// Side of the images as used, pixels; 0 before the first iteration.
    pub current_size: i64,
    /// Average over the particles.
    pub average_pmax: f64,
    /// Orientations are searched around those of the iteration before.
    pub local_searches: bool,
    /// T, as in force (`rlnTau2FudgeFactor`).
    pub tau_fudge: Option<f64>,
    /// Classes in order.
    pub classes: Vec<Class>,
    /// Noise of each optics group: spatial frequency (1/Å) and σ² of each shell. Empty in files of older versions.
    pub noise: Vec<Vec<(f64, f64)>>,
}

/// One class of a model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Class {
    /// Share of the particles, by their weights.
    pub occupancy: f64,
    /// Å.
    pub resolution: Option<f64>,
    /// Expected, degrees.
    pub accuracy_rotations: Option<f64>,
    /// Expected, Å.
    pub accuracy_translations: Option<f64>,
    /// Share of the Fourier voxels that hold data.
    pub completeness: Option<f64>,
    /// Curves.
    pub spectra: Spectra,
}

/// Curves of a class, per shell; empty where the file lacks them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Spectra {
    /// 1/Å.
    pub frequency: Vec<f64>,
    /// Between the half maps; zeros in classifications.
    pub fsc: Vec<f64>,
    /// Signal-to-noise ratio of the map, τ²/σ².
    pub ssnr: Vec<f64>,
}

/// `_optimiser.star`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Optimiser {
    /// Who wrote it, as it says itself; empty where it does not.
    pub program: String,
    /// Arguments of the run; empty where the file does not say.
    pub command_line: String,
    /// Number of iterations that the run was asked for.
    pub iterations: usize,
    /// Auto-refinement, which decides itself when it ends.
    pub auto_refine: bool,
    /// Half-sets refined apart.
    pub half_sets: bool,
    /// Å.
    pub particle_diameter: Option<f64>,
    /// Halvings of the sampling in the second pass.
    pub oversampling: u32,
    /// Expected, degrees; None before it was estimated.
    pub accuracy_rotations: Option<f64>,
    /// Expected, Å.
    pub accuracy_translations: Option<f64>,
    /// Average change against the iteration before, degrees.
    pub change_orientations: Option<f64>,
    /// Å.
    pub change_offsets: Option<f64>,
    /// Share of the particles that changed class.
    pub change_classes: Option<f64>,
    /// Of a gradient run.
    pub gradient: Option<Gradient>,
}

/// State of a gradient run (`--grad`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Gradient {
    /// η in force.
    pub step_size: Option<f64>,
    /// Particles of an iteration; None for all, and before the first iteration.
    pub subset: Option<usize>,
}

/// `_sampling.star`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sampling {
    /// Point group.
    pub symmetry: String,
    /// Step of the first pass, degrees.
    pub angular_step: f64,
    /// Å.
    pub offset_range: f64,
    /// Step of the first pass, Å.
    pub offset_step: f64,
}

/// A number that is there and means something: files hold 999 (or 9999999) for what is not known yet.
fn known(table: &Table, label: &str, unknown: f64) -> Option<f64> {
    let value = table.real(0, label).ok()?;
    (value.is_finite() && value < unknown).then_some(value)
}

impl Model {
    /// Read a model file.
    pub(crate) fn read(path: &Path) -> Result<Self, StarError> {
        let document = Document::read(path)?;
        let general = document.require("model_general")?;
        let classes = document.require("model_classes")?;
        Ok(Self {
            // Files of versions that had no 2D references lack the label.
            is_2d: general
                .integer(0, "rlnReferenceDimensionality")
                .is_ok_and(|dimensions| dimensions == 2),
            box_size: positive(path, general, "rlnOriginalImageSize")? as usize,
            pixel_size: positive(path, general, "rlnPixelSize")?,
            resolution: general.real(0, "rlnCurrentResolution")?,
            current_size: general.integer(0, "rlnCurrentImageSize")?,
            average_pmax: general.real(0, "rlnAveragePmax")?,
            local_searches: general
                .integer(0, "rlnOrientationalPriorMode")
                .is_ok_and(|mode| mode != 0),
            tau_fudge: general.real(0, "rlnTau2FudgeFactor").ok(),
            classes: (0..classes.len())
                .map(|k| Class::read(&document, classes, k))
                .collect::<Result<_, _>>()?,
            noise: (1..)
                .map_while(|group| document.table(&format!("model_optics_group_{group}")))
                .map(noise)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Classes (from 0), the largest first; of equals the first.
    pub(crate) fn by_occupancy(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.classes.len()).collect();
        order.sort_by(|a, b| {
            let of = |k: &usize| self.classes[*k].occupancy;
            of(b).total_cmp(&of(a))
        });
        order
    }

    /// Side of the box, Å.
    pub(crate) fn extent(&self) -> f64 {
        self.box_size as f64 * self.pixel_size
    }
}

/// Spatial frequencies and σ² of a noise spectrum.
fn noise(table: &Table) -> Result<Vec<(f64, f64)>, StarError> {
    let frequencies = table.real_column("rlnResolution")?;
    Ok(frequencies
        .into_iter()
        .zip(table.real_column("rlnSigma2Noise")?)
        .collect())
}

/// A number that must be above zero.
fn positive(path: &Path, table: &Table, label: &str) -> Result<f64, StarError> {
    let value = table.real(0, label)?;
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    Err(StarError {
        code: Code::STAR_VALUE,
        path: path.display().to_string(),
        message: format!("{}: {label} is {value}, not above 0", table.place(0, label)),
    })
}

impl Class {
    fn read(document: &Document, classes: &Table, k: usize) -> Result<Self, StarError> {
        let stated = |label: &str| {
            let value = classes.real(k, label).ok()?;
            (value.is_finite() && value > 0.0 && value < 999.0).then_some(value)
        };
        Ok(Self {
            occupancy: classes.real(k, "rlnClassDistribution")?,
            resolution: stated("rlnEstimatedResolution"),
            accuracy_rotations: stated("rlnAccuracyRotations"),
            accuracy_translations: stated("rlnAccuracyTranslationsAngst"),
            completeness: classes.real(k, "rlnOverallFourierCompleteness").ok(),
            spectra: Spectra::read(document.require(&format!("model_class_{}", k + 1))?)?,
        })
    }
}

impl Spectra {
    fn read(table: &Table) -> Result<Self, StarError> {
        let column = |label: &str| match table.has(label) {
            true => table.real_column(label),
            false => Ok(Vec::new()),
        };
        Ok(Self {
            frequency: table.real_column("rlnResolution")?,
            fsc: column("rlnGoldStandardFsc")?,
            ssnr: column("rlnSsnrMap")?,
        })
    }
}

impl Optimiser {
    /// Read an optimiser file.
    pub(crate) fn read(path: &Path) -> Result<Self, StarError> {
        let document = Document::read(path)?;
        let general = document.require("optimiser_general")?;
        // The last of the columns that every version writes: a file cut off before it is not taken for whole.
        general.boolean(0, "rlnHasConverged")?;
        let line = |i: usize| document.header.get(i).map_or("", |line| line.trim());
        Ok(Self {
            program: program(line(0)),
            command_line: line(1).to_owned(),
            iterations: general
                .integer(0, "rlnNumberOfIterations")?
                .try_into()
                .unwrap_or(0),
            auto_refine: general.boolean(0, "rlnDoAutoRefine")?,
            half_sets: general.boolean(0, "rlnDoSplitRandomHalves")?,
            particle_diameter: general.real(0, "rlnParticleDiameter").ok(),
            oversampling: general
                .integer(0, "rlnAdaptiveOversampleOrder")
                .ok()
                .and_then(|order| u32::try_from(order).ok())
                .unwrap_or(0)
                .min(30),
            accuracy_rotations: known(general, "rlnOverallAccuracyRotations", 999.0),
            accuracy_translations: known(general, "rlnOverallAccuracyTranslationsAngst", 999.0),
            change_orientations: known(general, "rlnChangesOptimalOrientations", 999.0),
            change_offsets: known(general, "rlnChangesOptimalOffsets", 999.0),
            change_classes: known(general, "rlnChangesOptimalClasses", 9_999_999.0),
            gradient: general
                .boolean(0, "rlnDoGradientRefine")
                .unwrap_or(false)
                .then(|| Gradient::of(general)),
        })
    }
}

impl Gradient {
    fn of(general: &Table) -> Self {
        let subset = general.integer(0, "rlnSgdSubsetSize").unwrap_or(0);
        Self {
            step_size: general.real(0, "rlnGradCurrentStepsize").ok(),
            subset: usize::try_from(subset).ok().filter(|size| *size > 0),
        }
    }
}

/// `RELION optimiser; version 5.0.1` in words for the page.
fn program(line: &str) -> String {
    match line
        .split_once("version ")
        .map(|(_, version)| version.trim())
    {
        Some(version) if version.starts_with(|c: char| c.is_ascii_digit()) => {
            format!("RELION {version}")
        }
        Some(version) => version.replace('-', " "),
        None => String::new(),
    }
}

impl Sampling {
    /// Read a sampling file.
    pub(crate) fn read(path: &Path) -> Result<Self, StarError> {
        let document = Document::read(path)?;
        let general = document.require("sampling_general")?;
        Ok(Self {
            symmetry: general
                .text(0, "rlnSymmetryGroup")
                .unwrap_or("C1")
                .to_owned(),
            angular_step: general.real(0, "rlnPsiStep")?,
            offset_range: general.real(0, "rlnOffsetRange")?,
            offset_step: general.real(0, "rlnOffsetStep")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_named() {
        assert_eq!(program("RELION optimiser; version 5.0.1"), "RELION 5.0.1");
        assert_eq!(
            program("RELION optimiser; version GeRelion-0.1.0"),
            "GeRelion 0.1.0"
        );
        assert_eq!(program(""), "");
    }

    #[test]
    fn a_file_without_its_end_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run_it001_optimiser.star");
        let text = "data_optimiser_general\n\n_rlnCurrentIteration 1\n_rlnNumberOfIterations 3\n_rlnDoAutoRefine 0\n";
        std::fs::write(&path, text).unwrap();
        let message = Optimiser::read(&path).unwrap_err().to_string();
        assert!(message.contains("run_it001_optimiser.star"), "{message}");
        assert!(message.contains("rlnHasConverged"), "{message}");
    }
}
