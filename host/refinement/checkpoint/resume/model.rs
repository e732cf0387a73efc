//! The model that a run is continued from: its file and the maps that it names.

use crate::errors::Code;
use crate::formats::file_name::ImageName;
use crate::formats::star::{Document, StarError, Table};
use crate::formats::volume::read_reference_if;
use crate::fourier::shape::{Dimensions, VolumeShape};
use crate::model::{ClassModel, Model, Moments, map_checks};
use crate::refinement::checkpoint::gerelion_state;
use crate::refinement::checkpoint::model_star::{
    ClassFacts, Classes, Counts, General, Noise, SCALE_GROUPS, Shell, noise_name,
    read_direction_priors, read_scale_groups, read_spectra, spectra_name,
};
use crate::refinement::checkpoint::moment_files;
use crate::refinement::checkpoint::resume::ResumeError;
use crate::refinement::checkpoint::resume::paths::locate;
use crate::refinement::checkpoint::set_mark::SetMark;
use ndarray::Array3;
use std::path::Path;

/// Read a model with its maps. `optics_groups` and `scale_groups` are the numbers of them in the particle table; `mark` is
/// that of the optimiser file, which the maps must not contradict.
pub(crate) fn read(
    path: &Path,
    optics_groups: usize,
    scale_groups: usize,
    mark: &SetMark,
    notices: &mut Vec<String>,
) -> Result<Model, ResumeError> {
    let document = Document::read(path)?;
    let general = document.require("model_general")?;
    refuse_unsupported(general, path)?;
    let (mut model, mut counts) = (nothing(), Counts::default());
    General::read(general, 0, &mut model, &mut counts)?;
    let file = ModelFile {
        document: &document,
        path,
        box_size: model.box_size,
        pixel_size: model.pixel_size,
        dimensions: match counts.dimensions {
            2 => Dimensions::Two,
            _ => Dimensions::Three,
        },
        padding: model.padding,
    };
    model.noise = file.noise_spectra(counts.optics_groups, optics_groups, notices)?;
    file.check_maps(mark)?;
    let groups = document.require(SCALE_GROUPS)?;
    if groups.len() != scale_groups {
        return refuse(
            Code::RUN_FILES_DIFFER,
            path,
            &format!(
                "the model has {} scale groups (model_groups) but the particle table {scale_groups}: these files do not belong \
                 together. Restore them, or continue from an earlier iteration",
                groups.len()
            ),
        );
    }
    read_scale_groups(groups, &mut model)?;
    model.classes = file.classes(notices)?;
    Ok(model)
}

/// Returns a model without any value, to be read into.
fn nothing() -> Model {
    Model {
        box_size: 0,
        pixel_size: 0.0,
        padding: 0.0,
        tau2_fudge: 0.0,
        classes: Vec::new(),
        noise: Vec::new(),
        scales: Vec::new(),
        group_particles: Vec::new(),
        average_norm: 0.0,
        sigma2_offset: 0.0,
        average_pmax: 0.0,
        log_likelihood: 0.0,
        current_resolution: 0.0,
        current_size: 0,
        local_search: None,
    }
}

/// Returns a class without any value, to be read into.
fn no_class() -> ClassModel {
    ClassModel {
        map: Array3::zeros((0, 0, 0)).into(),
        fraction: 0.0,
        tau2: Vec::new(),
        sigma2: Vec::new(),
        ssnr: Vec::new(),
        coverage: Vec::new(),
        fsc: Vec::new(),
        orientability: None,
        direction_prior: Vec::new(),
        offset_prior: [0.0; 2],
        accuracy_rotations: 0.0,
        accuracy_translations: 0.0,
        moments: None,
    }
}

fn refuse<T>(code: Code, path: &Path, why: &str) -> Result<T, ResumeError> {
    Err(code.says(format!("{}: {why}", path.display())).into())
}

fn refuse_unsupported(general: &Table, path: &Path) -> Result<(), ResumeError> {
    let value = |label: &str, default: i64| -> Result<i64, StarError> {
        if general.has(label) {
            general.integer(0, label)
        } else {
            Ok(default)
        }
    };
    if value("rlnDataDimensionality", 2)? != 2 {
        return refuse(
            Code::UNSUPPORTED_RUN,
            path,
            "3D images (subtomograms) are not supported; continue this run with RELION",
        );
    }
    if value("rlnNrBodies", 1)? > 1 {
        return refuse(
            Code::UNSUPPORTED_RUN,
            path,
            "multi-body models are not supported; continue this run with RELION",
        );
    }
    if value("rlnIsHelix", 0)? != 0 {
        return refuse(
            Code::UNSUPPORTED_RUN,
            path,
            "helical models are not supported; continue this run with RELION",
        );
    }
    Ok(())
}

