//! Files of a refinement that its signal is subtracted with: references, options, scales.

use super::SubtractError;
use crate::errors::{Code, Message};
use crate::formats::star::{Document, Table};
use crate::formats::volume::read_map;
use crate::model::map_checks;
use crate::optics::CtfFlags;
use crate::options::Range;
use ndarray::Array3;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A refinement or classification, read from its optimiser file.
pub(super) struct FinishedRun {
    /// Particle file.
    pub data: PathBuf,
    /// References of all particles, or of half-sets 1 and 2.
    pub models: Vec<RunModel>,
    /// The references are those of images that are multiplied by their CTF.
    pub ctf: bool,
    /// How.
    pub flags: CtfFlags,
    /// Images were divided by their norm.
    pub norm: bool,
    /// References were multiplied by the scale of a particle's group.
    pub scale: bool,
}

/// References of one half-set, or of all particles.
pub(super) struct RunModel {
    /// Maps of the classes.
    pub maps: Vec<Array3<f64>>,
    /// Box of the maps, voxels.
    pub box_size: usize,
    /// Å per voxel.
    pub pixel_size: f64,
    /// Padding factor.
    pub padding: f64,
    /// Box up to which references were compared, pixels.
    pub current_size: usize,
    /// Mean of the norms of images.
    pub average_norm: f64,
    /// Scale of every group, by name.
    scales: HashMap<String, f64>,
    path: PathBuf,
}

impl FinishedRun {
    /// Reads the optimiser file of a run and the files that it names: in the current folder, or else beside it.
    ///
    /// # Errors
    /// A file cannot be read; the run is of a kind that is not subtracted from (multi-body, 2D classes, nearest-neighbour
    /// interpolation).
    pub(super) fn read(path: &Path) -> Result<Self, SubtractError> {
        let document = Document::read(path)?;
        let table = document.require("optimiser_general")?;
        let flag = |label: &str| match table.has(label) {
            true => table.boolean(0, label),
            false => Ok(false),
        };
        let named = |label: &str| match table.has(label) {
            true => table
                .text(0, label)
                .map(|text| Some(text).filter(|t| !["", "None"].contains(t))),
            false => Ok(None),
        };
        if named("rlnBodyStarFile")?.is_some() {
            return Err(Code::UNSUPPORTED_OPTION
                .says(format!(
                    "{}: this is a multi-body refinement (rlnBodyStarFile), whose bodies are not subtracted; use RELION",
                    path.display()
                ))
                .into());
        }
        let mut models = vec![RunModel::read(&locate(
            table.text(0, "rlnModelStarFile")?,
            path,
        ))?];
        if flag("rlnDoSplitRandomHalves")?
            && let Some(second) = named("rlnModelStarFile2")?
        {
            models.push(RunModel::read(&locate(second, path))?);
        }
        Ok(Self {
            data: locate(table.text(0, "rlnExperimentalDataStarFile")?, path),
            models,
            ctf: flag("rlnDoCorrectCtf")?,
            flags: CtfFlags {
                intact_first_peak: flag("rlnDoIgnoreCtfUntilFirstPeak")?,
                phase_flipped: flag("rlnCtfDataArePhaseFlipped")?,
                only_flip_phases: false,
            },
            norm: flag("rlnDoCorrectNorm")?,
            scale: flag("rlnDoCorrectScale")?,
        })
    }
}

