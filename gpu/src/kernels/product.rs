//! Matrix products of rows with rows: `out[r · out_stride + c] = Σ_k left[r · length + k] · right[c · length + k]`.
//!
//! Grid: x = tiles of columns, y = tiles of rows; 256 threads. `length` is a multiple of 32. cuBLASLt does the large ones;
//! these need no library, and the tensor-core ones take their operands as they are.

use cuda_std::prelude::*;
use cuda_std::shared::Shared;

use crate::shapes::{
    STEP, TENSOR_ROW, TENSOR_STEP, TENSOR_TILE, TENSOR_WORDS, TILE, TILE_ROW, TILE_WORDS,
};

/// Entry points, which have the same arguments.
macro_rules! products {
    ($($(#[$doc:meta])* $name:ident = $function:path, $tile:ident, $words:ident;)*) => {$(
        $(#[$doc])*
        #[kernel(
            block = 256,
            grid = [columns.div_ceil($tile), rows.div_ceil($tile), 1],
            shared = $words
        )]
        pub unsafe fn $name(
            #[len(rows * length)] left: *const f32,
            #[len(columns * length)] right: *const f32,
            rows: u32,
            columns: u32,
            length: u32,
            #[len(rows.saturating_sub(1) * out_stride + columns)] out: *mut f32,
            out_stride: u32,
        ) {
            // SAFETY: passed on.
            unsafe { $function(left, right, [rows, columns, length], out, out_stride) }
        }
    )*};
}

products! {
    /// In single precision.
    inner_products = single, TILE, TILE_WORDS;
    /// On tensor cores, operands rounded to TF32 (10 bits): relative error about 3e-4 of the terms. From sm_80 on.
    inner_products_tf32 = tensor::<false>, TENSOR_TILE, TENSOR_WORDS;
    /// On tensor cores, each operand split in two TF32 parts: nearly single precision for three products. From sm_80 on.
    inner_products_tf32x3 = tensor::<true>, TENSOR_TILE, TENSOR_WORDS;
}

/// Replaces values by their upper eleven bits, rounded, and puts what is left, rounded likewise, into `low`: two numbers that a
/// tensor core takes as they are, with 22 bits together.
///
/// Grid: x = 256 values each.
#[kernel(block = 256, grid = [count.div_ceil(256), 1, 1])]
pub unsafe fn split_tf32(count: u32, #[len(count)] values: *mut f32, #[len(count)] low: *mut f32) {
    let i = thread::block_idx_x() * 256 + thread::thread_idx_x();
    if i < count {
        // SAFETY: the index is checked.
        unsafe {
            let value = *values.add(i as usize);
            let high = round_to_tf32(value);
            *values.add(i as usize) = high;
            *low.add(i as usize) = round_to_tf32(value - high);
        }
    }
}

/// The nearest number of eleven bits.
#[inline(always)]
fn round_to_tf32(value: f32) -> f32 {
    /// Bits of single precision that TF32 has not.
    const BEYOND: u32 = 13;
    let half = 1 << (BEYOND - 1);
    f32::from_bits((value.to_bits() + half) & !((1 << BEYOND) - 1))
}

/// All take the same arguments.
macro_rules! same_arguments {
    ($($name:ident)*) => {$(
        #[cfg(not(target_arch = "nvptx64"))]
        impl From<InnerProducts> for $name {
            fn from(a: InnerProducts) -> Self {
                Self {
                    left: a.left,
                    right: a.right,
                    rows: a.rows,
                    columns: a.columns,
                    length: a.length,
                    out: a.out,
                    out_stride: a.out_stride,
                }
            }
        }
    )*};
}
same_arguments!(InnerProductsTf32 InnerProductsTf32x3);

