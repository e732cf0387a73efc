//! Central slices of a reference for a list of orientations (spec 01 §1.5).

use cuda_std::prelude::*;

use crate::shapes::{PROJECT_ORIENTATIONS, PROJECT_PIXELS};
use crate::slice::{SliceAxes, VolumeShape, slice_value_from};

/// Cuts slices: `out[o · stride + p]` is the reference at pixel `p` of orientation `o`, 0 from `pixel_count` to `stride`.
///
/// Grid: x = groups of eight orientations, y = blocks of pixels. A warp has four neighbouring pixels of the eight, which are
/// children of one orientation where there are children: their positions lie close together, so that one look-up of the
/// cache serves several threads. `volume` holds `shape.len()` complex values aligned to 8 bytes, `pixels` the (x, y) of
/// each participating pixel. Orientation `o` takes the axes
/// `selection[o / children] · children + o mod children`, or `o` itself where `selection` is null. `volume_of`, where
/// not null, says for every parent (axes index / children) which of the consecutive volumes is cut.
#[kernel(
    block = 128,
    grid = [orientations.div_ceil(PROJECT_ORIENTATIONS), stride.div_ceil(PROJECT_PIXELS), 1],
    emulate = Apart
)]
pub unsafe fn project_slices(
    orientations: u32,
    #[unchecked] volume: *const [f32; 2],
    #[len(1)] shape: *const VolumeShape,
    #[unchecked] axes: *const SliceAxes,
    #[optional(orientations.div_ceil(children))] selection: *const u32,
    #[unchecked] volume_of: *const u32,
    children: u32,
    #[len(pixel_count)] pixels: *const [i16; 2],
    pixel_count: u32,
    #[len(orientations * stride)] out: *mut [f32; 2],
    stride: u32,
) {
    // SAFETY: the host passes arrays of the sizes said above; indices are checked against the strides.
    unsafe {
        let (lane, warp) = (
            thread::thread_idx_x() % warp::WARP_SIZE,
            thread::thread_idx_x() / warp::WARP_SIZE,
        );
        let orientation = thread::block_idx_x() * PROJECT_ORIENTATIONS + lane / 4;
        let pixel = thread::block_idx_y() * PROJECT_PIXELS + warp * 4 + lane % 4;
        if pixel >= stride || orientation >= orientations {
            return;
        }
        let mut value = [0.0, 0.0];
        if pixel < pixel_count {
            let mut parent = (orientation / children) as usize;
            if !selection.is_null() {
                parent = *selection.add(parent) as usize;
            }
            let chosen = parent * children as usize + (orientation % children) as usize;
            let mut volume = volume;
            if !volume_of.is_null() {
                volume = volume.add(*volume_of.add(parent) as usize * (*shape).len());
            }
            let [x, y] = *pixels.add(pixel as usize);
            let p = (*axes.add(chosen)).position(f32::from(x), f32::from(y));
            value = slice_value_from(|i| memory::load2(volume, i), &*shape, p);
        }
        let row = orientation as usize;
        memory::store2(out, row * stride as usize + pixel as usize, value);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::kernels::test_data;
    use crate::slice::slice_value;
    use cuda_std::launch::{View, emulate};

    /// Axes of some orientations.
    pub fn rotations(count: usize, padding: f32) -> Vec<SliceAxes> {
        (0..count)
            .map(|i| {
                let (a, b) = (0.7 * i as f32 + 0.1, 0.3 * i as f32);
                SliceAxes {
                    x_axis: [a.cos() * b.cos(), a.sin() * b.cos(), -b.sin()].map(|v| v * padding),
                    y_axis: [-a.sin(), a.cos(), 0.0].map(|v| v * padding),
                }
            })
            .collect()
    }

    /// Axes of some rotations in the plane.
    pub fn turns(count: usize, padding: f32) -> Vec<SliceAxes> {
        (0..count)
            .map(|i| {
                let (sin, cos) = (0.7 * i as f32 + 0.1).sin_cos();
                SliceAxes {
                    x_axis: [cos, sin, 0.0].map(|v| v * padding),
                    y_axis: [-sin, cos, 0.0].map(|v| v * padding),
                }
            })
            .collect()
    }

    #[test]
    fn slices_equal_the_shared_arithmetic_and_are_padded_with_zeros() {
        check(VolumeShape::new(2 * (16 + 1) + 1, 8, 2.0), rotations);
    }

    /// Class averages are turned in their plane.
    #[test]
    fn class_averages_equal_the_shared_arithmetic() {
        check(VolumeShape::flat(2 * (16 + 1) + 1, 8, 2.0), turns);
    }

    fn check(mut shape: VolumeShape, rotations: impl Fn(usize, f32) -> Vec<SliceAxes>) {
        let voxels = shape.len();
        let mut volume = test_data::complex(2 * voxels, 1);
        let mut volume_of = vec![1u32, 0, 0];
        let mut pixels = test_data::pixels(8);
        let mut axes = rotations(6, 2.0);
        let (count, stride) = (pixels.len(), pixels.len() + 5);
        let mut selection = vec![2u32, 0];
        let mut out = vec![[f32::NAN; 2]; 4 * stride];
        let (v, s, a) = (
            View::of(&mut volume),
            View::of(std::slice::from_mut(&mut shape)),
            View::of(&mut axes),
        );
        let (sel, px) = (View::of(&mut selection), View::of(&mut pixels));
        let of = View::of(&mut volume_of);
        let o = View::of(&mut out);
        // SAFETY: array sizes as the kernel demands.
        unsafe {
            emulate(&ProjectSlices {
                orientations: 4,
                volume: v,
                shape: s,
                axes: a,
                selection: sel,
                volume_of: of,
                children: 2,
                pixels: px,
                pixel_count: count as u32,
                out: o,
                stride: stride as u32,
            })
        };
        for (row, chosen) in [(0, 4), (1, 5), (2, 0), (3, 1)] {
            for (p, [x, y]) in pixels.iter().enumerate() {
                let at = axes[chosen].position(f32::from(*x), f32::from(*y));
                let first = if chosen < 2 { voxels } else { 0 };
                let expected = slice_value(&volume[first..first + voxels], &shape, at);
                assert_eq!(out[row * stride + p], expected);
            }
            assert!(
                out[row * stride + count..(row + 1) * stride]
                    .iter()
                    .all(|v| *v == [0.0; 2])
            );
        }
    }
}
