//! Inner products of many vectors with many others, packed so that the innermost loop reads memory in order: the first pass
//! of a global search.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Left-hand vectors that are multiplied together, and right-hand ones: with 32 vector registers of 16 values the sums take 24.
pub(super) const ROWS: usize = 12;
pub(super) const COLUMNS: usize = 32;

/// Vectors of equal length in panels of `WIDTH`: the first values of all vectors of a panel, then the second ones, and so on.
/// Where the last panel lacks vectors it has zeros.
pub(super) struct Panels<const WIDTH: usize> {
    values: Vec<f32>,
    length: usize,
    count: usize,
}

/// Vectors that are written before they are packed together.
const GROUP: usize = 4;

impl<const WIDTH: usize> Panels<WIDTH> {
    /// Packs `count` vectors of `length` values; `write` is called in parallel and writes all values of one of them.
    pub(super) fn new(
        length: usize,
        count: usize,
        write: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Self {
        let mut panels = Self {
            values: vec![0.0; count.next_multiple_of(WIDTH) * length],
            length,
            count,
        };
        panels
            .values
            .par_chunks_mut(WIDTH * length)
            .enumerate()
            .for_each_init(Vec::new, |vectors, (number, panel)| {
                pack_panel::<WIDTH>(panel, length, vectors, |lane, vector| {
                    let index = number * WIDTH + lane;
                    let is_there = index < count;
                    if is_there {
                        write(index, vector);
                    }
                    is_there
                });
            });
        panels
    }

    /// Number of vectors.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Panels with the number of their first vector.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &[f32])> {
        let panels = self.values.chunks_exact(WIDTH * self.length.max(1));
        panels
            .enumerate()
            .map(|(number, panel)| (number * WIDTH, panel))
    }
}

/// Packs the vectors of a panel into `panel`; `write` writes all values of the one of a lane, or returns false where there is none, for which
/// zeros are packed. `vectors` is work space.
pub(super) fn pack_panel<const WIDTH: usize>(
    panel: &mut [f32],
    length: usize,
    vectors: &mut Vec<f32>,
    mut write: impl FnMut(usize, &mut [f32]) -> bool,
) {
    const { assert!(WIDTH.is_multiple_of(GROUP)) };
    vectors.resize(GROUP * length, 0.0);
    for first in (0..WIDTH).step_by(GROUP) {
        for (lane, vector) in vectors.chunks_exact_mut(length).enumerate() {
            if !write(first + lane, vector) {
                vector.fill(0.0);
            }
        }
        let (a, rest) = vectors.split_at(length);
        let (b, rest) = rest.split_at(length);
        let (c, d) = rest.split_at(length);
        let values = a.iter().zip(b).zip(c.iter().zip(d));
        for (to, ((a, b), (c, d))) in panel.chunks_exact_mut(WIDTH).zip(values) {
            to[first..first + GROUP].copy_from_slice(&[*a, *b, *c, *d]);
        }
    }
}

/// Products of the vectors of a panel of [`ROWS`] with those of a panel of [`COLUMNS`], of equal length.
pub(super) fn tile(rows: &[f32], columns: &[f32]) -> [[f32; COLUMNS]; ROWS] {
    debug_assert_eq!(rows.len() / ROWS, columns.len() / COLUMNS);
    let mut out = [[0.0; COLUMNS]; ROWS];
    Arch::new().dispatch(Tile {
        rows,
        columns,
        out: &mut out,
    });
    out
}

struct Tile<'a> {
    rows: &'a [f32],
    columns: &'a [f32],
    out: &'a mut [[f32; COLUMNS]; ROWS],
}

impl WithSimd for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let vectors = COLUMNS / S::F32_LANES;
        for column in (0..vectors).step_by(2) {
            if S::REGISTER_COUNT >= 32 {
                part::<S, ROWS>(simd, &self, 0, column).store(self.out, 0, column);
            } else {
                // Twelve rows would not fit the registers.
                for row in [0, ROWS / 2] {
                    part::<S, { ROWS / 2 }>(simd, &self, row, column).store(self.out, row, column);
                }
            }
        }
    }
}

/// Sums of `N` rows from a row on and two vectors of columns.
struct Part<S: Simd, const N: usize>([[S::f32s; 2]; N]);

impl<S: Simd, const N: usize> Part<S, N> {
    #[inline(always)]
    fn store(self, out: &mut [[f32; COLUMNS]; ROWS], row: usize, column: usize) {
        for (sums, out) in self.0.iter().zip(&mut out[row..]) {
            let out = S::as_mut_simd_f32s(out).0;
            out[column] = sums[0];
            out[column + 1] = sums[1];
        }
    }
}

#[inline(always)]
fn part<S: Simd, const N: usize>(simd: S, tile: &Tile, row: usize, column: usize) -> Part<S, N> {
    let vectors = COLUMNS / S::F32_LANES;
    let columns = S::as_simd_f32s(tile.columns).0;
    let length = columns.len() / vectors;
    let rows = &tile.rows[..length * ROWS];
    let mut sums = [[simd.splat_f32s(0.0); 2]; N];
    // Indices in the place of iterators, which are not always compiled into vector code.
    for k in 0..length {
        let columns = &columns[k * vectors + column..k * vectors + column + 2];
        let rows = &rows[k * ROWS + row..k * ROWS + row + N];
        for n in 0..N {
            let factor = simd.splat_f32s(rows[n]);
            sums[n][0] = simd.mul_add_f32s(factor, columns[0], sums[n][0]);
            sums[n][1] = simd.mul_add_f32s(factor, columns[1], sums[n][1]);
        }
    }
    Part(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(vector: usize, k: usize) -> f32 {
        ((vector * 31 + k) * 2654435761 % 1000) as f32 / 500.0 - 1.0
    }

    /// All products equal plain sums, with counts that fill no panel.
    #[test]
    fn tiles_hold_inner_products() {
        let length = 37;
        let write = |from: usize| {
            move |index: usize, vector: &mut [f32]| {
                for (k, v) in vector.iter_mut().enumerate() {
                    *v = value(from + index, k);
                }
            }
        };
        let rows = Panels::<ROWS>::new(length, 17, write(0));
        let columns = Panels::<COLUMNS>::new(length, 45, write(100));
        assert_eq!((rows.count(), columns.count()), (17, 45));
        let mut compared = 0;
        for (first_row, of_rows) in rows.iter() {
            for (first_column, of_columns) in columns.iter() {
                let products = tile(of_rows, of_columns);
                for (r, of_row) in products.iter().enumerate() {
                    for (c, &product) in of_row.iter().enumerate() {
                        let (r, c) = (first_row + r, first_column + c);
                        let exact: f64 = match r < 17 && c < 45 {
                            true => (0..length)
                                .map(|k| f64::from(value(r, k)) * f64::from(value(100 + c, k)))
                                .sum(),
                            false => 0.0,
                        };
                        assert!((f64::from(product) - exact).abs() < 1e-5, "{r} {c}");
                        compared += 1;
                    }
                }
            }
        }
        assert_eq!(compared, 24 * 64);
    }
}
