//! A `_model.star` and the maps that it names (spec 03 §1.4, with the fallbacks for older files).

use crate::errors::Code;
use crate::formats::file_name::ImageName;
use crate::formats::star::{Document, StarError, Table};
use crate::formats::volume::read_reference_if;
use crate::fourier::shape::{Dimensions, VolumeShape};
use crate::geometry::prior::LocalSearch;
use crate::model::{ClassModel, Model, Moments, map_checks};
use crate::refinement::checkpoint::gerelion_state;
use crate::refinement::checkpoint::moment_files;
use crate::refinement::checkpoint::resume::ResumeError;
use crate::refinement::checkpoint::resume::paths::locate;
use crate::refinement::checkpoint::set_mark::SetMark;
use std::path::Path;

/// Read a model with its maps. `optics_groups` and `scale_groups` are the numbers of them in the particle table; `mark` is
/// that of the optimiser file, which the maps must not contradict.
pub fn read(
    path: &Path,
    optics_groups: usize,
    scale_groups: usize,
    mark: &SetMark,
    notices: &mut Vec<String>,
) -> Result<Model, ResumeError> {
    let document = Document::read(path)?;
    let general = document.require("model_general")?;
    refuse_unsupported(general, path)?;
    let box_size = general.integer(0, "rlnOriginalImageSize")?.max(0) as usize;
    let pixel_size = general.real(0, "rlnPixelSize")?;
    let noise = noise_spectra(&document, path, general, box_size, optics_groups, notices)?;
    check_maps(&document, path, mark)?;
    let groups = document.require("model_groups")?;
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
    let rows = 0..groups.len();
    Ok(Model {
        box_size,
        pixel_size,
        padding: general.real(0, "rlnPaddingFactor")?,
        tau2_fudge: general.real(0, "rlnTau2FudgeFactor")?,
        classes: classes(&document, path, box_size, pixel_size, notices)?,
        noise,
        scales: groups.real_column("rlnGroupScaleCorrection")?,
        group_particles: rows
            .map(|row| {
                let n = groups.integer(row, "rlnGroupNrParticles")?;
                Ok(n.max(0) as usize)
            })
            .collect::<Result<_, StarError>>()?,
        average_norm: general.real(0, "rlnNormCorrectionAverage")?,
        sigma2_offset: angstrom(general, 0, "rlnSigmaOffsets", pixel_size)?.powi(2),
        average_pmax: general.real(0, "rlnAveragePmax")?,
        log_likelihood: general.real(0, "rlnLogLikelihood")?,
        current_resolution: frequency(
            general.real(0, "rlnCurrentResolution")?,
            box_size as f64 * pixel_size,
        ),
        current_size: general.integer(0, "rlnCurrentImageSize")?.max(0) as usize,
        local_search: local_search(general)?,
    })
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

/// A length in Å: the column `<label>Angst`, or `<label>` in pixels in files before RELION 3.1.
fn angstrom(table: &Table, row: usize, label: &str, pixel_size: f64) -> Result<f64, StarError> {
    let in_angstrom = format!("{label}Angst");
    if table.has(&in_angstrom) {
        table.real(row, &in_angstrom)
    } else {
        table.real(row, label).map(|pixels| pixels * pixel_size)
    }
}

/// Frequency (1/Å) of a resolution (Å) as written with six decimals: exactly that of its shell in a box of `width` Å.
fn frequency(resolution: f64, width: f64) -> f64 {
    if !resolution.is_finite() || resolution <= 0.0 {
        return 0.0;
    }
    (width / resolution).round() / width
}

fn local_search(general: &Table) -> Result<Option<LocalSearch>, StarError> {
    if general.integer(0, "rlnOrientationalPriorMode")? == 0 {
        return Ok(None);
    }
    Ok(Some(LocalSearch {
        sigma_rot: general.real(0, "rlnSigmaPriorRotAngle")?,
        sigma_tilt: general.real(0, "rlnSigmaPriorTiltAngle")?,
        sigma_psi: general.real(0, "rlnSigmaPriorPsiAngle")?,
    }))
}

fn classes(
    document: &Document,
    path: &Path,
    box_size: usize,
    pixel_size: f64,
    notices: &mut Vec<String>,
) -> Result<Vec<ClassModel>, ResumeError> {
    let table = document.require("model_classes")?;
    (0..table.len())
        .map(|k| class(document, table, k, path, box_size, pixel_size, notices))
        .collect()
}

/// The maps, and the moments of a gradient run, must be of the set of files that the model belongs to.
fn check_maps(document: &Document, path: &Path, mark: &SetMark) -> Result<(), ResumeError> {
    let classes = document.require("model_classes")?;
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
            let map = locate(recorded, path, what, &mut Vec::new())?;
            let map = ImageName::parse(&map.to_string_lossy());
            mark.check(map.path.as_ref(), path)?;
        }
    }
    Ok(())
}

