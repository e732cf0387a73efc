//! Insertion of pixels into back-projection volumes (spec 02 §1.3).

use cuda_std::prelude::*;

use crate::slice::{Bend, SliceAxes, VolumeShape, insertion};

/// Adds slices that the host has made. A thread a pixel.
///
/// A slice has `pixels` pixels in rows of `width`, y = 1 − `width` + 1… upwards, each (re, im, weight); weight 0 = nothing to insert.
/// `bends`: how far the pixels of each slice lie off its plane; null where all slices are flat. `max_radius2` limits insertion.
#[kernel(block = 128, grid = [slices, pixels.div_ceil(BLOCK), 1], emulate = Apart)]
pub unsafe fn insert_slices(
    #[launch] slices: u32,
    #[len(slices)] axes: *const SliceAxes,
    #[optional(slices)] bends: *const Bend,
    #[len(slices * pixels)] values: *const [f32; 3],
    width: u32,
    pixels: u32,
    #[len(1)] shape: *const VolumeShape,
    max_radius2: f32,
    #[unchecked] sums: *mut [f32; 4],
) {
    // SAFETY: the pixel is checked; arrays hold all slices.
    unsafe {
        let slice = thread::block_idx_x() as usize;
        let pixel = thread::block_idx_y() * thread::block_dim_x() + thread::thread_idx_x();
        if pixel >= pixels {
            return;
        }
        let value = *values.add(slice * pixels as usize + pixel as usize);
        if value[2] <= 0.0 {
            return;
        }
        // Rows end with y = width − 1, which is half of the box.
        let first = width as i32 - (pixels / width) as i32;
        let x = (pixel % width) as f32;
        let y = (first + (pixel / width) as i32) as f32;
        let mut at = (*axes.add(slice)).position(x, y);
        if !bends.is_null() {
            at = (*bends.add(slice)).bent(at, x, y);
        }
        insert(sums, &*shape, max_radius2, at, value);
    }
}

/// Adds one pixel to the voxels around it.
///
/// # Safety
/// `sums` is a volume of this shape.
#[inline(always)]
pub(super) unsafe fn insert(
    sums: *mut [f32; 4],
    shape: &VolumeShape,
    max_radius2: f32,
    at: [f32; 3],
    value: [f32; 3],
) {
    let Some(place) = insertion(shape, max_radius2, at) else {
        return;
    };
    let im = if place.conjugate { -value[1] } else { value[1] };
    for corner in 0..shape.corners() {
        let (offset, share) = place.corner(shape, corner);
        let added = [share * value[0], share * im, share * value[2], 0.0];
        // SAFETY: the corners of a position inside the limiting sphere lie in the volume.
        unsafe { atomic::add_f32x4(sums.add(place.base + offset).cast(), added) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::test_data::assert_close;
    use cuda_std::launch::{View, emulate};

    /// Flat and bent slices, pixel by pixel by the formula.
    #[test]
    fn every_pixel_is_shared_between_its_voxels() {
        const SIZE: usize = 8;
        const WIDTH: usize = SIZE / 2 + 1;
        let shape = VolumeShape::new(2 * (8 + 1) + 1, 4, 2.0);
        let mut axes = [
            SliceAxes {
                x_axis: [1.2, -1.6, 0.0],
                y_axis: [0.3, 0.1, 1.9],
            },
            SliceAxes {
                x_axis: [-0.4, 0.7, 1.8],
                y_axis: [1.9, 0.5, 0.2],
            },
        ];
        let mut bends = [
            Bend::default(),
            Bend {
                axis: [0.5, -1.0, 1.5],
                form: [0.03, 0.002, 0.02],
            },
        ];
        let mut values: Vec<[f32; 3]> = (0..2 * SIZE * WIDTH)
            .map(|i| [(i % 7) as f32 - 3.0, (i % 5) as f32, (i % 4) as f32])
            .collect();
        for curved in [false, true] {
            let mut sums = vec![[0.0f32; 4]; shape.len()];
            // SAFETY: arrays are as long as the kernel demands.
            unsafe {
                emulate(&InsertSlices {
                    slices: 2,
                    axes: View::of(&mut axes),
                    bends: match curved {
                        true => View::of(&mut bends),
                        false => View::null(),
                    },
                    values: View::of(&mut values),
                    width: WIDTH as u32,
                    pixels: (SIZE * WIDTH) as u32,
                    shape: View::of(&mut [shape]),
                    max_radius2: shape.max_radius2,
                    sums: View::of(&mut sums),
                });
            }
            let mut expected = vec![[0.0f64; 3]; shape.len()];
            for (i, [re, im, w]) in values.iter().copied().enumerate() {
                let (slice, pixel) = (i / (SIZE * WIDTH), i % (SIZE * WIDTH));
                let x = (pixel % WIDTH) as f32;
                let y = (pixel / WIDTH) as f32 - (SIZE / 2) as f32 + 1.0;
                let mut p = axes[slice].position(x, y);
                if curved {
                    p = bends[slice].bent(p, x, y);
                }
                let Some(at) = insertion(&shape, shape.max_radius2, p).filter(|_| w > 0.0) else {
                    continue;
                };
                let im = if at.conjugate { -im } else { im };
                for corner in 0..8 {
                    let (offset, share) = at.corner(&shape, corner);
                    for (sum, value) in expected[at.base + offset].iter_mut().zip([re, im, w]) {
                        *sum += f64::from(share * value);
                    }
                }
            }
            let found: Vec<f32> = sums.iter().flat_map(|v| [v[0], v[1], v[2]]).collect();
            assert_close(&found, expected.as_flattened(), 1e-6);
        }
    }
}
