//! FSC of two maps in figures a reader looks for: crossings and mean.

use super::density::{read_density, read_mask};
use crate::errors::{Code, wrapping_error};
use crate::formats::angstrom::Angstrom;
use crate::formats::mrc::{Map, MrcError};
use crate::maximization::{MaximizationError, map_fsc::map_fsc};
use ndarray::Array3;
use std::fmt;
use std::path::Path;

wrapping_error! {
    /// Error of a comparison: on which file, why, what to try.
    pub enum FscError {
        /// A map cannot be read.
        Map(MrcError),
        /// Maps that cannot be compared.
        Shapes(MaximizationError),
    }
}

/// FSC of two maps.
#[derive(Debug, Clone, PartialEq)]
pub struct MapComparison {
    /// FSC per shell 0…N/2; 0 in shells where a map is empty.
    pub curve: Vec<f64>,
    /// Resolution (Å) at FSC 0.5; infinite where the FSC is below from the first shell on.
    pub at_half: f64,
    /// Resolution (Å) at FSC 0.143, likewise.
    pub at_0143: f64,
    /// Mean over the shells 1…N/2.
    pub mean: f64,
    /// Warning about the mask, for the user.
    pub warnings: Vec<String>,
}

impl MapComparison {
    /// Figures of a curve for maps of `box_size` voxels of `pixel_size` Å.
    pub fn of_curve(curve: Vec<f64>, box_size: usize, pixel_size: f64) -> Self {
        let at = |threshold| crossing(&curve, threshold, box_size, pixel_size);
        Self {
            at_half: at(0.5),
            at_0143: at(0.143),
            mean: curve[1..].iter().sum::<f64>() / (curve.len() - 1) as f64,
            curve,
            warnings: Vec::new(),
        }
    }
}

impl fmt::Display for MapComparison {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let resolution = |angstrom: f64| match angstrom.is_finite() {
            true => format!("{angstrom:.2} A"),
            false => "none".to_owned(),
        };
        write!(
            f,
            "FSC0.5 {}  FSC0.143 {}  mean {:.3}",
            resolution(self.at_half),
            resolution(self.at_0143),
            self.mean
        )
    }
}

/// Mean FSC below which one of two maps is the negative of what the other shows.
const INVERTED: f64 = -0.3;

/// Returns a warning about maps of opposite contrast.
fn opposite_contrast(found: &MapComparison) -> Option<String> {
    (found.mean < INVERTED).then(|| {
        format!(
            "the mean of the FSC is {:.3}: one map has the contrast of the other inverted, density in one being a hole in the \
             other. Multiply one of them by -1.",
            found.mean
        )
    })
}

/// Compare two maps in memory, both multiplied by `mask` first where one is given.
pub fn compare_maps(
    a: &Array3<f64>,
    b: &Array3<f64>,
    mask: Option<&Array3<f64>>,
    pixel_size: f64,
) -> Result<MapComparison, FscError> {
    if a.dim() != b.dim() || mask.is_some_and(|m| m.dim() != a.dim()) {
        return Err(Code::MAPS_DIFFER
            .says("the maps (and the mask) must have the same box; resample one of them")
            .into());
    }
    let mut curve = match mask {
        Some(mask) => map_fsc(&(a * mask), &(b * mask))?,
        None => map_fsc(a, b)?,
    };
    for value in curve.iter_mut().filter(|v| v.is_nan()) {
        *value = 0.0;
    }
    Ok(MapComparison::of_curve(curve, a.dim().0, pixel_size))
}

/// Compare two map files; the pixel size is that of the first (of the second where the first names none).
pub fn compare_files(a: &Path, b: &Path, mask: Option<&Path>) -> Result<MapComparison, FscError> {
    let (map_a, map_b) = (read_density(a)?, read_density(b)?);
    let mut masked = mask.map(read_mask).transpose()?;
    let boxes = [
        Some((a, &map_a)),
        Some((b, &map_b)),
        mask.zip(masked.as_ref().map(|masked| &masked.map)),
    ];
    same_boxes(boxes.into_iter().flatten())?;
    let pixel_size = pixel_size_of_both((a, &map_a), (b, &map_b))?;
    let wide = |m: &Map| m.data.mapv(f64::from);
    let (map_a, map_b) = (wide(&map_a), wide(&map_b));
    if let (Some(path), Some(masked)) = (mask, &mut masked) {
        masked.compare_with(path, &map_a, Some(pixel_size));
    }
    let mask_map = masked.as_ref().map(|masked| wide(&masked.map));
    let mut found = compare_maps(&map_a, &map_b, mask_map.as_ref(), pixel_size)?;
    found.warnings = masked.map_or_else(Vec::new, |masked| masked.warnings);
    found.warnings.extend(opposite_contrast(&found));
    Ok(found)
}

/// Returns the pixel size (Å) of two maps to be compared: that of the first, or of the second where the first names none.
///
/// # Errors
/// Boxes or pixel sizes differ, or neither map names its pixel size.
pub(super) fn common_pixel_size(a: (&Path, &Map), b: (&Path, &Map)) -> Result<f64, FscError> {
    same_boxes([a, b].into_iter())?;
    pixel_size_of_both(a, b)
}

