//! The judgement of masks, the same for refinement and for all tools: values, inside, place in the box, what they cover, pixel size.

use super::map_checks::{LEAST_POWER, centre, range, spread};
use crate::errors::{Code, Message};
use crate::formats::angstrom::Angstrom;
use ndarray::Array3;
use std::path::Path;

/// A mask whose largest value lies below this is scaled wrongly.
const LOWEST_MAXIMUM: f32 = 0.9;
/// Masks may leave [0, 1] by as much as this.
const ROUNDING: f32 = 1e-6;
/// Values of masks that were resampled lie within, and are clipped; beyond, a mask has another scale.
const POSSIBLE: [f32; 2] = [-1.0, 2.0];
/// A mask with fewer voxels above one half than this has no inside to speak of: a ball of a radius of 2 voxels has 33.
const FEWEST_INSIDE: usize = 30;
/// Pixel sizes of headers that differ by less than this share are the same.
const SAME_PIXELS: f64 = 0.01;
/// Pixel size (Å) in the headers of programs that do not know it.
const UNKNOWN: f64 = 1.0;

/// Returns the values of a mask between 0 and 1, whether any had to be clipped, and warnings.
///
/// # Errors
/// Values that are not finite or far from 0 to 1, masks without any value above 0, and masks of unsigned bytes that are stored as
/// signed ones (0 as −128, or 255 as −1), which are named.
pub fn mask(
    path: &Path,
    mut mask: Array3<f64>,
) -> Result<(Array3<f64>, bool, Vec<String>), Message> {
    let at = path.display();
    if let Some(((z, y, x), value)) = mask.indexed_iter().find(|(_, v)| !v.is_finite()) {
        return Err(Code::MAP_VALUES.says(format!(
            "{at}: voxel ({x}, {y}, {z}) of the mask is {value}, which is not a number that a map can be multiplied by. \
             Look at the mask, and make it again."
        )));
    }
    let (low, high) = range(&mask);
    // Values are single precision, and printed as such.
    let [low, high] = [low as f32 + 0.0, high as f32 + 0.0];
    let signed = "it looks like a mask of unsigned bytes that are stored as signed ones (128 subtracted, or 255 as −1): convert \
                  it to 32-bit floats (mode 2) with values from 0 to 1";
    let are_bytes = (-128.0..0.0).contains(&low) && mask.iter().all(|v| v.fract() == 0.0);
    if high <= 0.0 {
        let reason = match are_bytes {
            true => signed,
            false => "make it again, for example with relion_mask_create",
        };
        return Err(Code::EMPTY_MASK.says(format!(
            "{at}: no voxel of the mask is above 0 (its values go from {low} to {high}), so nothing would be left of the \
             map. {}{}.",
            reason[..1].to_uppercase(),
            &reason[1..]
        )));
    }
    if are_bytes && low == -128.0 {
        return Err(Code::MAP_VALUES.says(format!(
            "{at}: the values of the mask are whole numbers from {low} to {high}: {signed}."
        )));
    }
    let possible = POSSIBLE[0]..=POSSIBLE[1];
    if !(possible.contains(&low) && possible.contains(&high)) {
        // Tails of a Gaussian are long numbers.
        let low = if low.abs() < ROUNDING { 0.0 } else { low };
        return Err(Code::MAP_VALUES.says(format!(
            "{at}: the values of the mask go from {low} to {high}, but masks go from 0 to 1. Divide the mask by its largest value (255 in \
             one of bytes), or make it again, for example with relion_mask_create."
        )));
    }
    let mut warnings = Vec::new();
    if high < LOWEST_MAXIMUM {
        warnings.push(format!(
            "{at}: the largest value of the mask is {high}, not 1, and maps are multiplied by it. Divide the mask by its \
             maximum."
        ));
    }
    mask.mapv_inplace(|v| v.clamp(0.0, 1.0));
    let clipped = low < -ROUNDING || high > 1.0 + ROUNDING;
    if clipped {
        warnings.push(format!(
            "{at}: the mask has values outside [0, 1] (from {low} to {high}): they were clipped."
        ));
    }
    Ok((mask, clipped, warnings))
}

