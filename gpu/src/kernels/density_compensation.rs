//! M-step: density compensation found by iteration (`--dont_skip_gridding`; spec 02 §2.3) in place of a division.
//!
//! The densities D, a number a voxel of the sums, are found in double precision: weights differ by many orders of
//! magnitude. `radius2` is Rp². Cubes of the iteration have the side of the sums.

use cuda_std::prelude::*;

use super::volume::{prior_of, prior_shell, transform_value};
use crate::math::Real;
use crate::slice::VolumeShape;
use crate::volume::{
    BLOB_SAMPLES, blob_sample, frequency, place, position, real_row, regularised,
    transform_position,
};

/// Squared distance from the origin; of indices below 2¹⁴.
#[inline(always)]
fn square([x, y, z]: [i32; 3]) -> u32 {
    (x * x + y * y + z * z) as u32
}

/// D = 1 within the sphere, 0 elsewhere. A thread a voxel.
#[kernel(block = 256, grid = [voxels.div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn begin_densities(
    #[launch] voxels: u32,
    #[len(1)] shape: *const VolumeShape,
    radius2: u32,
    #[len(voxels)] density: *mut f64,
) {
    // SAFETY: the index is checked.
    unsafe {
        let i = thread::index_1d();
        if let Some(at) = position(i, &*shape) {
            *density.add(i) = if square(at) < radius2 { 1.0 } else { 0.0 };
        }
    }
}

/// D·(W + I)·`scale` as a half-complex transform, I the inverse prior variance: `inverse` per shell, see [`regularised`]; shells below
/// `first_shell` have none, shells from `shells` on have no prior power. A thread a value of it.
#[kernel(block = 256, grid = [(side * side).saturating_mul(side / 2 + 1).div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn spread_densities(
    #[launch] side: u32,
    #[len(side * side * (side / 2 + 1))] sums: *const [f32; 4],
    #[len(side * side * (side / 2 + 1))] density: *const f64,
    #[len(1)] shape: *const VolumeShape,
    padding: f32,
    #[len(shells)] inverse: *const f64,
    shells: u32,
    first_shell: u32,
    scale: f64,
    #[len(side * side * (side / 2 + 1))] out: *mut [f64; 2],
) {
    // SAFETY: the index is checked; the cube has the side of the volume.
    unsafe {
        let i = thread::index_1d();
        let shape = &*shape;
        if let Some(at) = transform_position(i, shape.side) {
            let voxel = place(at, shape);
            let mut weight = f64::from(memory::load4(sums, voxel)[2]);
            let shell = prior_shell(square(at), padding);
            if shell >= first_shell {
                weight = regularised(weight, prior_of(inverse, shells, shell));
            }
            *out.add(i) = [*density.add(voxel) * weight * scale, 0.0];
        }
    }
}

/// Multiplies a real cube of `side` in rows of a transform with `blob`, a table over the distance from the origin in units
/// of `padded_box`, 0 beyond it. A thread a voxel.
#[kernel(block = 256, grid = [(side * side).saturating_mul(side).div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn weight_by_blob(
    side: u32,
    padded_box: u32,
    #[len(u64::from(BLOB_SAMPLES))] blob: *const f64,
    #[len(side * side * 2 * (side / 2 + 1))] cube: *mut f64,
) {
    // SAFETY: the index is checked.
    unsafe {
        let n = side as usize;
        let i = thread::index_1d();
        if i >= n * n * n {
            return;
        }
        let (x, row) = (i % n, i / n);
        let at = [x, row % n, row / n].map(|k| frequency(k as u32, side));
        let sample = blob_sample(square(at), padded_box);
        let factor = if sample < BLOB_SAMPLES {
            *blob.add(sample as usize)
        } else {
            0.0
        };
        *cube.add(row * real_row(side) + x) *= factor;
    }
}

/// D / max(10⁻⁶, |C|·`scale`) within the sphere. A thread a value of the transform C.
#[kernel(block = 256, grid = [(side * side).saturating_mul(side / 2 + 1).div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn divide_densities(
    #[launch] side: u32,
    #[len(side * side * (side / 2 + 1))] convolved: *const [f64; 2],
    scale: f64,
    #[len(1)] shape: *const VolumeShape,
    radius2: u32,
    #[len(side * side * (side / 2 + 1))] density: *mut f64,
) {
    // SAFETY: the index is checked; the cube has the side of the volume.
    unsafe {
        let i = thread::index_1d();
        let shape = &*shape;
        if let Some(at) = transform_position(i, shape.side)
            && square(at) < radius2
        {
            let [re, im] = *convolved.add(i);
            let size = Real::sqrt(re * re + im * im) * scale;
            *density.add(place(at, shape)) /= if size > 1e-6 { size } else { 1e-6 };
        }
    }
}

