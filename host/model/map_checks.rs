//! Checks that tell masks and references which cannot be right: before hours of work, not after them.

use crate::comm::memory;
use crate::errors::{Code, Message};
use ndarray::Array3;
use std::ops::RangeInclusive;
use std::path::Path;

/// A mask whose largest value lies below this is scaled wrongly.
const LOWEST_MAXIMUM: f32 = 0.9;
/// Masks may leave [0, 1] by as much as this.
const ROUNDING: f32 = 1e-6;
/// A mask that leaves less than this share of the reference's power covers next to nothing of it.
const LEAST_POWER: f64 = 0.05;
/// Share of a map outside the sphere inscribed in its box above which the map is not centred in it; even filling gives
/// 0.48.
const MOST_OUTSIDE: f64 = 0.6;
/// Distance of the centre of mass from the box centre, as a share of the box, above which a map is called far from it.
const FARTHEST_CENTRE: f64 = 0.2;

/// Largest values of a map that is given, whose squared transform single precision can hold with the sums over a box of 1000.
pub const GREYS: RangeInclusive<f64> = 1e-12..=1e12;
/// Largest values of the references of a run that is continued, which have the scale of its images, whatever that is.
pub const OWN_GREYS: RangeInclusive<f64> = 1e-24..=1e24;

/// A reference or mask has at most this many times as many voxels a side as the images have pixels, however it is
/// resampled.
const MOST_OVERSAMPLED: usize = 8;

/// A mask with fewer voxels above one half than this has no inside to speak of: a ball of a radius of 2 voxels has 33.
const FEWEST_INSIDE: usize = 30;

/// Judges the size (x, y, z) in the header of a reference or mask for images of `image_box` pixels, before it is read.
///
/// # Errors
/// A map that is far too large for the images, or for the memory that is free.
pub fn size([x, y, z]: [usize; 3], image_box: usize) -> Result<(), Message> {
    if x.max(y).max(z) > MOST_OVERSAMPLED * image_box {
        return Err(Code::MAP_SHAPE.says(format!(
            "the header gives a map of {x} × {y} × {z} voxels (x × y × z), but the images have {image_box} pixels a side: is \
             it a tomogram, or a damaged file? Give a map of about that box"
        )));
    }
    fits([x, y, z])
}

/// Judges the size (x, y, z) in the header of any map, before it is read.
///
/// # Errors
/// A map that is too large for the memory that is free.
pub fn fits([x, y, z]: [usize; 3]) -> Result<(), Message> {
    // Single precision as read, double as used.
    let needed = 12.0 * x as f64 * y as f64 * z as f64;
    match memory::free(1, Path::new("/")) {
        Some(free) if needed > free as f64 => Err(Code::OUT_OF_MEMORY.says(format!(
            "the map of {x} × {y} × {z} voxels (x × y × z) takes {:.1} GiB, and {:.1} GiB of memory are free. Is it \
             a tomogram, or a damaged file? Crop or resample it",
            needed / f64::from(1 << 30),
            free as f64 / f64::from(1 << 30)
        ))),
        _ => Ok(()),
    }
}

/// Returns the values of a mask between 0 and 1, whether any had to be clipped, and warnings.
///
/// # Errors
/// Values that are not finite, masks without any value above 0, and masks of unsigned bytes that are stored as signed ones
/// (0 as −128, or 255 as −1), which are named.
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
    let [low, high] = [low as f32, high as f32];
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

/// Returns a warning about a mask that may cover any part of the map, where it has next to no inside or lies at the corners
/// of its box.
pub fn inside(path: &Path, mask: &Array3<f64>) -> Option<String> {
    let voxels = mask.iter().filter(|&&v| v > 0.5).count();
    if voxels < FEWEST_INSIDE {
        return Some(format!(
            "{}: the number of voxels of the mask above 0.5 is only {voxels} in the box of the references. Is the pixel size in \
             its header right?",
            path.display()
        ));
    }
    spread(mask, 0.0)?.at_corners(path, "mask")
}

