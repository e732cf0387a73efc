//! References as kernels read them: voxel by voxel, or each voxel together with its neighbour along x.
//!
//! Interpolation reads eight voxels, four pairs of neighbours along x. Where a reference lies in memory with each voxel beside a
//! copy of its neighbour, a pair is one load of 16 bytes instead of two of 8: half of the look-ups, which bound the kernels that
//! cut slices, for three times the memory.

use cuda_std::prelude::*;

use crate::slice::{VolumeShape, slice_value_from};

/// A reference in device memory.
#[derive(Clone, Copy)]
pub(super) struct Reference {
    voxels: *const [f32; 2],
    /// Voxels with their neighbours; null where there is no memory for them.
    doubled: *const [f32; 4],
}

impl Reference {
    /// Volume `number` of those that lie one after the other from `voxels` on, and from `doubled` on unless that is null.
    ///
    /// # Safety
    /// The volume exists and has the shape.
    #[inline(always)]
    pub unsafe fn of(
        voxels: *const [f32; 2],
        doubled: *const [f32; 4],
        number: usize,
        shape: &VolumeShape,
    ) -> Self {
        let first = number * shape.len();
        // SAFETY: the caller's volume.
        unsafe {
            Self {
                voxels: voxels.add(first),
                doubled: match doubled.is_null() {
                    true => doubled,
                    false => doubled.add(first),
                },
            }
        }
    }

    /// Value of the slice at position `p`, 0 outside the limiting sphere.
    ///
    /// # Safety
    /// `shape` is that of the volume.
    #[inline(always)]
    pub unsafe fn value(&self, shape: &VolumeShape, p: [f32; 3]) -> [f32; 2] {
        // SAFETY: interpolation reads within the volume.
        unsafe {
            // The same branch for all threads.
            if self.doubled.is_null() {
                slice_value_from(|i| pair(self.voxels, i), shape, p)
            } else {
                slice_value_from(|i| memory::load4(self.doubled, i), shape, p)
            }
        }
    }
}

/// Reads voxel `i` and the one after it.
///
/// # Safety
/// Both exist.
#[inline(always)]
pub(super) unsafe fn pair(voxels: *const [f32; 2], i: usize) -> [f32; 4] {
    // SAFETY: the caller's voxels.
    let [a, b] = unsafe { [memory::load2(voxels, i), memory::load2(voxels, i + 1)] };
    [a[0], a[1], b[0], b[1]]
}

/// Writes each of the `count` voxels of one volume or several and the one after it to `out`; the last one stands alone. A
/// thread a voxel.
#[kernel(block = 256, grid = [count.div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn double_voxels(
    count: u32,
    #[unchecked] voxels: *const [f32; 2],
    #[len(count)] out: *mut [f32; 4],
) {
    let i = thread::index_1d();
    let count = count as usize;
    if i >= count {
        return;
    }
    // SAFETY: indices are checked.
    unsafe {
        let a = memory::load2(voxels, i);
        let b = match i + 1 < count {
            true => memory::load2(voxels, i + 1),
            false => [0.0; 2],
        };
        *out.add(i) = [a[0], a[1], b[0], b[1]];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::test_data;
    use crate::slice::slice_value;
    use cuda_std::launch::{View, emulate};

    #[test]
    fn doubled_voxels_give_the_same_values() {
        let shape = VolumeShape::new(2 * (8 + 1) + 1, 4, 2.0);
        let mut volumes = test_data::complex(2 * shape.len(), 3);
        let mut doubled = vec![[f32::NAN; 4]; volumes.len()];
        // SAFETY: arrays of the sizes that the kernel demands.
        unsafe {
            emulate(&DoubleVoxels {
                count: volumes.len() as u32,
                voxels: View::of(&mut volumes),
                out: View::of(&mut doubled),
            });
        }
        for number in 0..2 {
            let own = &volumes[number * shape.len()..][..shape.len()];
            for k in 0..200 {
                let at = [0, 1, 2].map(|axis| ((k * (7 + 3 * axis)) % 171) as f32 * 0.1 - 8.5);
                let expected = slice_value(own, &shape, at);
                for doubled in [doubled.as_ptr(), core::ptr::null()] {
                    // SAFETY: two volumes of the shape.
                    let found = unsafe {
                        Reference::of(volumes.as_ptr(), doubled, number, &shape).value(&shape, at)
                    };
                    assert_eq!(found, expected, "{at:?}");
                }
            }
        }
    }
}