impl RunModel {
    fn read(path: &Path) -> Result<Self, SubtractError> {
        let document = Document::read(path)?;
        let general = document.require("model_general")?;
        let refuse = |what: &str| {
            Err(Code::UNSUPPORTED_OPTION
                .says(format!("{}: {what}", path.display()))
                .into())
        };
        if general.integer(0, "rlnReferenceDimensionality")? != 3 {
            return refuse(
                "the references are class averages; signal is subtracted as projections of maps: give the optimiser file of a \
                 3D classification or refinement",
            );
        }
        if general.integer(0, "rlnFourierSpaceInterpolator")? != 1 {
            return refuse(
                "the run interpolated to the nearest voxel (--NN), which is not done here; use RELION",
            );
        }
        let size = |label: &str| general.integer(0, label).map(|n| n.max(0) as usize);
        let box_size = size("rlnOriginalImageSize")?;
        check_numbers(general, path)?;
        let classes = document.require("model_classes")?;
        let maps = classes
            .texts("rlnReferenceImage")?
            .zip(classes.real_column("rlnClassDistribution")?)
            .map(|(name, share)| read_reference(&locate(name, path), box_size, share > 0.0))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            maps,
            box_size,
            pixel_size: general.real(0, "rlnPixelSize")?,
            padding: general.real(0, "rlnPaddingFactor")?,
            current_size: size("rlnCurrentImageSize")?,
            average_norm: general.real(0, "rlnNormCorrectionAverage")?,
            scales: read_scales(document.require("model_groups")?)?,
            path: path.to_owned(),
        })
    }

    /// Scale of a group of particles.
    ///
    /// # Errors
    /// The run did not know the group.
    pub(super) fn scale(&self, group: &str) -> Result<f64, Message> {
        self.scales.get(group).copied().ok_or_else(|| {
            Code::RUN_FILES_DIFFER.says(format!(
                "{}: the run has no scale for the group '{group}' (table model_groups); are the particles those of the run?",
                self.path.display()
            ))
        })
    }
}

/// Numbers of a model that images are multiplied or divided by.
const NUMBERS: [(&str, Range); 3] = [
    ("rlnPixelSize", Range::PIXEL_SIZE),
    ("rlnPaddingFactor", Range::between(1.0, 8.0)),
    ("rlnNormCorrectionAverage", Range::between(1e-6, 1e6)),
];

fn check_numbers(general: &Table, path: &Path) -> Result<(), SubtractError> {
    for (label, range) in NUMBERS {
        let value = general.real(0, label)?;
        if !range.holds(value) {
            return Err(Code::RUN_FILES_DIFFER
                .says(format!(
                    "{}: {label} is {value}; {}. Restore the file, or give that of another iteration.",
                    path.display(),
                    range.rule("")
                ))
                .into());
        }
    }
    Ok(())
}

fn read_scales(groups: &Table) -> Result<HashMap<String, f64>, SubtractError> {
    let names = groups.texts("rlnGroupName")?;
    let scales = groups.real_column("rlnGroupScaleCorrection")?;
    Ok(names.map(str::to_owned).zip(scales).collect())
}

/// Reads a reference. That of a class with particles shows something.
fn read_reference(
    path: &Path,
    box_size: usize,
    has_particles: bool,
) -> Result<Array3<f64>, SubtractError> {
    let map = read_map(path)?;
    let advice = "Restore it, or give the optimiser file of another iteration";
    map_checks::finite(path, &map.data, "reference", advice)?;
    let n = box_size;
    if map.data.dim() != (n, n, n) {
        let (z, y, x) = map.data.dim();
        return Err(Code::RUN_FILES_DIFFER
            .says(format!(
                "{}: the map has {x} × {y} × {z} voxels (x × y × z), but the model file says {n} × {n} × {n}; is it the map of \
                 this run?",
                path.display()
            ))
            .into());
    }
    let map = map.data.mapv(f64::from);
    map_checks::grey_scale(path, &map, "reference", map_checks::OWN_GREYS)?;
    if has_particles {
        map_checks::contrast(path, &map, advice)?;
    }
    Ok(map)
}

/// Returns where a file is that a file of a run names: as named, or beside that file.
fn locate(recorded: &str, owner: &Path) -> PathBuf {
    let direct = PathBuf::from(recorded);
    if direct.is_file() {
        return direct;
    }
    let beside = direct
        .file_name()
        .map(|name| owner.with_file_name(name))
        .filter(|path| path.is_file());
    beside.unwrap_or(direct)
}
