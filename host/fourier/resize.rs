//! Other pixel sizes and boxes for maps: Fourier resampling and windowing (spec 01 §1.4), and fitting a mask to the
//! references (spec 02 §6.2).

use super::fft;
use super::shells::{logical, round, stored};
use ndarray::{Array3, s};
use num_complex::Complex64;

/// Pixel sizes that differ by no more are the same (Å).
const SAME_PIXEL: f64 = 0.001;

/// Change the sampling of a map to `side` voxels over the same width by cropping or zero-padding its transform.
///
/// Both sides must be even: then both samplings have a voxel at the same centre.
pub fn resample(map: &Array3<f64>, side: usize) -> Array3<f64> {
    let from = map.dim().0;
    if from == side {
        return map.clone();
    }
    let old = fft::forward3(map);
    let mut new = Array3::<Complex64>::zeros((side, side, side / 2 + 1));
    let reach2 = ((from / 2) as i64).pow(2);
    let keep = (side.min(from) / 2) as i64;
    for ((z, y, x), value) in new.indexed_iter_mut() {
        let (z, y) = (logical(z, side), logical(y, side));
        let x2 = (x * x) as i64;
        let inside = z.abs() <= keep && y.abs() <= keep && x as i64 <= keep;
        if inside && (side <= from || z * z + y * y + x2 <= reach2) {
            *value = old[[stored(z, from), stored(y, from), x]];
        }
    }
    fft::inverse3(new, side)
}

/// Crop or zero-pad a map around its centre to `side` voxels.
pub fn window(map: &Array3<f64>, side: usize) -> Array3<f64> {
    let from = map.dim().0;
    let common = side.min(from);
    let (at_old, at_new) = (from / 2 - common / 2, side / 2 - common / 2);
    let mut new = Array3::zeros((side, side, side));
    new.slice_mut(s![
        at_new..at_new + common,
        at_new..at_new + common,
        at_new..at_new + common
    ])
    .assign(&map.slice(s![
        at_old..at_old + common,
        at_old..at_old + common,
        at_old..at_old + common
    ]));
    new
}

/// A mask made to fit the references.
#[derive(Debug, Clone)]
pub struct FittedMask {
    /// Values in [0, 1], box of the references.
    pub mask: Array3<f64>,
    /// What was changed, for the user; empty if the mask fitted.
    pub warnings: Vec<String>,
}

/// Rescale, window and clip a mask so that it fits references of `box_size` voxels of `pixel_size` Å.
/// `name` is the mask's file, for the warnings.
pub fn fit_mask(
    mask: Array3<f64>,
    mask_pixel_size: f64,
    box_size: usize,
    pixel_size: f64,
    name: &str,
) -> FittedMask {
    let mut mask = mask;
    let mut warnings = Vec::new();
    if (mask_pixel_size - pixel_size).abs() > SAME_PIXEL {
        let side = round(mask.dim().0 as f64 * mask_pixel_size / pixel_size) as usize;
        let side = side + side % 2;
        warnings.push(format!(
            "{name}: the mask has pixels of {mask_pixel_size} Å, the references of {pixel_size} Å; it is rescaled to {side} voxels."
        ));
        mask = resample(&mask, side);
    }
    if mask.dim().0 != box_size {
        warnings.push(format!(
            "{name}: the mask has a box of {} voxels, the references of {box_size}; it is windowed around its centre.",
            mask.dim().0
        ));
        mask = window(&mask, box_size);
    }
    if mask.iter().any(|v| !(0.0..=1.0).contains(v)) {
        warnings.push(format!(
            "{name}: values of the mask outside [0, 1] are clipped."
        ));
        mask.mapv_inplace(|v| v.clamp(0.0, 1.0));
    }
    FittedMask { mask, warnings }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Gaussian of `sigma` pixels at `offset` from the centre of a box.
    fn blob(side: usize, sigma: f64, offset: [f64; 3]) -> Array3<f64> {
        let centre = (side / 2) as f64;
        Array3::from_shape_fn((side, side, side), |(z, y, x)| {
            let r2: f64 = [z, y, x]
                .iter()
                .zip(offset)
                .map(|(&i, o)| (i as f64 - centre - o).powi(2))
                .sum();
            (-r2 / (2.0 * sigma * sigma)).exp()
        })
    }

    #[test]
    fn windowing_keeps_the_centre() {
        let small = blob(8, 1.0, [0.0; 3]);
        let large = window(&small, 14);
        assert_eq!(large[[7, 7, 7]], 1.0);
        assert_eq!(window(&large, 8), small);
    }

    #[test]
    fn resampling_scales_coordinates_about_the_centre() {
        let fine = blob(32, 4.0, [3.0, 0.0, -4.0]);
        let coarse = blob(16, 2.0, [1.5, 0.0, -2.0]);
        for (from, to, expected) in [(&fine, 16, &coarse), (&coarse, 32, &fine)] {
            let worst = (&resample(from, to) - expected)
                .iter()
                .fold(0.0f64, |w, d| w.max(d.abs()));
            assert!(worst < 0.01, "{to}: {worst}");
        }
    }

    #[test]
    fn masks_of_other_pixels_and_boxes_are_fitted_and_said_so() {
        let fits = fit_mask(blob(16, 3.0, [0.0; 3]), 2.0, 16, 2.0, "m.mrc");
        assert!(fits.warnings.is_empty());
        // 16 voxels of 4 Å cover 32 of 2 Å; the references have 24.
        let fitted = fit_mask(blob(16, 3.0, [0.0; 3]), 4.0, 24, 2.0, "m.mrc");
        assert_eq!(fitted.mask.dim(), (24, 24, 24));
        assert!(fitted.warnings.len() >= 2, "{:?}", fitted.warnings);
        assert!(fitted.mask.iter().all(|v| (0.0..=1.0).contains(v)));
        assert!((fitted.mask[[12, 12, 12 + 6]] - (-0.5f64).exp()).abs() < 0.01);
    }
}
