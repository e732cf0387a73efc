//! Inner products of packed pixel vectors: large ones through a blocked GEMM, small ones in registers.

use gemm::Parallelism;
use pulp::{Arch, Simd, WithSimd};

/// Vectors are padded with zeros to a multiple of this many floats, so that no kernel needs a remainder loop.
pub const LANES: usize = 16;

/// Length of a padded vector of `n` floats.
pub fn padded(n: usize) -> usize {
    n.next_multiple_of(LANES)
}

/// out[r·columns + c] = Σ_k left[r·k_len + k] · right[c·k_len + k]: rows of both matrices are vectors of `k_len`.
pub fn matrix_product(left: &[f32], right: &[f32], k_len: usize, out: &mut [f32]) {
    let (rows, columns) = (left.len() / k_len, right.len() / k_len);
    assert_eq!(left.len(), rows * k_len);
    assert_eq!(right.len(), columns * k_len);
    assert_eq!(out.len(), rows * columns);
    // SAFETY: the three slices hold rows×k, columns×k and rows×columns values (checked above), the strides below
    // stay inside them, and `out` overlaps neither input (it is borrowed mutably).
    unsafe {
        gemm::gemm(
            rows,
            columns,
            k_len,
            out.as_mut_ptr(),
            1,
            columns as isize,
            false,
            left.as_ptr(),
            1,
            k_len as isize,
            right.as_ptr(),
            k_len as isize,
            1,
            0.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

struct Block<'a, const M: usize, const N: usize> {
    rows: [&'a [f32]; M],
    columns: [&'a [f32]; N],
}

impl<const M: usize, const N: usize> WithSimd for Block<'_, M, N> {
    type Output = [[f32; N]; M];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        // Loops in the place of `map`, which is not always compiled into vector code.
        let (mut rows, mut columns) = ([&[][..]; M], [&[][..]; N]);
        for (columns, from) in columns.iter_mut().zip(self.columns) {
            *columns = S::as_simd_f32s(from).0;
        }
        let length = columns[0].len();
        for column in &mut columns {
            *column = &column[..length];
        }
        for (row, from) in rows.iter_mut().zip(self.rows) {
            *row = &S::as_simd_f32s(from).0[..length];
        }
        let mut sums = [[simd.splat_f32s(0.0); N]; M];
        for k in 0..length {
            for m in 0..M {
                for n in 0..N {
                    sums[m][n] = simd.mul_add_f32s(rows[m][k], columns[n][k], sums[m][n]);
                }
            }
        }
        let mut out = [[0.0; N]; M];
        for m in 0..M {
            for n in 0..N {
                out[m][n] = simd.reduce_sum_f32s(sums[m][n]);
            }
        }
        out
    }
}

/// All inner products of a few `rows` with a few `columns` (each vector `k_len` floats, a multiple of [`LANES`]):
/// out[r · columns + c].
pub fn small_product(rows: &[f32], columns: &[f32], k_len: usize, out: &mut [f32]) {
    debug_assert_eq!(k_len % LANES, 0);
    let (m, n) = (rows.len() / k_len, columns.len() / k_len);
    let arch = Arch::new();
    let row = |i: usize| &rows[i * k_len..(i + 1) * k_len];
    let column = |i: usize| &columns[i * k_len..(i + 1) * k_len];
    let mut i = 0;
    while i < m {
        let height = if m - i >= 4 { 4 } else { 1 };
        let mut j = 0;
        while j < n {
            let width = if n - j >= 4 { 4 } else { 1 };
            match (height, width) {
                (4, 4) => {
                    let block = Block::<4, 4> {
                        rows: std::array::from_fn(|d| row(i + d)),
                        columns: std::array::from_fn(|d| column(j + d)),
                    };
                    for (d, sums) in arch.dispatch(block).into_iter().enumerate() {
                        out[(i + d) * n + j..(i + d) * n + j + 4].copy_from_slice(&sums);
                    }
                }
                (4, _) => {
                    let block = Block::<4, 1> {
                        rows: std::array::from_fn(|d| row(i + d)),
                        columns: [column(j)],
                    };
                    for (d, [sum]) in arch.dispatch(block).into_iter().enumerate() {
                        out[(i + d) * n + j] = sum;
                    }
                }
                (_, 4) => {
                    let block = Block::<1, 4> {
                        rows: [row(i)],
                        columns: std::array::from_fn(|d| column(j + d)),
                    };
                    out[i * n + j..i * n + j + 4].copy_from_slice(&arch.dispatch(block)[0]);
                }
                _ => {
                    let block = Block::<1, 1> {
                        rows: [row(i)],
                        columns: [column(j)],
                    };
                    out[i * n + j] = arch.dispatch(block)[0][0];
                }
            }
            j += width;
        }
        i += height;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors(count: usize, length: usize, seed: usize) -> Vec<f32> {
        (0..count * length)
            .map(|i| (((i + seed) * 2654435761) % 1000) as f32 / 500.0 - 1.0)
            .collect()
    }

    /// Both products equal the plain f64 sum for awkward counts.
    #[test]
    fn products_equal_plain_sums() {
        let k = 48;
        for (m, n) in [(8, 4), (8, 5), (1, 4), (3, 7), (64, 1)] {
            let (a, b) = (vectors(m, k, 1), vectors(n, k, 77));
            let (mut small, mut large) = (vec![0.0; m * n], vec![0.0; m * n]);
            small_product(&a, &b, k, &mut small);
            matrix_product(&a, &b, k, &mut large);
            for r in 0..m {
                for c in 0..n {
                    let exact: f64 = (0..k)
                        .map(|i| f64::from(a[r * k + i]) * f64::from(b[c * k + i]))
                        .sum();
                    assert!((f64::from(small[r * n + c]) - exact).abs() < 1e-5);
                    assert!((f64::from(large[r * n + c]) - exact).abs() < 1e-5);
                }
            }
        }
    }
}
