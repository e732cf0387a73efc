//! A soft mask from a map, or a spherical shell from nothing, as `relion_mask_create` makes them (spec 02 §7.3, 06 §10).

mod distance;
mod steps;

pub(super) use steps::{extend, soften};

pub use steps::Logic;

use super::density::{other_pixel_size, read_cube};
use crate::errors::{Code, Message, wrapping_error};
use crate::formats::angstrom::Angstrom;
use crate::formats::mrc::{Map, MrcError, write_map};
use crate::formats::replace::check_map_output;
use crate::fourier::masks::low_pass;
use crate::fourier::shells::round;
use crate::model::map_checks;
use ndarray::Array3;
use std::path::{Path, PathBuf};

wrapping_error! {
    /// Error of making a mask: on which file, why, what to try.
    pub enum MaskError {
        /// A map.
        Map(MrcError),
    }
}

/// Where the mask comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// `--i`: a map, binarised at a threshold.
    Map {
        /// The map.
        map: PathBuf,
        /// Another map, and how both are combined.
        second: Option<(Logic, PathBuf)>,
        /// `--ini_threshold`.
        threshold: f64,
        /// `--lowpass`, Å.
        low_pass: Option<f64>,
    },
    /// `--denovo`: a spherical shell.
    Shell {
        /// `--box_size`, voxels.
        box_size: usize,
        /// `--inner_radius`, `--outer_radius`, voxels.
        radii: [f64; 2],
        /// `--center_x`, `_y`, `_z`, voxels from the box centre.
        centre: [f64; 3],
    },
}

/// Options, named after those of `relion_mask_create`.
#[derive(Debug, Clone, PartialEq)]
pub struct MaskSettings {
    /// Map or shell.
    pub origin: Origin,
    /// `--o`.
    pub output: PathBuf,
    /// `--angpix`, Å; by default that of the header.
    pub pixel_size: Option<f64>,
    /// `--extend_inimask`, voxels; negative shrinks.
    pub extend: f64,
    /// `--width_soft_edge`, voxels.
    pub soft_edge: f64,
    /// `--helix` with `--z_percentage`: central share of the box along z that is kept.
    pub helix: Option<f64>,
    /// `--invert`.
    pub invert: bool,
}

/// Share of a box that no particle fills.
const MOST_INSIDE: f64 = 0.9;

/// Results of making a mask.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// Values from 0 to 1.
    pub mask: Array3<f64>,
    /// For the user.
    pub warnings: Vec<String>,
}

impl Made {
    /// Returns the share of voxels above 0.5.
    pub fn covered(&self) -> f64 {
        covered(&self.mask)
    }
}

fn covered(mask: &Array3<f64>) -> f64 {
    mask.iter().filter(|v| **v > 0.5).count() as f64 / mask.len() as f64
}

/// Makes the mask and writes it.
///
/// # Errors
/// A map cannot be read, maps have different boxes, an option is out of range, or the file cannot be written.
pub fn run(settings: &MaskSettings) -> Result<Made, MaskError> {
    let mut warnings = Vec::new();
    check(settings)?;
    match &settings.origin {
        Origin::Map { map, second, .. } => {
            let second = second.as_ref().map(|(_, map)| map.as_path());
            let inputs: Vec<&Path> = second.into_iter().chain([map.as_path()]).collect();
            check_map_output(&inputs, &settings.output)?;
        }
        Origin::Shell { box_size, .. } => {
            check_map_output(&[], &settings.output)?;
            map_checks::fits([*box_size; 3])?;
        }
    }
    let (mut mask, pixel_size) = match &settings.origin {
        Origin::Map { map, .. } => from_map(settings, map, &mut warnings)?,
        Origin::Shell {
            box_size,
            radii,
            centre,
        } => {
            let pixel_size = settings.pixel_size.unwrap_or_else(|| {
                warnings.push("no --angpix is given: the mask says 1 Å per voxel".into());
                1.0
            });
            let shell = steps::shell(*box_size, *radii, *centre, settings.soft_edge);
            (shell, pixel_size)
        }
    };
    if let Some(share) = settings.helix {
        steps::cut_helix(&mut mask, share, settings.soft_edge);
    }
    if settings.invert {
        mask.mapv_inplace(|v| 1.0 - v);
    }
    if !mask.iter().any(|v| *v > 0.0) {
        return Err(Code::MAP_VALUES.says(empty(settings)).into());
    }
    let lowest = mask.iter().copied().fold(1.0, f64::min);
    if lowest == 1.0 {
        warnings.push(
            "the mask is 1 everywhere, so it masks nothing; is the threshold too low?".into(),
        );
    } else if lowest > 0.5 {
        warnings.push(format!(
            "the mask is nowhere below {lowest:.2}, so it masks next to nothing; is its soft edge (--width_soft_edge) too wide?"
        ));
    } else if !settings.invert && matches!(settings.origin, Origin::Map { .. }) {
        let inside = covered(&mask);
        if inside > MOST_INSIDE {
            warnings.push(format!(
                "the mask covers {:.0} % of the box, more than any particle does; is the threshold too low?",
                100.0 * inside
            ));
        }
    }
    write_map(&settings.output, mask.mapv(|v| v as f32).view(), pixel_size)?;
    Ok(Made { mask, warnings })
}