#[inline(always)]
unsafe fn single(
    left: *const f32,
    right: *const f32,
    [rows, columns, length]: [u32; 3],
    out: *mut f32,
    out_stride: u32,
) {
    // SAFETY: rows and columns are checked before loads and stores; shared indices stay below TILE_WORDS.
    unsafe {
        let rank = thread::thread_idx_x();
        let (first_row, first_column) =
            (thread::block_idx_y() * TILE, thread::block_idx_x() * TILE);
        let (of_left, of_right) = (Shared::dynamic(0), Shared::dynamic(STEP * TILE_ROW));
        // Loading: a thread takes four consecutive k of one row of each matrix.
        let (row, k) = (rank / 4, rank % 4 * 4);
        // Computing: a thread owns 4 × 4 products.
        let (ty, tx) = (rank / 16 * 4, rank % 16 * 4);
        let mut sums = [[0.0f32; 4]; 4];
        let mut k0 = 0;
        while k0 < length {
            let a = load_row(left, first_row + row, rows, length, k0 + k);
            let b = load_row(right, first_column + row, columns, length, k0 + k);
            for i in 0..4 {
                of_left.store((k + i) * TILE_ROW + row, a[i as usize]);
                of_right.store((k + i) * TILE_ROW + row, b[i as usize]);
            }
            thread::sync_threads();
            for step in 0..STEP {
                let a = of_left.load4(step * TILE_ROW + ty);
                let b = of_right.load4(step * TILE_ROW + tx);
                for i in 0..4 {
                    for j in 0..4 {
                        sums[i][j] = GpuFloat::mul_add(a[i], b[j], sums[i][j]);
                    }
                }
            }
            thread::sync_threads();
            k0 += STEP;
        }
        for (i, sums) in sums.iter().enumerate() {
            for (j, &sum) in sums.iter().enumerate() {
                let (r, c) = (first_row + ty + i as u32, first_column + tx + j as u32);
                if r < rows && c < columns {
                    *out.add(r as usize * out_stride as usize + c as usize) = sum;
                }
            }
        }
    }
}

/// Eight warps, 2 × 4, each with a tile of 64 × 32: 4 × 4 tensor-core tiles of 16 × 8.
#[inline(always)]
unsafe fn tensor<const SPLIT: bool>(
    left: *const f32,
    right: *const f32,
    [rows, columns, length]: [u32; 3],
    out: *mut f32,
    out_stride: u32,
) {
    // SAFETY: rows and columns are checked before loads and stores; shared indices stay below TENSOR_WORDS.
    unsafe {
        let rank = thread::thread_idx_x();
        let warp = rank / warp::WARP_SIZE;
        let (group, lane) = (warp::lane_id() / 4, warp::lane_id() % 4);
        let (first_row, first_column) = (
            thread::block_idx_y() * TENSOR_TILE,
            thread::block_idx_x() * TENSOR_TILE,
        );
        let of_left = Shared::dynamic(0);
        let of_right = Shared::dynamic(TENSOR_TILE * TENSOR_ROW);
        let (row, k) = (rank / 8, rank % 8 * 4);
        let (warp_row, warp_column) = (warp / 4 * 64, warp % 4 * 32);
        let mut sums = [[[0.0f32; 4]; 4]; 4];
        let mut k0 = 0;
        while k0 < length {
            for i in 0..4 {
                let r = row + 32 * i;
                let a = load_row(left, first_row + r, rows, length, k0 + k);
                let b = load_row(right, first_column + r, columns, length, k0 + k);
                of_left.store4(r * TENSOR_ROW + k, a);
                of_right.store4(r * TENSOR_ROW + k, b);
            }
            thread::sync_threads();
            for step in 0..TENSOR_STEP / 8 {
                let k = step * 8 + lane;
                let mut b = [[0.0f32; 2]; 4];
                for (j, b) in b.iter_mut().enumerate() {
                    let column = warp_column + 8 * j as u32 + group;
                    *b = [
                        of_right.load(column * TENSOR_ROW + k),
                        of_right.load(column * TENSOR_ROW + k + 4),
                    ];
                }
                for (i, sums) in sums.iter_mut().enumerate() {
                    let row = warp_row + 16 * i as u32 + group;
                    let a = [
                        of_left.load(row * TENSOR_ROW + k),
                        of_left.load((row + 8) * TENSOR_ROW + k),
                        of_left.load(row * TENSOR_ROW + k + 4),
                        of_left.load((row + 8) * TENSOR_ROW + k + 4),
                    ];
                    let high_a = a.map(mma::to_tf32);
                    for (j, sum) in sums.iter_mut().enumerate() {
                        let high_b = b[j].map(mma::to_tf32);
                        if SPLIT {
                            let low = |v: f32, high: u32| mma::to_tf32(v - f32::from_bits(high));
                            let low_a = [
                                low(a[0], high_a[0]),
                                low(a[1], high_a[1]),
                                low(a[2], high_a[2]),
                                low(a[3], high_a[3]),
                            ];
                            let low_b = [low(b[j][0], high_b[0]), low(b[j][1], high_b[1])];
                            *sum = mma::m16n8k8_tf32(low_a, high_b, *sum);
                            *sum = mma::m16n8k8_tf32(high_a, low_b, *sum);
                        }
                        *sum = mma::m16n8k8_tf32(high_a, high_b, *sum);
                    }
                }
            }
            thread::sync_threads();
            k0 += TENSOR_STEP;
        }
        for (i, sums) in sums.iter().enumerate() {
            for (j, sums) in sums.iter().enumerate() {
                for (q, &sum) in sums.iter().enumerate() {
                    let q = q as u32;
                    let r = first_row + warp_row + 16 * i as u32 + group + q / 2 * 8;
                    let c = first_column + warp_column + 8 * j as u32 + 2 * lane + q % 2;
                    if r < rows && c < columns {
                        *out.add(r as usize * out_stride as usize + c as usize) = sum;
                    }
                }
            }
        }
    }
}