/// A model file, and the values of it that the reading of others depends on.
struct ModelFile<'a> {
    document: &'a Document,
    path: &'a Path,
    box_size: usize,
    pixel_size: f64,
    dimensions: Dimensions,
    padding: f64,
}

impl ModelFile<'_> {
    fn classes(&self, notices: &mut Vec<String>) -> Result<Vec<ClassModel>, ResumeError> {
        let table = self.document.require("model_classes")?;
        (0..table.len())
            .map(|k| self.class(table, k, notices))
            .collect()
    }

    /// Checks that the maps, and the moments of a gradient run, are of the set of files that the model belongs to.
    fn check_maps(&self, mark: &SetMark) -> Result<(), ResumeError> {
        let classes = self.document.require("model_classes")?;
        for (label, what) in [
            ("rlnReferenceImage", "reference"),
            ("rlnGradMoment1", "moments"),
            ("rlnGradMoment2", "moments"),
        ] {
            if label != "rlnReferenceImage" && !classes.has(label) {
                continue;
            }
            for recorded in classes.texts(label)? {
                // What is odd about their places is told when they are read.
                let map = locate(recorded, self.path, what, &mut Vec::new())?;
                let map = ImageName::parse(&map.to_string_lossy());
                mark.check(map.path.as_ref(), self.path)?;
            }
        }
        Ok(())
    }

    /// Reads class `k` (from 0) with its map.
    fn class(
        &self,
        table: &Table,
        k: usize,
        notices: &mut Vec<String>,
    ) -> Result<ClassModel, ResumeError> {
        let name = spectra_name(k + 1);
        let spectra = self.document.require(&name)?;
        let shells = self.box_size / 2 + 1;
        if spectra.len() != shells {
            return refuse(
                Code::RUN_FILES_DIFFER,
                self.path,
                &format!(
                    "table {name} has {} rows; a box of {} pixels needs {shells}. Restore the file, or continue from an earlier iteration",
                    spectra.len(),
                    self.box_size,
                ),
            );
        }
        let mut facts = ClassFacts {
            pixel_size: self.pixel_size,
            ..ClassFacts::default()
        };
        let mut class = no_class();
        Classes::read(table, k, &mut class, &mut facts)?;
        class.map = self.map(&facts.map, class.fraction > 0.0, notices)?.into();
        read_spectra(spectra, &mut class)?;
        class.direction_prior = match self.dimensions {
            Dimensions::Two => vec![class_prior(self.document, k, self.path)?],
            Dimensions::Three => direction_priors(self.document, k + 1, self.path)?,
        };
        class.moments = match &facts.moments {
            Some(recorded) => Some(self.moments(recorded, table.len(), notices)?),
            None => None,
        };
        Ok(class)
    }

    /// Reads the map that a class names. That of a class with particles shows something.
    fn map(
        &self,
        recorded: &str,
        has_particles: bool,
        notices: &mut Vec<String>,
    ) -> Result<Array3<f64>, ResumeError> {
        let path = locate(recorded, self.path, "reference", notices)?;
        let box_size = self.box_size;
        let map = read_reference_if(&path, &|size| map_checks::size(size, box_size))?;
        let advice = "Restore it, or continue from an earlier iteration";
        map_checks::finite(&path, &map.data, "reference", advice)?;
        let map = map.data.mapv(f64::from);
        map_checks::grey_scale(&path, &map, "reference", map_checks::OWN_GREYS)?;
        if has_particles {
            map_checks::contrast(&path, &map, advice)?;
        }
        if map.dim() != (self.dimensions.sections(box_size), box_size, box_size) {
            return refuse(
                Code::RUN_FILES_DIFFER,
                &path,
                &format!(
                    "the reference has {:?} voxels (z, y, x), but its model file {} says a box of {box_size}. Restore it, or continue from an earlier iteration",
                    map.shape(),
                    self.path.display()
                ),
            );
        }
        Ok(map)
    }

    /// Reads the moments that a class of a gradient run names.
    fn moments(
        &self,
        recorded: &[String; 2],
        classes: usize,
        notices: &mut Vec<String>,
    ) -> Result<Moments, ResumeError> {
        let shape = VolumeShape::new(self.dimensions, self.box_size, self.padding, 0);
        let find = |name: &str| locate(name, self.path, "moments", notices);
        moment_files::read(
            recorded.each_ref().map(String::as_str),
            classes,
            shape,
            find,
        )
    }

    /// Reads one spectrum per optics group. Files up to RELION 3.0 have one per micrograph group: their mean over particles is
    /// taken.
    fn noise_spectra(
        &self,
        written: Option<i64>,
        optics_groups: usize,
        notices: &mut Vec<String>,
    ) -> Result<Vec<Vec<f64>>, ResumeError> {
        if let Some(written) = written
            && written != optics_groups as i64
        {
            return refuse(
                Code::RUN_FILES_DIFFER,
                self.path,
                &format!(
                    "the model has {written} optics groups but the particle table {optics_groups}: \
                     these files do not belong together. Restore them, or continue from an earlier iteration"
                ),
            );
        }
        if self.document.table("model_group_1").is_none() {
            return (1..=optics_groups)
                .map(|g| match self.document.table(&noise_name(g)) {
                    Some(table) => self.noise_spectrum(table),
                    None => Ok(vec![0.0; self.box_size / 2 + 1]),
                })
                .collect();
        }
        notices.push(format!(
            "{}: noise spectra are given per micrograph group; using their mean for every optics group",
            self.path.display()
        ));
        let groups = self.document.require(SCALE_GROUPS)?;
        let mut mean = vec![0.0; self.box_size / 2 + 1];
        let mut particles = 0.0;
        for row in 0..groups.len() {
            let Some(table) = self.document.table(&format!("model_group_{}", row + 1)) else {
                continue;
            };
            let weight = groups.real(row, "rlnGroupNrParticles")?;
            particles += weight;
            for (sum, power) in mean.iter_mut().zip(self.noise_spectrum(table)?) {
                *sum += weight * power;
            }
        }
        if particles > 0.0 {
            mean.iter_mut().for_each(|power| *power /= particles);
        }
        Ok(vec![mean; optics_groups])
    }

    /// Reads a spectrum; shells that are not listed have no power.
    fn noise_spectrum(&self, table: &Table) -> Result<Vec<f64>, ResumeError> {
        let mut spectrum = vec![0.0; self.box_size / 2 + 1];
        for row in 0..table.len() {
            let (mut shell, mut power) = (Shell::default(), 0.0);
            Noise::read(table, row, &mut shell, &mut power)?;
            let place = usize::try_from(shell.index).ok();
            match place.and_then(|s| spectrum.get_mut(s)) {
                Some(place) => *place = power,
                None => {
                    return refuse(
                        Code::RUN_FILES_DIFFER,
                        self.path,
                        &format!(
                            "table {} lists shell {}; a box of {} pixels ends at {}",
                            table.name(),
                            shell.index,
                            self.box_size,
                            self.box_size / 2
                        ),
                    );
                }
            }
        }
        Ok(spectrum)
    }
}