/// Says why no voxel is left.
fn empty(settings: &MaskSettings) -> String {
    match &settings.origin {
        Origin::Map { map, threshold, .. } => format!(
            "{}: the mask is empty: no voxel is left at the threshold {threshold} (--ini_threshold) with these options; give a \
             lower threshold, or a smaller shrinkage (--extend_inimask)",
            map.display()
        ),
        Origin::Shell { .. } => {
            "the mask is empty: no voxel lies between --inner_radius and --outer_radius; give other radii, or another centre"
                .into()
        }
    }
}

/// Refuses options out of range.
fn check(settings: &MaskSettings) -> Result<(), Message> {
    if let Some(share) = settings.helix {
        if !(0.1..=0.9).contains(&share) {
            return Err(Code::BAD_VALUE.says(format!(
                "--z_percentage {share}: the share of the helix along z must be between 0.1 and 0.9"
            )));
        }
        if settings.soft_edge < 0.001 {
            return Err(Code::BAD_VALUE.says(
                "--helix needs soft ends, but --width_soft_edge is 0; give a width of some voxels",
            ));
        }
    }
    if let Origin::Shell {
        box_size, radii, ..
    } = &settings.origin
        && (*box_size < 2 || box_size % 2 == 1 || radii[0] > radii[1])
    {
        return Err(Code::BAD_VALUE.says(format!(
            "--denovo needs an even --box_size (got {box_size}) and an --outer_radius (got {}) that is not below --inner_radius \
             (got {})",
            radii[1], radii[0]
        )));
    }
    Ok(())
}

/// Returns the soft mask of a map, and its pixel size (spec 02 §7.3 steps 1–5).
fn from_map(
    settings: &MaskSettings,
    path: &Path,
    warnings: &mut Vec<String>,
) -> Result<(Array3<f64>, f64), MaskError> {
    let Origin::Map {
        second,
        threshold,
        low_pass: limit,
        ..
    } = &settings.origin
    else {
        return Err(Code::INTERNAL.says("a shell is not made from a map").into());
    };
    let read = read_cube(path, "map")?;
    let pixel_size = pixel_size(settings, path, &read, warnings)?;
    let mut map = read.data.mapv(f64::from);
    if let Some(limit) = limit {
        // The middle of the edge is a whole shell, as in post-processing (spec 02 §7.1 step 8).
        let extent = map.dim().0 as f64 * pixel_size;
        let shell = round(extent / limit).max(1) as f64;
        map = low_pass(&map, pixel_size, extent / shell);
    }
    if let Some((logic, other)) = second {
        let other_map = read_cube(other, "map")?.data.mapv(f64::from);
        if other_map.dim() != map.dim() {
            return Err(Code::MAPS_DIFFER
                .says(format!(
                    "{} has {} voxels a side, but {} has {}; crop, pad or resample one of them",
                    path.display(),
                    map.dim().0,
                    other.display(),
                    other_map.dim().0
                ))
                .into());
        }
        logic.combine(&mut map, &other_map, *threshold);
    }
    let binary = map.mapv(|v| v >= *threshold);
    let extended = steps::extend(&binary, settings.extend);
    Ok((steps::soften(&extended, settings.soft_edge), pixel_size))
}

