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
        if let Some(place) = insertion(&*shape, max_radius2, at) {
            let inserted = Inserted::new(place, value);
            inserted.add(&*shape, 0, sums);
            inserted.add(&*shape, 1, sums);
        }
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
    pub fn new(place: Insertion, [re, im, weight]: [f32; 3]) -> Self {
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
    pub unsafe fn add(&self, shape: &VolumeShape, x: u32, sums: *mut [f32; 4]) {
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