/// Returns a warning where `mask` leaves next to nothing of the power of `map`, a map of the same box that is `what`.
pub fn cover(path: &Path, mask: &Array3<f64>, map: &Array3<f64>, what: &str) -> Option<String> {
    let mean = map.mean().unwrap_or(0.0);
    // A mask of another scale has its own warning.
    let largest = mask.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let (mut inside, mut all) = (0.0, 0.0);
    for (m, v) in mask.iter().zip(map) {
        let power = (v - mean).powi(2);
        inside += (m / largest).powi(2) * power;
        all += power;
    }
    let share = inside / all;
    (share < LEAST_POWER).then(|| {
        format!(
            "{}: the mask leaves {:.1} % of the power of the {what}, so nearly all of the map is removed. Is it centred as \
             the {what} is, and is the pixel size in its header right?",
            path.display(),
            100.0 * share
        )
    })
}

/// Returns a warning about a mask of a `map` of the same box that is `what`: one that leaves next to nothing of it, or has no inside.
pub fn region(path: &Path, mask: &Array3<f64>, map: &Array3<f64>, what: &str) -> Option<String> {
    match cover(path, mask, map, what) {
        // A mask of a part of the particle may lie far from the centre; one beside the particle may not.
        Some(uncovered) => Some(centre(path, "mask", mask).unwrap_or(uncovered)),
        None => inside(path, mask),
    }
}

/// Returns a warning about a mask that may cover any part of the map, where it has next to no inside or lies at the corners
/// of its box.
pub fn inside(path: &Path, mask: &Array3<f64>) -> Option<String> {
    let voxels = mask.iter().filter(|&&v| v > 0.5).count();
    if voxels < FEWEST_INSIDE {
        return Some(format!(
            "{}: the number of voxels of the mask above 0.5 is only {voxels}. Is the pixel size in \
             its header right?",
            path.display()
        ));
    }
    spread(mask, 0.0)?.at_corners(path, "mask")
}

