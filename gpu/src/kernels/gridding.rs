//! M-step: density compensation found by iteration (`--dont_skip_gridding`; spec 02 §2.3) in place of a division.
//!
//! The density D of a voxel is the fourth number of the sums. `radius2` is Rp².

use cuda_std::prelude::*;

use crate::slice::VolumeShape;
use crate::volume::{centre_sign, place, transform_position};

/// Squared distance from the origin; of indices below 2¹⁴.
#[inline(always)]
fn square([x, y, z]: [i32; 3]) -> u32 {
    (x * x + y * y + z * z) as u32
}

/// D = `density`, a number a voxel. A thread a voxel.
#[kernel]
pub unsafe fn set_density(sums: *mut [f32; 4], voxels: u32, density: *const f32) {
    // SAFETY: the index is checked.
    unsafe {
        let i = thread::index_1d();
        if i < voxels as usize {
            (*sums.add(i))[3] = memory::load(density, i);
        }
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
    fn densities_are_as_they_are_given() {
        let mut data = sums(1);
        let before = data.clone();
        let mut density: Vec<f32> = (0..data.len()).map(|i| i as f32).collect();
        let (d, given) = (
            DevicePointer::of(&mut data),
            DevicePointer::of(&mut density),
        );
        let voxels = before.len() as u32;
        // SAFETY: array sizes as the kernel demands.
        launch(threads(before.len()), [64, 1, 1], 0, || unsafe {
            set_density(d.get(), voxels, given.get());
        });
        for (i, (new, old)) in data.iter().zip(&before).enumerate() {
            assert_eq!(*new, [old[0], old[1], old[2], i as f32]);
        }
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