/// Returns the pixel size of two maps, Å: that of the first, or of the second where the first names none.
pub(super) fn pixel_size_of_both(
    (a, map_a): (&Path, &Map),
    (b, map_b): (&Path, &Map),
) -> Result<f64, FscError> {
    let pixel_size = map_a.pixel_size.or(map_b.pixel_size).ok_or_else(|| {
        Code::MAP_PIXEL_SIZE.says(format!(
            "{} and {}: neither map names its pixel size; set the cell of one of them",
            a.display(),
            b.display()
        ))
    })?;
    if let (Some(p), Some(q)) = (map_a.pixel_size, map_b.pixel_size)
        && (p / q - 1.0).abs() > 1e-3
    {
        return Err(Code::MAPS_DIFFER
            .says(format!(
                "{}: {} Å per voxel, {}: {} Å per voxel; resample one of them",
                a.display(),
                Angstrom(p),
                b.display(),
                Angstrom(q)
            ))
            .into());
    }
    Ok(pixel_size)
}

/// Refuse maps that have another box than the first.
pub(super) fn same_boxes<'a>(
    mut maps: impl Iterator<Item = (&'a Path, &'a Map)>,
) -> Result<(), FscError> {
    let size = |map: &Map| {
        let (z, y, x) = map.data.dim();
        format!("{x} × {y} × {z} voxels")
    };
    let Some((first, reference)) = maps.next() else {
        return Ok(());
    };
    match maps.find(|(_, map)| map.data.dim() != reference.data.dim()) {
        None => Ok(()),
        Some((other, map)) => Err(Code::MAPS_DIFFER
            .says(format!(
                "{} has {}, but {} has {}; crop, pad or resample one of them",
                first.display(),
                size(reference),
                other.display(),
                size(map)
            ))
            .into()),
    }
}

/// Resolution (Å) where the curve first falls below `threshold`, linearly between shells; twice the pixel size when
/// it never does, and infinite when it does so in the first shell: the maps have nothing in common.
pub fn crossing(curve: &[f64], threshold: f64, box_size: usize, pixel_size: f64) -> f64 {
    match (1..curve.len()).find(|&i| curve[i] < threshold) {
        None => 2.0 * pixel_size,
        Some(1) => f64::INFINITY,
        Some(i) => {
            let step = (curve[i - 1] - threshold) / (curve[i - 1] - curve[i] + 1e-12);
            box_size as f64 * pixel_size / ((i - 1) as f64 + step)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crossing_interpolates_between_shells() {
        let curve = [1.0, 1.0, 0.9, 0.6, 0.4, 0.1];
        // half-way between shells 3 and 4 of a 10 × 2 Å box
        assert!((crossing(&curve, 0.5, 10, 2.0) - 20.0 / 3.5).abs() < 1e-9);
        assert_eq!(crossing(&[1.0, 1.0, 0.8], 0.5, 4, 3.0), 6.0);
        assert_eq!(crossing(&[-1.0, -1.0, -1.0], 0.5, 4, 3.0), f64::INFINITY);
        let nothing = MapComparison::of_curve(vec![1.0, 0.3, -0.2], 4, 3.0);
        assert_eq!(
            nothing.to_string(),
            "FSC0.5 none  FSC0.143 6.00 A  mean 0.050"
                .replace("6.00", &format!("{:.2}", nothing.at_0143))
        );
    }

    #[test]
    fn maps_of_different_boxes_are_refused() {
        let (a, b) = (Array3::zeros((4, 4, 4)), Array3::zeros((6, 6, 6)));
        let text = compare_maps(&a, &b, None, 1.0).unwrap_err().to_string();
        assert!(text.contains("same box"), "{text}");
    }

    /// A mask that keeps only what two maps share brings their FSC up.
    #[test]
    fn mask_is_applied_to_both_maps() {
        let n = 16;
        let noise = |seed: usize, z: usize, y: usize, x: usize| {
            (((z * 31 + y * 17 + x * 7 + seed) * 2654435761) % 1000) as f64 / 1000.0 - 0.5
        };
        let inside = |z: usize, y: usize, x: usize| [z, y, x].iter().all(|v| (4..12).contains(v));
        let map = |seed: usize| {
            Array3::from_shape_fn((n, n, n), |(z, y, x)| {
                noise(if inside(z, y, x) { 0 } else { seed }, z, y, x)
            })
        };
        let mask =
            Array3::from_shape_fn((n, n, n), |(z, y, x)| f64::from(u8::from(inside(z, y, x))));
        let free = compare_maps(&map(5), &map(9), None, 1.0).unwrap();
        let masked = compare_maps(&map(5), &map(9), Some(&mask), 1.0).unwrap();
        assert!((masked.mean - 1.0).abs() < 1e-9, "{}", masked.mean);
        assert!(free.mean < 0.9, "{}", free.mean);
    }

    /// Figures that an independent program (numpy) finds for the reference run's final map against its truth.
    #[test]
    fn agrees_with_an_independent_program_on_the_reference_run() {
        let Some(golden) = material::shared("golden") else {
            return;
        };
        let a = golden.join("refine3d_c4/run_class001.mrc");
        let b = golden.join("input/trpv1_mini_truth1.mrc");
        let found = compare_files(&a, &b, None).unwrap();
        assert_eq!(
            found.to_string(),
            "FSC0.5 9.53 A  FSC0.143 8.04 A  mean 0.777"
        );
        for (shell, expected) in [
            (1, 1.000),
            (10, 0.968),
            (16, 0.818),
            (27, 0.485),
            (32, 0.114),
        ] {
            assert!(
                (found.curve[shell] - expected).abs() < 6e-4,
                "shell {shell}"
            );
        }
    }
}
