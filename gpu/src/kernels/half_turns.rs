//! Orientations that differ by a half turn in the plane of the image, for the matrix products of the first pass.
//!
//! The slice at ψ + 180° is the slice at ψ at the pixels −p, which is its complex conjugate. With the products of the real
//! parts P = Σ Re A · Re X and of the imaginary parts Q = Σ Im A · Im X, the cross term Re Σ conj(A)·X is P + Q at ψ and P − Q at
//! ψ + 180°, and the power of the slice is the same. One of each pair is projected, and the products are half as long.

use cuda_std::prelude::*;

use crate::slice::{SliceAxes, VolumeShape, slice_value_from};

/// Cuts the slice of the first orientation of each pair: its parts in `real[pair · stride + p]` and `imaginary[…]`, and ½|A|²
/// in `half_power[…]`; 0 from `pixel_count` to `stride`.
///
/// Grid: x = pairs, y = blocks of pixels; a thread a pixel. `volume` holds consecutive volumes of `shape.len()` complex
/// values aligned to 8 bytes, `volume_of` says for every orientation which of them is cut, along its `axes`; `pixels` are
/// the (x, y) of each participating pixel.
#[kernel(block = 128, grid = [pair_count, stride.div_ceil(BLOCK), 1], emulate = Apart)]
pub unsafe fn project_parts(
    #[len(pair_count)] pairs: *const [u32; 2],
    #[launch] pair_count: u32,
    #[unchecked] volume: *const [f32; 2],
    #[len(1)] shape: *const VolumeShape,
    #[unchecked] axes: *const SliceAxes,
    #[unchecked] volume_of: *const u32,
    #[len(pixel_count)] pixels: *const [i16; 2],
    pixel_count: u32,
    #[len(pair_count * stride)] real: *mut f32,
    #[len(pair_count * stride)] imaginary: *mut f32,
    #[len(pair_count * stride)] half_power: *mut f32,
    stride: u32,
) {
    // SAFETY: the host passes arrays of the sizes said above; indices are checked against the strides.
    unsafe {
        let pair = thread::block_idx_x() as usize;
        let pixel = thread::block_idx_y() * thread::block_dim_x() + thread::thread_idx_x();
        if pixel >= stride {
            return;
        }
        let mut value = [0.0, 0.0];
        if pixel < pixel_count {
            let chosen = (*pairs.add(pair))[0] as usize;
            let volume = volume.add(*volume_of.add(chosen) as usize * (*shape).len());
            let [x, y] = *pixels.add(pixel as usize);
            let p = (*axes.add(chosen)).position(f32::from(x), f32::from(y));
            value = slice_value_from(|i| memory::load2(volume, i), &*shape, p);
        }
        let at = pair * stride as usize + pixel as usize;
        *real.add(at) = value[0];
        *imaginary.add(at) = value[1];
        *half_power.add(at) = 0.5 * (value[0] * value[0] + value[1] * value[1]);
    }
}