fn class(
    document: &Document,
    table: &Table,
    k: usize,
    path: &Path,
    box_size: usize,
    pixel_size: f64,
    notices: &mut Vec<String>,
) -> Result<ClassModel, ResumeError> {
    let name = format!("model_class_{}", k + 1);
    let spectra = document.require(&name)?;
    if spectra.len() != box_size / 2 + 1 {
        return refuse(
            Code::RUN_FILES_DIFFER,
            path,
            &format!(
                "table {name} has {} rows; a box of {box_size} pixels needs {}. Restore the file, or continue from an earlier iteration",
                spectra.len(),
                box_size / 2 + 1
            ),
        );
    }
    let map_path = locate(
        table.text(k, "rlnReferenceImage")?,
        path,
        "reference",
        notices,
    )?;
    let dimensions = match document
        .require("model_general")?
        .integer(0, "rlnReferenceDimensionality")?
    {
        2 => Dimensions::Two,
        _ => Dimensions::Three,
    };
    let padding = document
        .require("model_general")?
        .real(0, "rlnPaddingFactor")?;
    let shape = VolumeShape::new(dimensions, box_size, padding, 0);
    let map = read_reference_if(&map_path, &|size| map_checks::size(size, box_size))?;
    let advice = "Restore it, or continue from an earlier iteration";
    map_checks::finite(&map_path, &map.data, "reference", advice)?;
    let map = map.data.mapv(f64::from);
    if map.dim() != (dimensions.sections(box_size), box_size, box_size) {
        return refuse(
            Code::RUN_FILES_DIFFER,
            &map_path,
            &format!(
                "the reference has {:?} voxels (z, y, x), but its model file {} says a box of {box_size}. Restore it, or continue from an earlier iteration",
                map.shape(),
                path.display()
            ),
        );
    }
    let orientability = "rlnSpectralOrientabilityContribution";
    Ok(ClassModel {
        map,
        fraction: table.real(k, "rlnClassDistribution")?,
        tau2: spectra.real_column("rlnReferenceTau2")?,
        sigma2: spectra.real_column("rlnReferenceSigma2")?,
        ssnr: spectra.real_column("rlnSsnrMap")?,
        coverage: column_or_zero(spectra, "rlnFourierCompleteness")?,
        fsc: column_or_zero(spectra, "rlnGoldStandardFsc")?,
        orientability: spectra
            .has(orientability)
            .then(|| spectra.real_column(orientability))
            .transpose()?,
        direction_prior: match dimensions {
            Dimensions::Two => vec![class_prior(document, k, path)?],
            Dimensions::Three => direction_priors(document, k + 1, path)?,
        },
        offset_prior: match table.has("rlnClassPriorOffsetX") {
            true => [
                table.real(k, "rlnClassPriorOffsetX")?,
                table.real(k, "rlnClassPriorOffsetY")?,
            ],
            false => [0.0; 2],
        },
        accuracy_rotations: table.real(k, "rlnAccuracyRotations")?,
        accuracy_translations: angstrom(table, k, "rlnAccuracyTranslations", pixel_size)?,
        moments: moments(table, k, path, shape, notices)?,
    })
}

