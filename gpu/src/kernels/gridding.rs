//! M-step: density compensation by iteration (`--dont_skip_gridding`; spec 02 §2.3).
//!
//! The density D of a voxel is the fourth number of the sums. `radius2` is Rp²; transforms of the sums' own side P are
//! cubes that are transformed in place.

use cuda_std::prelude::*;

use crate::slice::VolumeShape;
use crate::volume::{
    BLOB_SAMPLES, blob_sample, centre_sign, corrected_density, frequency, place, position,
    real_row, transform_position,
};

/// Squared distance from the origin; of indices below 2¹⁴.
#[inline(always)]
fn square([x, y, z]: [i32; 3]) -> u32 {
    (x * x + y * y + z * z) as u32
}

/// D = 1 where |v|² < Rp², else 0. A thread a voxel.
#[kernel]
pub unsafe fn begin_density(sums: *mut [f32; 4], shape: *const VolumeShape, radius2: u32) {
    // SAFETY: the index is checked.
    unsafe {
        let i = thread::index_1d();
        if let Some(at) = position(i, &*shape) {
            (*sums.add(i))[3] = if square(at) < radius2 { 1.0 } else { 0.0 };
        }
    }
}

/// D·W·`scale` as the half-complex transform of the sums' own side, origin in the corner. A thread a value of it.
#[kernel]
pub unsafe fn density_transform(
    sums: *const [f32; 4],
    shape: *const VolumeShape,
    scale: f32,
    out: *mut [f32; 2],
) {
    // SAFETY: the index is checked; every frequency of this side is a voxel.
    unsafe {
        let (i, shape) = (thread::index_1d(), &*shape);
        if let Some(at) = transform_position(i, shape.side) {
            let voxel = memory::load4(sums, place(at, shape));
            memory::store2(out, i, [voxel[2] * scale * voxel[3], 0.0]);
        }
    }
}

/// Multiplies a real cube, origin in the corner, by the blob's transform, given relative to its origin in
/// `BLOB_SAMPLES` samples over half of `padded_box`; 0 beyond. A thread a voxel.
#[kernel]
pub unsafe fn multiply_by_blob(cube: *mut f32, side: u32, padded_box: u32, blob: *const f32) {
    // SAFETY: the index is checked, the sample limited.
    unsafe {
        let (i, n) = (thread::index_1d(), side as usize);
        if i >= n * n * n {
            return;
        }
        let at = [i % n, i / n % n, i / (n * n)].map(|c| frequency(c as u32, side));
        let sample = blob_sample(square(at), padded_box);
        let factor = if sample < BLOB_SAMPLES {
            memory::load(blob, sample as usize)
        } else {
            0.0
        };
        let place = i / n * real_row(side) + i % n;
        *cube.add(place) *= factor;
    }
}

/// D ← D / |C|·`scale` where |v|² < Rp², C the transform that [`density_transform`] has become. A thread a voxel.
#[kernel]
pub unsafe fn correct_density(
    transform: *const [f32; 2],
    shape: *const VolumeShape,
    radius2: u32,
    scale: f32,
    sums: *mut [f32; 4],
) {
    // SAFETY: the index is checked; every voxel is a frequency of this side.
    unsafe {
        let (i, shape) = (thread::index_1d(), &*shape);
        let Some(at) = position(i, shape) else {
            return;
        };
        if square(at) >= radius2 {
            return;
        }
        let [y, z] = [at[1], at[2]].map(|c| crate::volume::stored(c, shape.side) as usize);
        let row = z * shape.side as usize + y;
        let [re, im] = memory::load2(transform, row * shape.row() + at[0] as usize);
        let voxel = sums.add(i);
        (*voxel)[3] = corrected_density((*voxel)[3], (re * re + im * im).sqrt() * scale);
    }
}

