//! Arithmetic of voxels in reconstruction and in the preparation of references (spec 01 §1.5, spec 02 §2).

use crate::math::Real;
use crate::slice::VolumeShape;

/// Logical frequency of stored index `i` of a transform of `n` points: −n/2+1 … n/2.
#[inline(always)]
pub fn frequency(i: u32, n: u32) -> i32 {
    if i <= n / 2 {
        i as i32
    } else {
        i as i32 - n as i32
    }
}

/// Stored index of logical frequency `k`.
#[inline(always)]
pub fn stored(k: i32, n: u32) -> u32 {
    if k >= 0 {
        k as u32
    } else {
        (k + n as i32) as u32
    }
}

/// (−1)^(x+y+z): moves the origin of a transform to the box centre.
#[inline(always)]
pub fn centre_sign(x: i32, y: i32, z: i32) -> f32 {
    if (x + y + z) & 1 == 0 { 1.0 } else { -1.0 }
}

/// Weights and τ² below this count as 0.
pub const NO_POWER: f64 = 1e-20;

/// Weight of a voxel with the inverse prior variance added: `inverse` is 1/(c_p·T·τ²) of the shell, negative where the
/// shell has no prior power; there a large penalty where little was measured (spec 02 §2.1).
#[inline(always)]
pub fn regularised<R: Real>(weight: R, inverse: R) -> R {
    if inverse >= R::of(0.0) {
        weight + inverse
    } else if weight > R::of(NO_POWER) {
        weight + R::of(1000.0) / weight
    } else {
        weight
    }
}

/// W/I of a voxel of weight W, for `inverse` as in [`regularised`]; 0 where I is 0.
#[inline(always)]
pub fn evidence_ratio<R: Real>(weight: R, inverse: R) -> R {
    if inverse > R::of(0.0) {
        weight / inverse
    } else if inverse < R::of(0.0) && weight > R::of(NO_POWER) {
        weight * weight * R::of(0.001)
    } else {
        R::of(0.0)
    }
}

/// Nearest integer, half away from zero.
#[inline(always)]
pub fn round(x: f32) -> i32 {
    if x > 0.0 {
        (x + 0.5) as i32
    } else {
        (x - 0.5) as i32
    }
}

/// Logical (x, y, z) of voxel `i`; None beyond the volume.
#[inline(always)]
pub fn position(i: usize, shape: &VolumeShape) -> Option<[i32; 3]> {
    if i >= shape.len() {
        return None;
    }
    let row = (i / shape.row()) as u32;
    Some([
        (i % shape.row()) as i32,
        (row % shape.side) as i32 - shape.half as i32,
        (row / shape.side) as i32 - shape.half_depth() as i32,
    ])
}

/// Logical (x, y, z) of value `i` of the half-complex transform of a cube of `side`; None beyond it.
#[inline(always)]
pub fn transform_position(i: usize, side: u32) -> Option<[i32; 3]> {
    let (width, n) = (side as usize / 2 + 1, side as usize);
    if i >= width * n * n {
        return None;
    }
    let row = (i / width) as u32;
    Some([
        (i % width) as i32,
        frequency(row % side, side),
        frequency(row / side, side),
    ])
}

/// Stored place of logical (x, y, z), which lies within the volume.
#[inline(always)]
pub fn place([x, y, z]: [i32; 3], shape: &VolumeShape) -> usize {
    let plane = (z + shape.half_depth() as i32) as usize * shape.side as usize;
    let row = plane + (y + shape.half as i32) as usize;
    row * shape.row() + x as usize
}

/// Numbers from one row to the next of a real cube that takes the place of its half-complex transform.
#[inline(always)]
pub fn real_row(side: u32) -> usize {
    2 * (side as usize / 2 + 1)
}

/// Samples of the blob's transform over half the padded box (spec 02 §2.3).
pub const BLOB_SAMPLES: u32 = 10_000;