/// Moments of class `k` (from 0) of a gradient run.
fn moments(
    table: &Table,
    k: usize,
    path: &Path,
    shape: VolumeShape,
    notices: &mut Vec<String>,
) -> Result<Option<Moments>, ResumeError> {
    if !table.has("rlnGradMoment1") {
        return Ok(None);
    }
    let recorded = [
        table.text(k, "rlnGradMoment1")?,
        table.text(k, "rlnGradMoment2")?,
    ];
    let find = |name: &str| locate(name, path, "moments", notices);
    moment_files::read(recorded, table.len(), shape, find).map(Some)
}

/// Priors of the directions of a class, with all their digits in our files.
fn direction_priors(
    document: &Document,
    class: usize,
    path: &Path,
) -> Result<Vec<f64>, ResumeError> {
    let rounded = document
        .require(&format!("model_pdf_orient_class_{class}"))?
        .real_column("rlnOrientationDistribution")?;
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

fn column_or_zero(table: &Table, label: &str) -> Result<Vec<f64>, StarError> {
    if table.has(label) {
        table.real_column(label)
    } else {
        Ok(vec![0.0; table.len()])
    }
}

/// One spectrum an optics group. Files up to RELION 3.0 have one a micrograph group: their mean over particles is taken.
fn noise_spectra(
    document: &Document,
    path: &Path,
    general: &Table,
    box_size: usize,
    optics_groups: usize,
    notices: &mut Vec<String>,
) -> Result<Vec<Vec<f64>>, ResumeError> {
    if general.has("rlnNrOpticsGroups") {
        let written = general.integer(0, "rlnNrOpticsGroups")?;
        if written != optics_groups as i64 {
            return refuse(
                Code::RUN_FILES_DIFFER,
                path,
                &format!(
                    "the model has {written} optics groups but the particle table {optics_groups}: \
                     these files do not belong together. Restore them, or continue from an earlier iteration"
                ),
            );
        }
    }
    if document.table("model_group_1").is_none() {
        return (1..=optics_groups)
            .map(|g| {
                let name = format!("model_optics_group_{g}");
                match document.table(&name) {
                    Some(table) => noise_spectrum(table, path, box_size),
                    None => Ok(vec![0.0; box_size / 2 + 1]),
                }
            })
            .collect();
    }
    notices.push(format!(
        "{}: noise spectra are given per micrograph group; using their mean for every optics group",
        path.display()
    ));
    let groups = document.require("model_groups")?;
    let mut mean = vec![0.0; box_size / 2 + 1];
    let mut particles = 0.0;
    for row in 0..groups.len() {
        let Some(table) = document.table(&format!("model_group_{}", row + 1)) else {
            continue;
        };
        let weight = groups.real(row, "rlnGroupNrParticles")?;
        particles += weight;
        for (sum, power) in mean.iter_mut().zip(noise_spectrum(table, path, box_size)?) {
            *sum += weight * power;
        }
    }
    if particles > 0.0 {
        mean.iter_mut().for_each(|power| *power /= particles);
    }
    Ok(vec![mean; optics_groups])
}

/// Shells that are not listed have no power.
fn noise_spectrum(table: &Table, path: &Path, box_size: usize) -> Result<Vec<f64>, ResumeError> {
    let mut spectrum = vec![0.0; box_size / 2 + 1];
    for row in 0..table.len() {
        let shell = table.integer(row, "rlnSpectralIndex")?;
        match usize::try_from(shell)
            .ok()
            .and_then(|s| spectrum.get_mut(s))
        {
            Some(power) => *power = table.real(row, "rlnSigma2Noise")?,
            None => {
                return refuse(
                    Code::RUN_FILES_DIFFER,
                    path,
                    &format!(
                        "table {} lists shell {shell}; a box of {box_size} pixels ends at {}",
                        table.name(),
                        box_size / 2
                    ),
                );
            }
        }
    }
    Ok(spectrum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_resolutions_return_to_their_shell() {
        assert_eq!(frequency(14.222222, 256.0), 18.0 / 256.0);
        assert_eq!(frequency(f64::INFINITY, 256.0), 0.0);
    }
}