/// A·D·`scale` as the centred half-complex transform of a box of `padded_box`³, 0 where there is nothing. A thread a
/// value of the transform.
#[kernel]
pub unsafe fn compensate_into_transform(
    sums: *const [f32; 4],
    shape: *const VolumeShape,
    radius2: u32,
    scale: f32,
    padded_box: u32,
    out: *mut [f32; 2],
) {
    // SAFETY: the index is checked; frequencies are looked up only inside the volume.
    unsafe {
        let i = thread::index_1d();
        let Some(at) = transform_position(i, padded_box) else {
            return;
        };
        let mut value = [0.0, 0.0];
        if square(at) < radius2 {
            let voxel = memory::load4(sums, place(at, &*shape));
            let factor = voxel[3] * centre_sign(at[0], at[1], at[2]);
            value = [voxel[0] * scale * factor, voxel[1] * scale * factor];
        }
        memory::store2(out, i, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::test_data;
    use cuda_std::emulator::{DevicePointer, launch};

    const SIDE: u32 = 15;
    const RADIUS2: u32 = 36;

    fn shape() -> VolumeShape {
        VolumeShape::new(SIDE, 3, 2.0)
    }

    fn sums(seed: u64) -> Vec<[f32; 4]> {
        test_data::values(4 * shape().len(), seed)
            .chunks_exact(4)
            .map(|v| [v[0], v[1], 1.5 + v[2], 1.5 + v[3]])
            .collect()
    }

    fn threads(count: usize) -> [u32; 3] {
        [count.div_ceil(64) as u32, 1, 1]
    }

    #[test]
    fn densities_begin_as_one_within_the_sphere() {
        let (mut data, mut shape) = (sums(1), shape());
        let before = data.clone();
        let d = DevicePointer::of(&mut data);
        let s = DevicePointer::of(std::slice::from_mut(&mut shape));
        // SAFETY: array sizes as the kernel demands.
        launch(threads(before.len()), [64, 1, 1], 0, || unsafe {
            begin_density(d.get(), s.get(), RADIUS2);
        });
        for (i, (new, old)) in data.iter().zip(&before).enumerate() {
            let within = square(position(i, &shape).unwrap()) < RADIUS2;
            assert_eq!(*new, [old[0], old[1], old[2], f32::from(u8::from(within))]);
        }
    }

    /// Weighted densities go to the place of their frequency, and what comes back from there corrects them.
    #[test]
    fn densities_go_to_their_frequency_and_are_corrected_from_there() {
        let (mut data, mut shape) = (sums(2), shape());
        let before = data.clone();
        let width = SIDE as usize / 2 + 1;
        let mut cube = vec![[f32::NAN; 2]; SIDE as usize * SIDE as usize * width];
        let length = cube.len();
        let (d, c) = (DevicePointer::of(&mut data), DevicePointer::of(&mut cube));
        let s = DevicePointer::of(std::slice::from_mut(&mut shape));
        // SAFETY: array sizes as the kernels demand.
        launch(threads(length), [64, 1, 1], 0, || unsafe {
            density_transform(d.get(), s.get(), 0.5, c.get());
        });
        // (x, y, z) = (2, −3, 4) lies in row −3 + 15.
        let at = place([2, -3, 4], &shape);
        let product = before[at][2] * 0.5 * before[at][3];
        assert_eq!(cube[(4 * 15 + 12) * width + 2], [product, 0.0]);
        // Where nothing is left of the density, it grows by the largest factor.
        cube[(4 * 15 + 12) * width + 2] = [0.0, 0.0];
        let c = DevicePointer::of(&mut cube);
        // SAFETY: as above.
        launch(threads(before.len()), [64, 1, 1], 0, || unsafe {
            correct_density(c.get(), s.get(), RADIUS2, 2.0, d.get());
        });
        for (i, (new, old)) in data.iter().zip(&before).enumerate() {
            let expected = match square(position(i, &shape).unwrap()) {
                r2 if r2 >= RADIUS2 => old[3],
                _ if i == at => old[3] / 1e-6,
                _ => 1.0 / old[2],
            };
            assert!((new[3] / expected - 1.0).abs() < 1e-6, "voxel {i}");
        }
    }

    #[test]
    fn the_blob_weighs_voxels_by_their_distance_from_the_corner() {
        let n = SIDE as usize;
        let row = real_row(SIDE);
        let mut cube = vec![1.0f32; n * n * row];
        let mut blob: Vec<f32> = (0..BLOB_SAMPLES).map(|s| s as f32).collect();
        let (c, b) = (DevicePointer::of(&mut cube), DevicePointer::of(&mut blob));
        // SAFETY: array sizes as the kernel demands.
        launch(threads(n * n * n), [64, 1, 1], 0, || unsafe {
            multiply_by_blob(c.get(), SIDE, 12, b.get());
        });
        let at = |x: usize, y: usize, z: usize| cube[(z * n + y) * row + x];
        // One voxel of half a box of six: a sixth of the samples; the last voxel is at −1.
        assert_eq!(
            [at(0, 0, 0), at(1, 0, 0), at(0, 14, 0)],
            [0.0, 1666.0, 1666.0]
        );
        // √(3² + 4²) = 5; beyond 6 nothing is left.
        assert_eq!([at(3, 0, 11), at(0, 7, 0), at(4, 4, 4)], [8333.0, 0.0, 0.0]);
    }

    #[test]
    fn compensated_data_become_a_centred_transform() {
        let (mut data, mut shape) = (sums(3), shape());
        let q = 16u32;
        let mut out = vec![[f32::NAN; 2]; (q * q * (q / 2 + 1)) as usize];
        let length = out.len();
        let (d, o) = (DevicePointer::of(&mut data), DevicePointer::of(&mut out));
        let s = DevicePointer::of(std::slice::from_mut(&mut shape));
        // SAFETY: array sizes as the kernel demands.
        launch(threads(length), [64, 1, 1], 0, || unsafe {
            compensate_into_transform(d.get(), s.get(), RADIUS2, 0.5, q, o.get());
        });
        for (i, value) in out.iter().enumerate() {
            let at = transform_position(i, q).unwrap();
            let mut expected = [0.0; 2];
            if square(at) < RADIUS2 {
                let v = data[place(at, &shape)];
                let factor = centre_sign(at[0], at[1], at[2]) * v[3];
                expected = [v[0] * 0.5 * factor, v[1] * 0.5 * factor];
            }
            assert_eq!(*value, expected);
        }
    }
}
