//! Checks that tell masks and references which cannot be right: before hours of work, not after them.

use super::host_plan;
use crate::errors::{Code, Message};
use ndarray::Array3;
use std::path::Path;

/// A mask whose largest value lies below this is scaled wrongly.
const LOWEST_MAXIMUM: f32 = 0.9;
/// A mask that leaves less than this share of the reference's power covers next to nothing of it.
const LEAST_POWER: f64 = 0.05;
/// Share of a map outside the sphere inscribed in its box above which the map is not centred in it; even filling gives
/// 0.48.
const MOST_OUTSIDE: f64 = 0.6;
/// Distance of the centre of mass from the box centre, as a share of the box, above which a map is called far from it.
const FARTHEST_CENTRE: f64 = 0.2;

/// A reference or mask has at most this many times as many voxels a side as the images have pixels, however it is
/// resampled.
const MOST_OVERSAMPLED: usize = 8;

/// Judges the size (x, y, z) in the header of a reference or mask for images of `image_box` pixels, before it is read.
///
/// # Errors
/// A map that is far too large for the images, or for the memory that is free.
pub(super) fn size([x, y, z]: [usize; 3], image_box: usize) -> Result<(), Message> {
    if x.max(y).max(z) > MOST_OVERSAMPLED * image_box {
        return Err(Code::MAP_SHAPE.says(format!(
            "the header gives a map of {x} × {y} × {z} voxels (x × y × z), but the images have {image_box} pixels a side: is \
             it a tomogram, or a damaged file? Give a map of about that box"
        )));
    }
    // Single precision as read, double as used.
    let needed = 12.0 * x as f64 * y as f64 * z as f64;
    match host_plan::free(1) {
        Some(free) if needed > free as f64 => Err(Code::OUT_OF_MEMORY.says(format!(
            "the map of {x} × {y} × {z} voxels (x × y × z) takes {:.1} GiB, and {:.1} GiB of memory are free. Crop or resample it",
            needed / f64::from(1 << 30),
            free as f64 / f64::from(1 << 30)
        ))),
        _ => Ok(()),
    }
}

/// Returns the values of a mask between 0 and 1, whether any had to be clipped, and warnings.
///
/// # Errors
/// Values that are not finite, and masks without any value above 0. Masks of signed bytes whose writer meant unsigned ones
/// (0 stored as −128) are among them, and are named.
pub(super) fn mask(
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
    let [low, high] = [low as f32, high as f32];
    if high <= 0.0 {
        let reason = if low == -128.0 && high < 0.0 {
            "it looks like a mask of unsigned bytes that was written as signed ones, with 128 subtracted: convert it to \
             32-bit floats (mode 2) with values from 0 to 1"
        } else {
            "make it again, for example with relion_mask_create"
        };
        return Err(Code::EMPTY_MASK.says(format!(
            "{at}: no voxel of the mask is above 0 (its values go from {low} to {high}), so nothing would be left of the \
             map. {}{}.",
            reason[..1].to_uppercase(),
            &reason[1..]
        )));
    }
    let mut warnings = Vec::new();
    if high < LOWEST_MAXIMUM {
        warnings.push(format!(
            "{at}: the largest value of the mask is {high}, not 1, and maps are multiplied by it. Divide the mask by its \
             maximum."
        ));
    }
    let clipped = low < 0.0 || high > 1.0;
    if clipped {
        mask.mapv_inplace(|v| v.clamp(0.0, 1.0));
        warnings.push(format!(
            "{at}: the mask has values outside [0, 1] (from {low} to {high}): they were clipped."
        ));
    }
    Ok((mask, clipped, warnings))
}

/// Returns a warning where `mask` leaves next to nothing of the power of `reference`, a map of the same box.
pub(super) fn cover(path: &Path, mask: &Array3<f64>, reference: &Array3<f64>) -> Option<String> {
    let mean = reference.mean().unwrap_or(0.0);
    let (mut inside, mut all) = (0.0, 0.0);
    for (m, v) in mask.iter().zip(reference) {
        let power = (v - mean).powi(2);
        inside += m * m * power;
        all += power;
    }
    let share = inside / all;
    (share < LEAST_POWER).then(|| {
        format!(
            "{}: the mask leaves {:.1} % of the power of the reference, so nearly all of the map is removed. Is it centred \
             as the reference is, and is the pixel size in its header right?",
            path.display(),
            100.0 * share
        )
    })
}