/// Returns a warning about a mask that is used voxel by voxel though the pixel size in its header is not that of the maps (Å).
pub fn other_pixels(path: &Path, own: Option<f64>, maps: Option<f64>) -> Option<String> {
    let known = |size: &f64| *size > 0.0 && *size != UNKNOWN;
    let (own, maps) = (own.filter(known)?, maps.filter(known)?);
    ((own - maps).abs() > SAME_PIXELS * maps).then(|| {
        format!(
            "{}: the mask has pixels of {} Å, the maps {} Å, and it is used voxel by voxel. Was it made from another map? Make it from \
             one of these, or correct its header.",
            path.display(),
            Angstrom(own),
            Angstrom(maps)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::map_checks::tests::{ball, path};
    use super::*;

    #[test]
    fn masks_that_cannot_be_right_are_refused() {
        let inside = ball([8.0; 3], 4.0);
        let refused = |mask: Array3<f64>| super::mask(path(), mask).unwrap_err();
        assert_eq!(refused(Array3::zeros((4, 4, 4))).code, Code::EMPTY_MASK);
        let signed = refused(&inside - 128.0);
        assert_eq!(signed.code, Code::EMPTY_MASK);
        assert!(signed.to_string().contains("unsigned bytes"), "{signed}");
        for value in [f64::NAN, f64::INFINITY] {
            let mut spoilt = inside.clone();
            spoilt[[1, 2, 3]] = value;
            let error = refused(spoilt);
            assert_eq!(error.code, Code::MAP_VALUES);
            assert!(error.to_string().contains("voxel (3, 2, 1)"), "{error}");
        }
    }

    /// Unsigned bytes as signed ones: with 128 subtracted, hard or soft, and with 255 as −1.
    #[test]
    fn masks_of_signed_bytes_are_named() {
        let inside = ball([8.0; 3], 4.0);
        let soft = Array3::from_shape_fn((16, 16, 16), |(z, _, _)| 17.0 * z as f64 - 128.0);
        for (signed, code) in [
            (&inside - 128.0, Code::EMPTY_MASK),
            (&inside * 255.0 - 128.0, Code::MAP_VALUES),
            (soft, Code::MAP_VALUES),
            (-&inside, Code::EMPTY_MASK),
        ] {
            let error = super::mask(path(), signed).unwrap_err();
            assert_eq!(error.code, code);
            assert!(error.to_string().contains("unsigned bytes"), "{error}");
        }
    }

    #[test]
    fn a_mask_of_any_part_has_an_inside_and_an_origin_in_the_middle() {
        assert_eq!(inside(path(), &ball([12.0, 8.0, 8.0], 2.0)), None);
        let dot = inside(path(), &ball([8.0; 3], 1.0)).unwrap();
        assert!(dot.contains("above 0.5 is only 7."), "{dot}");
        let corner = inside(path(), &ball([0.0; 3], 3.0)).unwrap();
        assert!(corner.contains("at a corner"), "{corner}");
    }

    #[test]
    fn a_mask_with_a_wrong_scale_is_told_and_one_outside_its_range_is_clipped() {
        let inside = ball([8.0; 3], 4.0);
        let (kept, clipped, warnings) = mask(path(), inside.clone()).unwrap();
        assert!(kept == inside && !clipped && warnings.is_empty());
        let (_, clipped, warnings) = mask(path(), &inside * 0.001).unwrap();
        assert!(
            !clipped && warnings[0].contains("is 0.001, not 1"),
            "{warnings:?}"
        );
        let (kept, clipped, warnings) = mask(path(), &inside * 3.0 - 1.0).unwrap();
        assert!(
            clipped && warnings[0].contains("from -1 to 2"),
            "{warnings:?}"
        );
        assert_eq!(kept, inside);
    }

    #[test]
    fn a_mask_must_cover_the_reference() {
        let reference = ball([8.0; 3], 5.0);
        let cover = |mask: &Array3<f64>| super::cover(path(), mask, &reference, "reference");
        assert_eq!(cover(&ball([8.0; 3], 5.0)), None);
        assert_eq!(cover(&ball([8.0; 3], 3.0)), None);
        assert_eq!(cover(&(ball([8.0; 3], 3.0) * 0.001)), None);
        let beside = cover(&ball([1.0; 3], 2.0)).unwrap();
        assert!(beside.contains("% of the power"), "{beside}");
    }

    #[test]
    fn a_mask_of_another_scale_is_refused() {
        let inside = ball([8.0; 3], 4.0);
        for wrong in [&inside * 255.0, &inside * 2.5, &inside * 10.0 - 5.0] {
            let error = mask(path(), wrong).unwrap_err();
            assert_eq!(error.code, Code::MAP_VALUES);
            assert!(
                error.to_string().contains("masks go from 0 to 1"),
                "{error}"
            );
        }
        // There is no minus sign before a 0.
        let error = mask(path(), &inside * -0.0).unwrap_err();
        assert!(error.to_string().contains("from 0 to 0"), "{error}");
    }

    #[test]
    fn a_dot_is_told_whatever_it_covers() {
        let (dot, particle) = (ball([8.0; 3], 1.0), ball([8.0; 3], 1.5));
        let told = region(path(), &dot, &particle, "map").unwrap();
        assert!(told.contains("above 0.5 is only 7"), "{told}");
        let mask = ball([8.0; 3], 4.0);
        assert_eq!(region(path(), &mask, &particle, "map"), None);
    }

    #[test]
    fn pixel_sizes_of_headers_are_compared_where_they_are_known() {
        let told = |own, maps| other_pixels(path(), own, maps).is_some();
        assert!(told(Some(2.0), Some(4.0)));
        for (own, maps) in [
            (Some(4.0), Some(4.02)),
            (Some(1.0), Some(4.0)),
            (Some(0.0), Some(4.0)),
            (None, Some(4.0)),
            (Some(4.0), None),
        ] {
            assert!(!told(own, maps), "{own:?} {maps:?}");
        }
    }
}