/// Returns a warning where the mask of the particles (a sphere of `radius` voxels) leaves next to nothing of the power of a
/// reference that goes on beyond it: a diameter in nm, or in pixels. Noise around a small particle does not count.
pub fn sphere(reference: &Array3<f64>, radius: f64) -> Option<String> {
    let (sections, n, _) = reference.dim();
    let (middle, depth) = ((n / 2) as f64, (sections / 2) as f64);
    let mean = reference.mean().unwrap_or(0.0);
    // Power and number of voxels within the sphere, and in one of twice its radius around it; power of all.
    let (mut within, mut around, mut all) = ([0.0; 2], [0.0; 2], 0.0);
    for ((z, y, x), v) in reference.indexed_iter() {
        let at = [x as f64 - middle, y as f64 - middle, z as f64 - depth];
        let distance = at.iter().map(|c| c * c).sum::<f64>().sqrt();
        let power = (v - mean).powi(2);
        all += power;
        let sums = match distance {
            d if d <= radius => &mut within,
            d if d <= 2.0 * radius => &mut around,
            _ => continue,
        };
        sums[0] += power;
        sums[1] += 1.0;
    }
    let share = within[0] / all;
    let goes_on = around[0] / around[1] > 0.5 * within[0] / within[1];
    (share < LEAST_POWER && goes_on).then(|| {
        format!(
            "the mask of the particles leaves {:.1} % of the power of the reference, which goes on beyond it. \
             --particle_diameter is in Å: is it right?",
            100.0 * share
        )
    })
}

/// Returns a warning where a mask or reference lies at the corners of its box, or far from its centre.
pub fn centre(path: &Path, what: &str, map: &Array3<f64>) -> Option<String> {
    let background = match what {
        "mask" => 0.0,
        _ => map.mean().unwrap_or(0.0),
    };
    let spread = spread(map, background)?;
    if let Some(corners) = spread.at_corners(path, what) {
        return Some(corners);
    }
    let [x, y, z] = spread.centre;
    let distance = (x * x + y * y + z * z).sqrt();
    (distance > FARTHEST_CENTRE * map.dim().1 as f64).then(|| {
        format!(
            "{}: the {what} is centred at ({x:.1}, {y:.1}, {z:.1}) pixels from the centre of its box. Particles turn about the \
             centre of the box: shift it there.",
            path.display()
        )
    })
}

/// Where the power of a map lies in its box.
struct Spread {
    /// Share outside the sphere inscribed in the box.
    outside: f64,
    /// Centre of mass from the centre of the box (x, y, z), voxels.
    centre: [f64; 3],
}

/// Measures where a map differs from `background`; None where it does not.
fn spread(map: &Array3<f64>, background: f64) -> Option<Spread> {
    let (sections, n, _) = map.dim();
    let (middle, depth) = ((n / 2) as f64, (sections / 2) as f64);
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
    (all > 0.0).then(|| Spread {
        outside: outside / all,
        centre: moment.map(|m| m / all),
    })
}

impl Spread {
    fn at_corners(&self, path: &Path, what: &str) -> Option<String> {
        (self.outside > MOST_OUTSIDE).then(|| {
            format!(
                "{}: {:.0} % of the {what} lies outside the sphere inscribed in its box. Its origin is probably at a corner: \
                 shift it by half a box along x, y and z.",
                path.display(),
                100.0 * self.outside
            )
        })
    }
}

/// Checks that all values of a map, or of another `what`, are numbers; `advice` says what to do otherwise.
///
/// # Errors
/// A value that is not finite, with its place.
pub fn finite(path: &Path, map: &Array3<f32>, what: &str, advice: &str) -> Result<(), Message> {
    let mut values = map.indexed_iter();
    match values.find(|(_, value)| !value.is_finite()) {
        Some(((z, y, x), value)) => Err(Code::MAP_VALUES.says(format!(
            "{}: voxel ({x}, {y}, {z}) of the {what} is {value}, which is no number. {advice}.",
            path.display()
        ))),
        None => Ok(()),
    }
}