/// Returns a warning where a mask or reference lies at the corners of its box, or far from its centre.
pub(super) fn centre(path: &Path, what: &str, map: &Array3<f64>) -> Option<String> {
    let (sections, n, _) = map.dim();
    let middle = (n / 2) as f64;
    let depth = (sections / 2) as f64;
    let mean = map.mean().unwrap_or(0.0);
    let background = match what {
        "mask" => 0.0,
        _ => mean,
    };
    let (mut outside, mut all, mut moment) = (0.0, 0.0, [0.0; 3]);
    for ((z, y, x), v) in map.indexed_iter() {
        let at = [x as f64 - middle, y as f64 - middle, z as f64 - depth];
        let power = (v - background).powi(2);
        all += power;
        if at.iter().map(|c| c * c).sum::<f64>() > middle * middle {
            outside += power;
        }
        for (moment, c) in moment.iter_mut().zip(at) {
            *moment += power * c;
        }
    }
    if all <= 0.0 {
        return None;
    }
    let path = path.display();
    if outside / all > MOST_OUTSIDE {
        return Some(format!(
            "{path}: {:.0} % of the {what} lies outside the sphere inscribed in its box. Its origin is probably at a corner: \
             shift it by half a box along x, y and z.",
            100.0 * outside / all
        ));
    }
    let centre = moment.map(|m| m / all);
    let distance = centre.iter().map(|c| c * c).sum::<f64>().sqrt();
    (distance > FARTHEST_CENTRE * n as f64).then(|| {
        let [x, y, z] = centre;
        format!(
            "{path}: the {what} is centred at ({x:.1}, {y:.1}, {z:.1}) pixels from the centre of its box. Particles turn \
             about the centre of the box: shift it there."
        )
    })
}

/// Checks that a reference has contrast.
///
/// # Errors
/// All voxels have one value.
pub(super) fn contrast(path: &Path, reference: &Array3<f64>) -> Result<(), Message> {
    let (low, high) = range(reference);
    if low < high {
        return Ok(());
    }
    Err(Code::MAP_VALUES.says(format!(
        "{}: all voxels of the reference are {low}, so there is nothing to compare images with. Give a map with density; \
         leave the rows of empty classes out of a list of references.",
        path.display()
    )))
}

fn range(map: &Array3<f64>) -> (f64, f64) {
    map.iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &v| {
            (low.min(v), high.max(v))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ball(centre: [f64; 3], radius: f64) -> Array3<f64> {
        Array3::from_shape_fn((16, 16, 16), |(z, y, x)| {
            // Distances in a periodic box, so that a ball at a corner is whole.
            let r2: f64 = [x, y, z]
                .iter()
                .zip(centre)
                .map(|(&i, c)| {
                    let d = (i as f64 - c).rem_euclid(16.0);
                    d.min(16.0 - d).powi(2)
                })
                .sum();
            f64::from(u8::from(r2 <= radius * radius))
        })
    }

    fn path() -> &'static Path {
        Path::new("m.mrc")
    }

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
        assert_eq!(cover(path(), &ball([8.0; 3], 5.0), &reference), None);
        assert_eq!(cover(path(), &ball([8.0; 3], 3.0), &reference), None);
        let beside = cover(path(), &ball([1.0; 3], 2.0), &reference).unwrap();
        assert!(beside.contains("% of the power"), "{beside}");
    }

    #[test]
    fn maps_lie_in_the_middle_of_their_box() {
        let found = |centre: [f64; 3]| super::centre(path(), "mask", &ball(centre, 3.0));
        assert_eq!(found([8.0; 3]), None);
        assert_eq!(found([9.0, 7.0, 8.0]), None);
        assert!(found([0.0; 3]).unwrap().contains("at a corner"));
        assert!(found([12.0, 8.0, 8.0]).unwrap().contains("(4.0, 0.0, 0.0)"));
        // An even filling is neither.
        assert_eq!(
            super::centre(path(), "mask", &Array3::ones((16, 16, 16))),
            None
        );
    }

    #[test]
    fn a_reference_has_contrast() {
        assert!(contrast(path(), &ball([8.0; 3], 4.0)).is_ok());
        for value in [0.0, 2.5] {
            let flat = Array3::from_elem((4, 4, 4), value);
            assert_eq!(contrast(path(), &flat).unwrap_err().code, Code::MAP_VALUES);
        }
    }
}