/// A·D·`scale` as the centred half-complex transform of a box of `padded_box`³, 0 where there is nothing. D counts up to
/// 10²⁰: where a voxel has no weight nothing limits it. A thread a value of the transform.
#[kernel(block = 256, grid = [(padded_box * padded_box).saturating_mul(padded_box / 2 + 1).div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn compensate_into_transform(
    #[unchecked] sums: *const [f32; 4],
    #[unchecked] density: *const f64,
    #[len(1)] shape: *const VolumeShape,
    radius2: u32,
    scale: f64,
    padded_box: u32,
    #[len(padded_box * padded_box * (padded_box / 2 + 1))] out: *mut [f32; 2],
) {
    // SAFETY: the index is checked; frequencies are looked up only inside the volume.
    unsafe {
        let i = thread::index_1d();
        let value = transform_value(i, padded_box, &*shape, radius2, |voxel, _, sign| {
            let density = *density.add(voxel);
            let density = if density < 1e20 { density } else { 1e20 };
            let factor = density * scale * f64::from(sign);
            let [re, im, ..] = memory::load4(sums, voxel);
            [re, im].map(|v| (f64::from(v) * factor) as f32)
        });
        if let Some(value) = value {
            memory::store2(out, i, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::test_data;
    use crate::volume::centre_sign;
    use cuda_std::launch::{View, emulate_as};

    const SIDE: u32 = 15;
    const RADIUS2: u32 = 36;

    fn shape() -> VolumeShape {
        VolumeShape::new(SIDE, 3, 2.0)
    }

    fn sums(seed: u64) -> Vec<[f32; 4]> {
        test_data::values(4 * shape().len(), seed)
            .chunks_exact(4)
            .map(|v| [v[0], v[1], 1.5 + v[2], 0.0])
            .collect()
    }

    fn threads(count: usize) -> [u32; 3] {
        [count.div_ceil(64) as u32, 1, 1]
    }

    #[test]
    fn densities_begin_with_one_within_the_sphere() {
        let mut shape = shape();
        let mut density = vec![f64::NAN; shape.len()];
        let (d, s) = (
            View::of(&mut density),
            View::of(std::slice::from_mut(&mut shape)),
        );
        // SAFETY: array sizes as the kernel demands.
        unsafe {
            emulate_as(
                &BeginDensities {
                    voxels: density.len() as u32,
                    shape: s,
                    radius2: RADIUS2,
                    density: d,
                },
                threads(density.len()),
                [64, 1, 1],
            )
        };
        for (i, found) in density.iter().enumerate() {
            let inside = square(position(i, &shape).unwrap()) < RADIUS2;
            assert_eq!(*found, f64::from(u8::from(inside)));
        }
    }

    #[test]
    fn densities_times_weights_are_spread_over_a_transform() {
        let (mut data, mut shape) = (sums(4), shape());
        let mut density: Vec<f64> = (0..shape.len()).map(|i| i as f64 / 7.0).collect();
        let mut out = vec![[f64::NAN; 2]; shape.len()];
        let (d, o) = (View::of(&mut data), View::of(&mut out));
        let densities = View::of(&mut density);
        let s = View::of(std::slice::from_mut(&mut shape));
        // Shells 2 and 3 have power, shell 4 and those beyond have none.
        let mut inverse = [9.0, 9.0, 1e-9, 7e9, -1.0];
        let prior = View::of(&mut inverse);
        // SAFETY: array sizes as the kernel demands.
        unsafe {
            emulate_as(
                &SpreadDensities {
                    side: SIDE,
                    sums: d,
                    density: densities,
                    shape: s,
                    padding: 2.0,
                    inverse: prior,
                    shells: inverse.len() as u32,
                    first_shell: 2,
                    scale: 0.25,
                    out: o,
                },
                threads(shape.len()),
                [64, 1, 1],
            )
        };
        for (i, value) in out.iter().enumerate() {
            let at = transform_position(i, SIDE).unwrap();
            let voxel = place(at, &shape);
            let weight = f64::from(data[voxel][2]);
            let shell = (f64::from(square(at)).sqrt() / 2.0).round() as usize;
            let prior = match shell {
                0 | 1 => 0.0,
                2 | 3 => inverse[shell],
                _ => 1000.0 / weight,
            };
            let expected = density[voxel] * (weight + prior) * 0.25;
            assert_eq!(*value, [expected, 0.0]);
        }
    }

    /// Opposite offsets are the same distance away; beyond half the padded box there is nothing.
    #[test]
    fn a_cube_is_weighted_by_the_distance_from_its_corner() {
        let padded_box = 10u32;
        let n = SIDE as usize;
        let mut blob: Vec<f64> = (0..BLOB_SAMPLES).map(|i| 1.0 + f64::from(i)).collect();
        let mut cube = vec![2.0f64; real_row(SIDE) * n * n];
        let (b, c) = (View::of(&mut blob), View::of(&mut cube));
        // SAFETY: array sizes as the kernel demands.
        unsafe {
            emulate_as(
                &WeightByBlob {
                    side: SIDE,
                    padded_box,
                    blob: b,
                    cube: c,
                },
                threads(n.pow(3)),
                [64, 1, 1],
            )
        };
        let at = |x: usize, y: usize, z: usize| cube[(z * n + y) * real_row(SIDE) + x];
        assert_eq!(at(0, 0, 0), 2.0);
        // Sample ⌊3·20000/10⌋ of the table.
        assert_eq!(at(3, 0, 0), 2.0 * 6001.0);
        assert_eq!(
            [at(0, n - 3, 0), at(0, 0, n - 3), at(n - 3, 0, 0)],
            [at(3, 0, 0); 3]
        );
        assert_eq!(at(1, 2, 2), at(3, 0, 0));
        assert_eq!([at(5, 0, 0), at(7, 7, 7)], [0.0; 2]);
    }

    #[test]
    fn densities_are_divided_by_no_less_than_a_millionth() {
        let mut shape = shape();
        let mut convolved: Vec<[f64; 2]> = (0..shape.len())
            .map(|i| [f64::from(i as u32 % 5), -f64::from(i as u32 % 3)])
            .collect();
        let mut density = vec![3.0f64; shape.len()];
        let (c, d) = (View::of(&mut convolved), View::of(&mut density));
        let s = View::of(std::slice::from_mut(&mut shape));
        // SAFETY: array sizes as the kernel demands.
        unsafe {
            emulate_as(
                &DivideDensities {
                    side: SIDE,
                    convolved: c,
                    scale: 0.5,
                    shape: s,
                    radius2: RADIUS2,
                    density: d,
                },
                threads(shape.len()),
                [64, 1, 1],
            )
        };
        for (i, [re, im]) in convolved.iter().enumerate() {
            let at = transform_position(i, SIDE).unwrap();
            let size = 0.5 * re.hypot(*im);
            let expected = match square(at) < RADIUS2 {
                true => 3.0 / size.max(1e-6),
                false => 3.0,
            };
            let found = density[place(at, &shape)];
            assert!(
                (found / expected - 1.0).abs() < 1e-14,
                "{at:?}: {found} {expected}"
            );
        }
    }

    #[test]
    fn compensated_data_become_a_centred_transform() {
        let (mut data, mut shape) = (sums(3), shape());
        let mut density: Vec<f64> = test_data::values(data.len(), 4)
            .iter()
            .map(|v| f64::from(*v))
            .collect();
        // At the origin, which has no weight.
        density[place([0; 3], &shape)] = 1e60;
        let q = 16u32;
        let mut out = vec![[f32::NAN; 2]; (q * q * (q / 2 + 1)) as usize];
        let length = out.len();
        let (d, o) = (View::of(&mut data), View::of(&mut out));
        let densities = View::of(&mut density);
        let s = View::of(std::slice::from_mut(&mut shape));
        // SAFETY: array sizes as the kernel demands.
        unsafe {
            emulate_as(
                &CompensateIntoTransform {
                    sums: d,
                    density: densities,
                    shape: s,
                    radius2: RADIUS2,
                    scale: 0.5,
                    padded_box: q,
                    out: o,
                },
                threads(length),
                [64, 1, 1],
            )
        };
        for (i, value) in out.iter().enumerate() {
            let at = transform_position(i, q).unwrap();
            let mut expected = [0.0; 2];
            if square(at) < RADIUS2 {
                let voxel = place(at, &shape);
                let factor =
                    f64::from(centre_sign(at[0], at[1], at[2])) * density[voxel].min(1e20) * 0.5;
                expected = [data[voxel][0], data[voxel][1]].map(|v| (f64::from(v) * factor) as f32);
            }
            assert_eq!(*value, expected);
        }
    }
}
