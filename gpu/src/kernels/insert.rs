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
