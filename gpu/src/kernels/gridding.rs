//! M-step: density compensation found by iteration (`--dont_skip_gridding`; spec 02 §2.3) in place of a division.
//!
//! `radius2` is Rp².

use cuda_std::prelude::*;

use crate::slice::VolumeShape;
use crate::volume::{centre_sign, place, transform_position};

/// Squared distance from the origin; of indices below 2¹⁴.
#[inline(always)]
fn square([x, y, z]: [i32; 3]) -> u32 {
    (x * x + y * y + z * z) as u32
}

/// A·D·`scale` as the centred half-complex transform of a box of `padded_box`³, 0 where there is nothing. `density` holds
/// D of every voxel of the sums. A thread a value of the transform.
#[kernel]
pub unsafe fn compensate_into_transform(
    sums: *const [f32; 4],
    density: *const f32,
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
            let voxel = place(at, &*shape);
            let factor = memory::load(density, voxel) * centre_sign(at[0], at[1], at[2]);
            let data = memory::load4(sums, voxel);
            value = [data[0] * scale * factor, data[1] * scale * factor];
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
            .map(|v| [v[0], v[1], 1.5 + v[2], 0.0])
            .collect()
    }

    fn threads(count: usize) -> [u32; 3] {
        [count.div_ceil(64) as u32, 1, 1]
    }

    #[test]
    fn compensated_data_become_a_centred_transform() {
        let (mut data, mut shape) = (sums(3), shape());
        let mut density = test_data::values(data.len(), 4);
        let q = 16u32;
        let mut out = vec![[f32::NAN; 2]; (q * q * (q / 2 + 1)) as usize];
        let length = out.len();
        let (d, o) = (DevicePointer::of(&mut data), DevicePointer::of(&mut out));
        let densities = DevicePointer::of(&mut density);
        let s = DevicePointer::of(std::slice::from_mut(&mut shape));
        // SAFETY: array sizes as the kernel demands.
        launch(threads(length), [64, 1, 1], 0, || unsafe {
            compensate_into_transform(d.get(), densities.get(), s.get(), RADIUS2, 0.5, q, o.get());
        });
        for (i, value) in out.iter().enumerate() {
            let at = transform_position(i, q).unwrap();
            let mut expected = [0.0; 2];
            if square(at) < RADIUS2 {
                let voxel = place(at, &shape);
                let v = data[voxel];
                let factor = centre_sign(at[0], at[1], at[2]) * density[voxel];
                expected = [v[0] * 0.5 * factor, v[1] * 0.5 * factor];
            }
            assert_eq!(*value, expected);
        }
    }
}