/// Four consecutive elements of a row; zeros for rows that do not exist.
#[inline(always)]
unsafe fn load_row(matrix: *const f32, row: u32, rows: u32, length: u32, k: u32) -> [f32; 4] {
    if row < rows {
        // SAFETY: the row exists and k + 3 < length; lengths are multiples of 4, so the address is aligned.
        unsafe {
            let start = matrix.add(row as usize * length as usize + k as usize);
            memory::load4(start.cast(), 0)
        }
    } else {
        [0.0; 4]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::test_data::{self, assert_close};
    use cuda_std::launch::{Launch, View, emulate};

    /// Largest error relative to the largest product is below `bound`, for tiles that are not full.
    fn check<L: Launch>(
        kernel: impl Fn(InnerProducts) -> L,
        rows: usize,
        columns: usize,
        bound: f64,
    ) {
        let length = 64;
        let mut left = test_data::values(rows * length, 5);
        let mut right = test_data::values(columns * length, 6);
        let stride = columns + 3;
        let mut out = vec![f32::NAN; rows * stride];
        let kernel = kernel(InnerProducts {
            left: View::of(&mut left),
            right: View::of(&mut right),
            rows: rows as u32,
            columns: columns as u32,
            length: length as u32,
            out: View::of(&mut out),
            out_stride: stride as u32,
        });
        // SAFETY: the arrays exist; their lengths are checked.
        unsafe { emulate(&kernel) };
        for row in 0..rows {
            let expected: Vec<f64> = (0..columns)
                .map(|c| {
                    (0..length)
                        .map(|k| {
                            f64::from(left[row * length + k]) * f64::from(right[c * length + k])
                        })
                        .sum()
                })
                .collect();
            assert_close(&out[row * stride..row * stride + columns], &expected, bound);
            // Nothing is written outside the matrix.
            assert!(
                out[row * stride + columns..(row + 1) * stride]
                    .iter()
                    .all(|v| v.is_nan())
            );
        }
    }

    #[test]
    fn two_parts_have_22_bits() {
        let mut high = test_data::values(300, 7);
        high[0] = 0.0;
        let whole = high.clone();
        let mut low = vec![f32::NAN; 300];
        let kernel = SplitTf32 {
            count: 300,
            values: View::of(&mut high),
            low: View::of(&mut low),
        };
        // SAFETY: the arrays exist; their lengths are checked.
        unsafe { emulate(&kernel) };
        for ((whole, high), low) in whole.iter().zip(&high).zip(&low) {
            assert!(
                [high, low]
                    .iter()
                    .all(|part| part.to_bits() % (1 << 13) == 0)
            );
            let error = f64::from(*whole) - f64::from(*high) - f64::from(*low);
            assert!(
                error.abs() <= 2f64.powi(-23) * f64::from(whole.abs()),
                "{whole}"
            );
        }
    }

    #[test]
    fn single_precision_products() {
        check(|a| a, 70, 37, 1e-6);
    }

    #[test]
    fn tensor_core_products_have_ten_bits() {
        check(InnerProductsTf32::from, 130, 40, 1e-3);
    }

    #[test]
    fn split_tensor_core_products_are_nearly_single_precision() {
        check(InnerProductsTf32x3::from, 30, 140, 2e-6);
    }
}
