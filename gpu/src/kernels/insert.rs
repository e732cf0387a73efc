//! Insertion of pixels into back-projection volumes (spec 02 §1.3).

use cuda_std::prelude::*;

use crate::slice::{Bend, Insertion, SliceAxes, VolumeShape, insertion};

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
        Inserted::add_alone((at, value), &*shape, max_radius2, sums);
    }
}

/// A pixel on its way into the volume.
#[derive(Clone, Copy)]
pub(super) struct Inserted {
    /// Index of its first corner.
    base: usize,
    /// Fractions along x, y, z.
    fraction: [f32; 3],
    /// (re, im, weight).
    value: [f32; 3],
}

impl Inserted {
    /// At `place` of its volume.
    #[inline(always)]
    fn new(place: Insertion, [re, im, weight]: [f32; 3]) -> Self {
        Self {
            base: place.base,
            fraction: place.fraction,
            value: [re, if place.conjugate { -im } else { im }, weight],
        }
    }

    /// Adds the corners at `x` (0 or 1).
    ///
    /// # Safety
    /// The pixel lies in the volume `sums`, which has the shape.
    #[inline(always)]
    unsafe fn add(&self, shape: &VolumeShape, x: u32, sums: *mut [f32; 4]) {
        let share = |f: f32, corner: u32| if corner == 1 { f } else { 1.0 - f };
        let [fx, fy, fz] = self.fraction;
        let of_x = share(fx, x);
        for corner in 0..shape.corners() / 2 {
            let (y, z) = (corner & 1, corner >> 1);
            let share = share(fz, z) * share(fy, y) * of_x;
            let [re, im, weight] = self.value;
            let at = self.base + z as usize * shape.plane() + y as usize * shape.row() + x as usize;
            // SAFETY: the caller's corners.
            unsafe {
                atomic::add_f32x4(
                    sums.add(at).cast(),
                    [share * re, share * im, share * weight, 0.0],
                );
            }
        }
    }

    /// Adds a pixel, where it lies inside the limiting sphere.
    ///
    /// # Safety
    /// `sums` is a volume of this shape.
    #[inline(always)]
    pub unsafe fn add_alone(
        (at, value): ([f32; 3], [f32; 3]),
        shape: &VolumeShape,
        max_radius2: f32,
        sums: *mut [f32; 4],
    ) {
        if let Some(place) = insertion(shape, max_radius2, at) {
            let inserted = Self::new(place, value);
            // SAFETY: the corners of a position inside the limiting sphere lie in the volume.
            unsafe {
                inserted.add(shape, 0, sums);
                inserted.add(shape, 1, sums);
            }
        }
    }

    /// Adds the pixels of two neighbouring lanes one after the other, each lane at its own x: corners that lie side by side then
    /// reach memory in one access, not in two. A lane without a pixel gives positions that are no numbers.
    ///
    /// # Safety
    /// `sums` is a volume of this shape; all lanes of the warp come here.
    #[inline(always)]
    pub unsafe fn add_by_two(
        (at, value): ([f32; 3], [f32; 3]),
        shape: &VolumeShape,
        max_radius2: f32,
        sums: *mut [f32; 4],
    ) {
        let other = (
            at.map(|p| warp::shuffle_xor(p, 1)),
            value.map(|v| warp::shuffle_xor(v, 1)),
        );
        let x = warp::lane_id() & 1;
        for lane in 0..2 {
            let (at, value) = if lane == x { (at, value) } else { other };
            if let Some(place) = insertion(shape, max_radius2, at) {
                // SAFETY: the corners of a position inside the limiting sphere lie in the volume.
                unsafe { Self::new(place, value).add(shape, x, sums) };
            }
        }
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