/// Priors of the directions of a class, with all their digits in our files.
fn direction_priors(
    document: &Document,
    class: usize,
    path: &Path,
) -> Result<Vec<f64>, ResumeError> {
    let rounded = read_direction_priors(document, class)?;
    match gerelion_state::read_direction_priors(document, class)? {
        Some(priors) if priors.len() == rounded.len() => Ok(priors),
        None if !is_ours(document) => Ok(rounded),
        _ => cut_short(path),
    }
}

/// The file bears the mark of this program.
fn is_ours(document: &Document) -> bool {
    SetMark::of_header(&document.header).is_given()
}

fn cut_short<T>(path: &Path) -> Result<T, ResumeError> {
    refuse(
        Code::RUN_FILES_DIFFER,
        path,
        "the tables of GeRelion at its end (gerelion_…) are not whole: the file was cut short or changed. Restore it, or continue from \
         an earlier iteration",
    )
}

/// The prior of class average `k` (from 0): with all its digits in our files, 1 for every class in RELION's, which do not hold
/// it (spec 04 §17).
fn class_prior(document: &Document, k: usize, path: &Path) -> Result<f64, ResumeError> {
    let priors = gerelion_state::read_class_priors(document)?;
    match priors.map(|priors| priors.get(k).copied()) {
        Some(Some(prior)) => Ok(prior),
        None if !is_ours(document) => Ok(1.0),
        _ => cut_short(path),
    }
}
