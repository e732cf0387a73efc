//! Another sampling of a map over the same width.

use super::fft;
use super::shape::Dimensions;
use super::shells::{logical, stored};
use ndarray::Array3;
use num_complex::Complex64;

/// Changes the sampling of a map, or of a class average of one section, to `side` voxels over the same width, by cropping or zero-padding its transform.
/// Both sides are even.
pub fn resample(map: &Array3<f64>, side: usize) -> Array3<f64> {
    let (sections, from, _) = map.dim();
    if from == side {
        return map.clone();
    }
    let dimensions = Dimensions::of_sections(sections);
    let depth = dimensions.sections(side);
    let old = fft::forward3(map);
    let mut new = Array3::<Complex64>::zeros((depth, side, side / 2 + 1));
    let reach = (from / 2) as i64;
    let keep = (side.min(from) / 2) as i64;
    // Values are those of a transform divided by the number of samples, so they hold for any sampling of the map;
    // half-box origins of both samplings coincide because both sides are even.
    for ((z, y, x), value) in new.indexed_iter_mut() {
        let (lz, ly) = (logical(z, depth), logical(y, side));
        let inside = lz.abs() <= keep && ly.abs() <= keep && x as i64 <= keep;
        if inside && (side <= from || lz * lz + ly * ly + (x * x) as i64 <= reach * reach) {
            *value = old[[stored(lz, sections), stored(ly, from), x]];
        }
    }
    fft::inverse3(new, side)
}