/// Sample of the blob's transform at a distance of √`r2` voxels from the origin, truncated; [`BLOB_SAMPLES`] and more
/// beyond half of `padded_box`.
#[inline(always)]
pub fn blob_sample(r2: u32, padded_box: u32) -> u32 {
    (Real::sqrt(f64::from(r2)) * f64::from(2 * BLOB_SAMPLES) / f64::from(padded_box)) as u32
}

/// Returns the mass of a voxel of value `v` when a map is moved to its centre of mass: what is negative has none
/// (spec 04 §11).
#[inline(always)]
pub fn centring_mass(v: f64) -> f64 {
    v.max(0.0)
}

/// Returns the shift (x, y, z) that brings a map with these moments (Σ m, Σ m·x, Σ m·y, Σ m·z about the box centre, m as
/// [`centring_mass`] says) to the centre, at most `limit` pixels long; None for a map without mass and for less than `least`.
#[inline(always)]
pub fn centring_shift<R: Real>(moments: [R; 4], limit: R, least: R) -> Option<[R; 3]> {
    let [mass, x, y, z] = moments;
    if mass <= R::of(0.0) {
        return None;
    }
    let shift = [x / mass, y / mass, z / mass];
    let length = (shift[0] * shift[0] + shift[1] * shift[1] + shift[2] * shift[2]).sqrt();
    let followed = if length > limit { limit } else { length };
    if followed < least {
        return None;
    }
    if length > limit {
        let part = limit / length;
        return Some([shift[0] * part, shift[1] * part, shift[2] * part]);
    }
    Some(shift)
}

/// Returns the least weight that data of a bin are divided by: a thousandth of the mean, from the sum and the number of its
/// weights (spec 02 §2.2).
#[inline(always)]
pub fn weight_floor<R: Real>([sum, count]: [R; 2]) -> R {
    if count > R::of(0.0) {
        sum / count / R::of(1000.0)
    } else {
        R::of(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blob_samples_end_at_half_the_box() {
        assert_eq!(blob_sample(0, 64), 0);
        assert_eq!(blob_sample(32 * 32 - 1, 64), 9995);
        assert_eq!(blob_sample(32 * 32, 64), BLOB_SAMPLES);
    }

    #[test]
    fn maps_are_centred_within_a_limit_and_not_by_less_than_the_least() {
        assert_eq!(centring_shift([0.0, 1.0, 2.0, 3.0], 5.0, 0.0), None);
        assert_eq!(
            centring_shift([2.0, 6.0, 8.0, 0.0], 5.0, 0.0),
            Some([3.0, 4.0, 0.0])
        );
        // Five pixels, of which half are followed.
        assert_eq!(
            centring_shift([2.0, 6.0, 8.0, 0.0], 2.5, 0.0),
            Some([1.5, 2.0, 0.0])
        );
        // Less than the least is nothing, after the limit as well.
        assert!(centring_shift([1.0, 2.0, 0.0, 0.0], 5.0, 2.0).is_some());
        assert_eq!(centring_shift([1.0, 1.9, 0.0, 0.0], 5.0, 2.0), None);
        assert_eq!(centring_shift([1.0, 4.0, 0.0, 0.0], 1.0, 2.0), None);
    }

    #[test]
    fn weights_are_no_less_than_a_thousandth_of_the_mean() {
        assert_eq!(weight_floor([3000.0, 3.0]), 1.0);
        assert_eq!(weight_floor([0.0f32, 0.0]), 0.0);
    }

    #[test]
    fn frequencies_and_places_are_inverse() {
        for n in [8u32, 10] {
            for i in 0..n {
                assert_eq!(stored(frequency(i, n), n), i);
            }
            assert_eq!(frequency(n / 2, n), n as i32 / 2);
        }
    }

    #[test]
    fn positions_and_places_are_inverse() {
        let shape = VolumeShape::new(9, 3, 1.0);
        for i in 0..shape.len() {
            assert_eq!(place(position(i, &shape).unwrap(), &shape), i);
        }
        // Value (x, y, z) = (2, −1, 3) of an odd cube.
        assert_eq!(transform_position((3 * 9 + 8) * 5 + 2, 9), Some([2, -1, 3]));
        assert_eq!(transform_position(9 * 9 * 5, 9), None);
    }
}