fn pixel_size(
    settings: &MaskSettings,
    path: &Path,
    map: &Map,
    warnings: &mut Vec<String>,
) -> Result<f64, MaskError> {
    if let Some(given) = settings.pixel_size {
        warnings.extend(other_pixel_size(path, map, given));
        return Ok(given);
    }
    let found = map.pixel_size.ok_or_else(|| {
        Code::MAP_PIXEL_SIZE.says(format!(
            "{}: the header names no pixel size; give --angpix",
            path.display()
        ))
    })?;
    warnings.push(format!(
        "pixel size {} Å taken from the header of {}",
        Angstrom(found),
        path.display()
    ));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errors::Coded;
    use crate::formats::volume::read_map;

    fn settings(map: PathBuf, output: PathBuf) -> MaskSettings {
        MaskSettings {
            origin: Origin::Map {
                map,
                second: None,
                threshold: 0.15,
                low_pass: Some(15.0),
            },
            output,
            pixel_size: Some(4.0),
            extend: 2.5,
            soft_edge: 4.0,
            helix: None,
            invert: false,
        }
    }

    fn worst(a: &Array3<f64>, b: &Path) -> f64 {
        let b = read_map(b).unwrap().data;
        let differences = a.iter().zip(&b).map(|(a, b)| (a - f64::from(*b)).abs());
        differences.fold(0.0, f64::max)
    }

    /// Masks that RELION 5.0.1 made of the same maps, with and without a low-pass filter.
    #[test]
    fn agrees_with_the_reference_masks() {
        let (Some(run4), Some(more)) = (material::golden("refine3d_c4"), material::golden("more"))
        else {
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("mask.mrc");
        let large = settings(run4.join("run_class001.mrc"), output.clone());
        let made = run(&large).unwrap();
        let found = worst(&made.mask, &more.join("post/mask.mrc.gz"));
        assert!(found < 1e-4, "{found}");
        let written = read_map(&output).unwrap();
        assert_eq!(written.pixel_size, Some(4.0));
        let mut small = settings(more.join("input/ref32.mrc"), output);
        small.origin = Origin::Map {
            map: more.join("input/ref32.mrc"),
            second: None,
            threshold: 0.02,
            low_pass: None,
        };
        (small.extend, small.soft_edge, small.pixel_size) = (1.5, 3.0, None);
        let made = run(&small).unwrap();
        let found = worst(&made.mask, &more.join("post/mask32.mrc.gz"));
        assert!(found < 1e-4, "{found}");
        assert!(made.warnings[0].contains("taken from the header"));
    }

    #[test]
    fn an_empty_mask_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let map = folder.path().join("map.mrc");
        let flat = Array3::from_shape_fn((8, 8, 8), |(z, _, _)| z as f32 * 0.01);
        write_map(&map, flat.view(), 2.0).unwrap();
        let mut high = settings(map, folder.path().join("mask.mrc"));
        high.origin = match high.origin {
            Origin::Map { map, .. } => Origin::Map {
                map,
                second: None,
                threshold: 5.0,
                low_pass: None,
            },
            shell => shell,
        };
        let error = run(&high).unwrap_err();
        assert_eq!(error.code(), Code::MAP_VALUES);
        assert!(error.to_string().contains("--ini_threshold"), "{error}");
        assert!(!folder.path().join("mask.mrc").exists());
    }

    #[test]
    fn a_helix_needs_soft_ends() {
        let mut helix = settings("map.mrc".into(), "mask.mrc".into());
        (helix.helix, helix.soft_edge) = (Some(0.3), 0.0);
        assert!(run(&helix).unwrap_err().to_string().contains("soft"));
        (helix.helix, helix.soft_edge) = (Some(0.95), 3.0);
        assert!(run(&helix).unwrap_err().to_string().contains("0.9"));
    }
}