/// Puts the products of pairs where their orientations are: `cross[first · columns + c]` = P + Q,
/// `cross[second · columns + c]` = P − Q, where P and Q are `real` and `imaginary` at `[pair · columns + c]`, and
/// `norm[… · images + i]` = `power[pair · images + i]` for both. An orientation without its half turn is a pair with itself.
///
/// Grid: x = pairs, y = blocks of columns, of which there are not fewer than images.
#[kernel(block = 256, grid = [pair_count, columns.div_ceil(4 * BLOCK), 1], emulate = Apart)]
pub unsafe fn join_half_turns(
    #[len(pair_count)] pairs: *const [u32; 2],
    #[launch] pair_count: u32,
    #[len(pair_count * columns)] real: *const f32,
    #[len(pair_count * columns)] imaginary: *const f32,
    columns: u32,
    #[len(pair_count * images)] power: *const f32,
    images: u32,
    #[unchecked] cross: *mut f32,
    #[unchecked] norm: *mut f32,
) {
    // SAFETY: the host passes arrays of the sizes said above, in which both orientations of every pair have their rows.
    unsafe {
        let pair = thread::block_idx_x() as usize;
        let [first, second] = (*pairs.add(pair)).map(|row| row as usize);
        let (row, step) = (columns as usize, thread::block_dim_x() as usize);
        let mut column =
            thread::block_idx_y() as usize * 4 * step + thread::thread_idx_x() as usize;
        for _ in 0..4 {
            if column < row {
                let p = *real.add(pair * row + column);
                let q = *imaginary.add(pair * row + column);
                *cross.add(first * row + column) = p + q;
                if second != first {
                    *cross.add(second * row + column) = p - q;
                }
            }
            if column < images as usize {
                let value = *power.add(pair * images as usize + column);
                *norm.add(first * images as usize + column) = value;
                *norm.add(second * images as usize + column) = value;
            }
            column += step;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::project::tests::{rotations, turns};
    use crate::kernels::test_data::{self, assert_close};
    use crate::slice::slice_value;
    use cuda_std::launch::{View, emulate, emulate_as};

    /// The parts of slices equal the shared arithmetic; rows end in zeros.
    fn check(mut shape: VolumeShape, rotations: impl Fn(usize, f32) -> Vec<SliceAxes>) {
        let voxels = shape.len();
        let mut volume = test_data::complex(2 * voxels, 1);
        let (mut volume_of, mut pairs) = (vec![1u32, 0, 0], vec![[2u32, 2], [0, 1]]);
        let mut pixels = test_data::pixels(8);
        let mut axes = rotations(3, 2.0);
        let (count, stride) = (pixels.len(), pixels.len() + 5);
        let [mut real, mut imaginary, mut power] = [0; 3].map(|_| vec![f32::NAN; 2 * stride]);
        let kernel = ProjectParts {
            pairs: View::of(&mut pairs),
            pair_count: 2,
            volume: View::of(&mut volume),
            shape: View::of(std::slice::from_mut(&mut shape)),
            axes: View::of(&mut axes),
            volume_of: View::of(&mut volume_of),
            pixels: View::of(&mut pixels),
            pixel_count: count as u32,
            real: View::of(&mut real),
            imaginary: View::of(&mut imaginary),
            half_power: View::of(&mut power),
            stride: stride as u32,
        };
        // SAFETY: array sizes as the kernel demands.
        unsafe { emulate_as(&kernel, [2, stride.div_ceil(64) as u32, 1], [64, 1, 1]) };
        for (pair, chosen) in [(0, 2), (1, 0)] {
            let first = volume_of[chosen] as usize * voxels;
            for p in 0..stride {
                let expected = pixels.get(p).map_or([0.0; 2], |[x, y]| {
                    let at = axes[chosen].position(f32::from(*x), f32::from(*y));
                    slice_value(&volume[first..first + voxels], &shape, at)
                });
                let at = pair * stride + p;
                assert_eq!([real[at], imaginary[at]], expected);
                let half = 0.5 * (expected[0] * expected[0] + expected[1] * expected[1]);
                assert_eq!(power[at], half);
            }
        }
    }

    #[test]
    fn parts_of_slices_equal_the_shared_arithmetic() {
        check(VolumeShape::new(2 * (16 + 1) + 1, 8, 2.0), rotations);
        check(VolumeShape::flat(2 * (16 + 1) + 1, 8, 2.0), turns);
    }

    /// The pairs rest on this: turned by 180° in the plane, a slice is conjugate, and so the cross term is P − Q.
    #[test]
    fn a_half_turn_makes_the_slice_conjugate() {
        let shape = VolumeShape::new(2 * (16 + 1) + 1, 8, 2.0);
        let volume = test_data::complex(shape.len(), 1);
        for axes in rotations(3, 2.0) {
            let turned = SliceAxes {
                x_axis: axes.x_axis.map(|v| -v),
                y_axis: axes.y_axis.map(|v| -v),
            };
            for [x, y] in test_data::pixels(8).into_iter().filter(|[x, _]| *x > 0) {
                let [x, y] = [x, y].map(f32::from);
                let [a, b] =
                    [&axes, &turned].map(|axes| slice_value(&volume, &shape, axes.position(x, y)));
                assert_eq!(b, [a[0], -a[1]]);
            }
        }
    }

    #[test]
    fn products_of_pairs_go_to_both_orientations() {
        let (images, columns) = (3usize, 1100usize);
        let mut pairs = vec![[0u32, 2], [1, 1]];
        let mut real = test_data::values(2 * columns, 1);
        let mut imaginary = test_data::values(2 * columns, 2);
        let mut power = test_data::values(2 * images, 3);
        let (mut cross, mut norm) = (vec![f32::NAN; 3 * columns], vec![f32::NAN; 3 * images]);
        let kernel = JoinHalfTurns {
            pairs: View::of(&mut pairs),
            pair_count: 2,
            real: View::of(&mut real),
            imaginary: View::of(&mut imaginary),
            columns: columns as u32,
            power: View::of(&mut power),
            images: images as u32,
            cross: View::of(&mut cross),
            norm: View::of(&mut norm),
        };
        // SAFETY: array sizes as the kernel demands.
        unsafe { emulate(&kernel) };
        for (row, pair, sign) in [(0, 0, 1.0f32), (1, 1, 1.0), (2, 0, -1.0)] {
            let of_pair = pair * columns..(pair + 1) * columns;
            let parts = real[of_pair.clone()].iter().zip(&imaginary[of_pair]);
            let expected: Vec<f64> = parts.map(|(p, q)| f64::from(p + sign * q)).collect();
            assert_close(&cross[row * columns..(row + 1) * columns], &expected, 0.0);
            let [found, expected] = [&norm[row * images..], &power[pair * images..]];
            assert_eq!(found[..images], expected[..images]);
        }
    }
}