/// Checks that the largest value of a map, or of another `what`, whatever its sign, lies in `possible`: one of [`GREYS`] and
/// [`OWN_GREYS`].
///
/// # Errors
/// It is absurd. A map of zeros has its own error.
pub fn grey_scale(
    path: &Path,
    map: &Array3<f64>,
    what: &str,
    possible: RangeInclusive<f64>,
) -> Result<(), Message> {
    let (low, high) = range(map);
    let largest = high.max(-low);
    if largest == 0.0 || possible.contains(&largest) {
        return Ok(());
    }
    Err(Code::MAP_VALUES.says(format!(
        "{}: the largest value of the {what} is {largest:.1e}, which cannot be compared with images in single precision. Divide the \
         map by about that number, and start with --firstiter_cc.",
        path.display()
    )))
}

/// Advice about a map without contrast that was given as a reference.
pub const OTHER_REFERENCE: &str =
    "Give a map with density; leave the rows of empty classes out of a list of references";

/// Checks that a reference has contrast. `advice`: what to do otherwise.
///
/// # Errors
/// All voxels have one value.
pub fn contrast(path: &Path, reference: &Array3<f64>, advice: &str) -> Result<(), Message> {
    let (low, high) = range(reference);
    if low < high {
        return Ok(());
    }
    Err(Code::MAP_VALUES.says(format!(
        "{}: all voxels of the reference are {low}, so there is nothing to compare images with. {advice}.",
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
    fn grey_scales_beyond_single_precision_are_told() {
        let map = ball([8.0; 3], 4.0);
        let of = |factor: f64| grey_scale(path(), &(&map * factor), "reference", GREYS);
        for factor in [1.0, -1.0, 1e9, 1e-9, 0.0] {
            assert!(of(factor).is_ok(), "{factor}");
        }
        for factor in [1e30, -1e30, 1e-30] {
            let refused = of(factor).unwrap_err();
            assert_eq!(refused.code, Code::MAP_VALUES);
            assert!(
                refused.text.contains("e30") || refused.text.contains("e-30"),
                "{refused}"
            );
        }
        assert!(grey_scale(path(), &(&map * 1e18), "reference", OWN_GREYS).is_ok());
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
        assert!(dot.contains("above 0.5 is only 7 "), "{dot}");
        let corner = inside(path(), &ball([0.0; 3], 3.0)).unwrap();
        assert!(corner.contains("at a corner"), "{corner}");
    }

    /// 10⁵ voxels a side are a petabyte.
    #[test]
    fn maps_beyond_the_memory_are_refused_by_their_header() {
        assert!(fits([64; 3]).is_ok());
        let error = fits([100_000; 3]).unwrap_err();
        assert_eq!(error.code, Code::OUT_OF_MEMORY);
        assert!(size([64; 3], 64).is_ok());
        assert_eq!(size([1000, 64, 64], 64).unwrap_err().code, Code::MAP_SHAPE);
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
    fn the_mask_of_the_particles_is_as_large_as_the_reference() {
        let reference = ball([8.0; 3], 6.0);
        for radius in [8.0, 5.0, 3.0] {
            assert_eq!(sphere(&reference, radius), None, "{radius}");
        }
        let tight = sphere(&reference, 1.5).unwrap();
        assert!(tight.contains("--particle_diameter is in Å"), "{tight}");
        // A small particle in much noise.
        let noise = |at: (usize, usize, usize)| {
            f64::from((at.0 * 7 + at.1 * 13 + at.2 * 5) as u32 % 3) - 1.0
        };
        let noisy = Array3::from_shape_fn((16, 16, 16), noise) + ball([8.0; 3], 1.0) * 3.0;
        assert_eq!(sphere(&noisy, 1.5), None);
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
        assert!(contrast(path(), &ball([8.0; 3], 4.0), OTHER_REFERENCE).is_ok());
        for value in [0.0, 2.5] {
            let flat = Array3::from_elem((4, 4, 4), value);
            assert_eq!(
                contrast(path(), &flat, OTHER_REFERENCE).unwrap_err().code,
                Code::MAP_VALUES
            );
        }
    }
}
