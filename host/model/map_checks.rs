//! Checks that tell references and other maps which cannot be right: before hours of work, not after them. Those of masks are in
//! [`mask_checks`](super::mask_checks).

use crate::comm::memory;
use crate::errors::{Code, Message};
use ndarray::{Array3, Axis};
use rayon::prelude::*;
use std::ops::RangeInclusive;
use std::path::Path;

/// A mask that leaves less than this share of the reference's power covers next to nothing of it.
pub(super) const LEAST_POWER: f64 = 0.05;
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

/// Returns a warning where the mask of the particles (a sphere of `radius` voxels) leaves next to nothing of the power of a
/// reference that goes on beyond it: a diameter in nm, or in pixels. Noise around a small particle does not count.
pub fn sphere(reference: &Array3<f64>, radius: f64) -> Option<String> {
    let (sections, n, _) = reference.dim();
    let (middle, depth) = ((n / 2) as f64, (sections / 2) as f64);
    let mean = reference.mean().unwrap_or(0.0);
    // Power and number of voxels within the sphere, and in one of twice its radius around it; power of all.
    let [within, within_count, around, around_count, all] =
        sums_over_voxels(reference, |sums, [z, y, x], v| {
            let at = [x as f64 - middle, y as f64 - middle, z as f64 - depth];
            let distance = at.iter().map(|c| c * c).sum::<f64>().sqrt();
            let power = (v - mean).powi(2);
            sums[4] += power;
            let place = match distance {
                d if d <= radius => 0,
                d if d <= 2.0 * radius => 2,
                _ => return,
            };
            sums[place] += power;
            sums[place + 1] += 1.0;
        });
    let share = within / all;
    let goes_on = around / around_count > 0.5 * within / within_count;
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
pub(super) struct Spread {
    /// Share outside the sphere inscribed in the box.
    outside: f64,
    /// Centre of mass from the centre of the box (x, y, z), voxels.
    centre: [f64; 3],
}

/// Measures where a map differs from `background`; None where it does not.
pub(super) fn spread(map: &Array3<f64>, background: f64) -> Option<Spread> {
    let (sections, n, _) = map.dim();
    let (middle, depth) = ((n / 2) as f64, (sections / 2) as f64);
    let [all, outside, moments @ ..] = sums_over_voxels::<5>(map, |sums, [z, y, x], v| {
        let at = [x as f64 - middle, y as f64 - middle, z as f64 - depth];
        let power = (v - background).powi(2);
        sums[0] += power;
        if at.iter().map(|c| c * c).sum::<f64>() > middle * middle {
            sums[1] += power;
        }
        for (moment, c) in sums[2..].iter_mut().zip(at) {
            *moment += power * c;
        }
    });
    (all > 0.0).then(|| Spread {
        outside: outside / all,
        centre: moments.map(|m| m / all),
    })
}

/// Sums that `add` makes of the voxels (z, y, x), section by section on all cores; they do not depend on the number of threads.
fn sums_over_voxels<const N: usize>(
    map: &Array3<f64>,
    add: impl Fn(&mut [f64; N], [usize; 3], f64) + Sync,
) -> [f64; N] {
    let sections = map.axis_iter(Axis(0)).into_par_iter().enumerate();
    let of_sections: Vec<[f64; N]> = sections
        .map(|(z, section)| {
            let mut sums = [0.0; N];
            for ((y, x), &v) in section.indexed_iter() {
                add(&mut sums, [z, y, x], v);
            }
            sums
        })
        .collect();
    of_sections.iter().fold([0.0; N], |mut sums, of_section| {
        sums.iter_mut()
            .zip(of_section)
            .for_each(|(sum, v)| *sum += v);
        sums
    })
}

impl Spread {
    pub(super) fn at_corners(&self, path: &Path, what: &str) -> Option<String> {
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

pub(super) fn range(map: &Array3<f64>) -> (f64, f64) {
    map.iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &v| {
            (low.min(v), high.max(v))
        })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::model) fn ball(centre: [f64; 3], radius: f64) -> Array3<f64> {
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

    pub(in crate::model) fn path() -> &'static Path {
        Path::new("m.mrc")
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
