//! Central slices of a reference for a list of orientations (spec 01 §1.5).

use cuda_std::prelude::*;

use crate::slice::{SliceAxes, VolumeShape, slice_value_from};

/// Cuts slices: `out[o · stride + p]` is the reference at pixel `p` of orientation `o`.
///
/// Grid: x = orientations, y = blocks of pixels; a thread a pixel. `volume` holds `shape.len()` complex values aligned to
/// 8 bytes, `pixels` the (x, y) of each participating pixel.
#[kernel]
pub unsafe fn project_slices(
    volume: *const [f32; 2],
    shape: *const VolumeShape,
    axes: *const SliceAxes,
    pixels: *const [i16; 2],
    pixel_count: u32,
    out: *mut [f32; 2],
    stride: u32,
) {
    // SAFETY: the host passes arrays of the sizes said above, and the index is checked against the pixel count.
    unsafe {
        let orientation = thread::block_idx_x() as usize;
        let pixel = thread::block_idx_y() * thread::block_dim_x() + thread::thread_idx_x();
        if pixel >= pixel_count {
            return;
        }
        let [x, y] = *pixels.add(pixel as usize);
        let p = (*axes.add(orientation)).position(f32::from(x), f32::from(y));
        let value = slice_value_from(|i| memory::load2(volume, i), &*shape, p);
        memory::store2(out, orientation * stride as usize + pixel as usize, value);
    }
}
