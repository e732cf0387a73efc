//! Transforms of a small window in a large box, pruned to what is not zero and to the shells that count.
//!
//! The mask around a point leaves few of the box's voxels, so rows, columns and planes outside it need no transform; and
//! Fourier components beyond the last shell are never computed. Where the window lies in the box only adds phases, the
//! same to all maps, so it is put into the corner. Lines of the last transform go straight into the sums over shells: the
//! transform of the whole box is never stored.

use crate::fourier::shells::shell;
use ndarray::Array3;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};
use std::sync::Arc;

/// Lines along z that are transformed together.
const BLOCK: usize = 16;

/// A column of the half-complex transform of the box: all kz of one (kx, ky).
#[derive(Debug, Clone, Copy)]
struct Column {
    x: usize,
    /// Stored row of ky.
    y: usize,
    /// kx² + ky².
    r2: usize,
}

/// Voxels of the box that a window covers: begin and end along z, y and x.
pub(super) type Range3 = [(usize, usize); 3];

/// Plans and tables of one box.
pub(super) struct Plans {
    n: usize,
    forward_rows: Arc<dyn RealToComplex<f32>>,
    inverse_rows: Arc<dyn ComplexToReal<f32>>,
    forward: Arc<dyn Fft<f32>>,
    inverse: Arc<dyn Fft<f32>>,
    /// Shell of a squared radius, up to the last that belongs to shell N/2.
    shells: Vec<u16>,
    columns: Vec<Column>,
}

impl Plans {
    /// Plans for a box of `n` voxels a side.
    pub(super) fn new(n: usize) -> Self {
        let (mut real, mut complex) = (RealFftPlanner::new(), FftPlanner::new());
        let shells: Vec<u16> = (0..)
            .map(|r2| shell(r2) as u16)
            .take_while(|s| usize::from(*s) <= n / 2)
            .collect();
        let mut columns = Vec::new();
        for x in 0..=n / 2 {
            for y in 0..n {
                let ky = y.min(n - y);
                let r2 = x * x + ky * ky;
                if r2 < shells.len() {
                    columns.push(Column { x, y, r2 });
                }
            }
        }
        Self {
            n,
            forward_rows: real.plan_fft_forward(n),
            inverse_rows: real.plan_fft_inverse(n),
            forward: complex.plan_fft_forward(n),
            inverse: complex.plan_fft_inverse(n),
            shells,
            columns,
        }
    }

    /// Returns Σ Re(a·b*), Σ|a|² and Σ|b|² per shell 0…N/2 of two maps given on a window; both are zero outside it.
    pub(super) fn correlate(&self, a: &Array3<f32>, b: &Array3<f32>) -> Vec<[f64; 3]> {
        let (n, depth) = (self.n, a.dim().0);
        let (a, b) = (self.to_columns(a), self.to_columns(b));
        let mut sums = vec![[0.0f64; 3]; n / 2 + 1];
        let mut scratch = vec![Complex32::default(); self.forward.get_inplace_scratch_len()];
        let mut lines = [0, 1].map(|_| vec![Complex32::default(); n * BLOCK]);
        for (i, block) in self.columns.chunks(BLOCK).enumerate() {
            for (lines, columns) in lines.iter_mut().zip([&a, &b]) {
                for c in 0..block.len() {
                    let line = &mut lines[c * n..][..n];
                    let at = (i * BLOCK + c) * depth;
                    line[..depth].copy_from_slice(&columns[at..at + depth]);
                    line[depth..].fill(Complex32::default());
                }
                self.forward
                    .process_with_scratch(&mut lines[..block.len() * n], &mut scratch);
            }
            for (c, column) in block.iter().enumerate() {
                let (a, b) = (&lines[0][c * n..][..n], &lines[1][c * n..][..n]);
                for (z, (a, b)) in a.iter().zip(b).enumerate() {
                    let kz = z.min(n - z);
                    if let Some(shell) = self.shells.get(column.r2 + kz * kz) {
                        let sum = &mut sums[usize::from(*shell)];
                        sum[0] += f64::from(a.re * b.re + a.im * b.im);
                        sum[1] += f64::from(a.norm_sqr());
                        sum[2] += f64::from(b.norm_sqr());
                    }
                }
            }
        }
        sums
    }

    /// Transforms along x and y. Returns for each column the planes of the window.
    fn to_columns(&self, window: &Array3<f32>) -> Vec<Complex32> {
        let (n, width) = (self.n, self.n / 2 + 1);
        let depth = window.dim().0;
        let mut out = vec![Complex32::default(); self.columns.len() * depth];
        let mut line = vec![0.0f32; n];
        let mut row = vec![Complex32::default(); width];
        let mut plane = vec![Complex32::default(); width * n];
        let mut row_scratch = self.forward_rows.make_scratch_vec();
        let mut scratch = vec![Complex32::default(); self.forward.get_inplace_scratch_len()];
        for (z, section) in window.outer_iter().enumerate() {
            plane.fill(Complex32::default());
            for (y, values) in section.rows().into_iter().enumerate() {
                line.fill(0.0);
                line.iter_mut().zip(values).for_each(|(l, v)| *l = *v);
                self.forward_rows
                    .process_with_scratch(&mut line, &mut row, &mut row_scratch)
                    .expect("buffer lengths are those of the plan");
                for (x, value) in row.iter().enumerate() {
                    plane[x * n + y] = *value;
                }
            }
            self.forward.process_with_scratch(&mut plane, &mut scratch);
            for (i, column) in self.columns.iter().enumerate() {
                out[i * depth + z] = plane[column.x * n + column.y];
            }
        }
        out
    }

    /// Returns the voxels of `range` of a map whose transform (x slowest, then y, then z) is multiplied by `factors`, one
    /// per squared radius, 0 beyond the last.
    pub(super) fn filtered(
        &self,
        transform: &[Complex32],
        factors: &[f32],
        range: &Range3,
    ) -> Array3<f32> {
        let n = self.n;
        let [depth, height, width] = range.map(|(from, to)| to - from);
        let most = (0..n / 2 + 1).take_while(|x| x * x < factors.len()).count();
        let mut planes = vec![Complex32::default(); depth * most * n];
        let mut scratch = vec![Complex32::default(); self.inverse.get_inplace_scratch_len()];
        let mut line = vec![Complex32::default(); n];
        let passed = |c: &&Column| c.r2 < factors.len();
        for column in self.columns.iter().filter(passed) {
            let stored = &transform[(column.x * n + column.y) * n..][..n];
            for (z, (value, source)) in line.iter_mut().zip(stored).enumerate() {
                let kz = z.min(n - z);
                let factor = factors.get(column.r2 + kz * kz).copied().unwrap_or(0.0);
                *value = source * factor;
            }
            self.inverse.process_with_scratch(&mut line, &mut scratch);
            for (z, value) in line[range[0].0..range[0].1].iter().enumerate() {
                planes[(z * most + column.x) * n + column.y] = *value;
            }
        }
        self.inverse.process_with_scratch(&mut planes, &mut scratch);
        let mut out = Array3::zeros((depth, height, width));
        let mut row = vec![Complex32::default(); n / 2 + 1];
        let mut values = vec![0.0f32; n];
        let mut row_scratch = self.inverse_rows.make_scratch_vec();
        for (z, mut section) in out.outer_iter_mut().enumerate() {
            for (y, mut target) in section.rows_mut().into_iter().enumerate() {
                row.fill(Complex32::default());
                for (x, value) in row[..most].iter_mut().enumerate() {
                    *value = planes[(z * most + x) * n + range[1].0 + y];
                }
                // These are their own mates, so they are real.
                row[0].im = 0.0;
                row[n / 2].im = 0.0;
                self.inverse_rows
                    .process_with_scratch(&mut row, &mut values, &mut row_scratch)
                    .expect("buffer lengths are those of the plan");
                let part = &values[range[2].0..range[2].1];
                target.iter_mut().zip(part).for_each(|(t, v)| *t = *v);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fourier::fft::{forward3, inverse3};
    use crate::fourier::shells::logical;
    use crate::maximization::map_fsc::map_fsc;
    use gpu::random::uniform;
    use ndarray::s;

    const N: usize = 20;
    const RANGE: Range3 = [(3, 12), (5, 11), (0, 7)];

    fn noise(seed: u64) -> Array3<f64> {
        Array3::from_shape_fn((N, N, N), |(z, y, x)| {
            uniform(seed, ((z * N + y) * N + x) as u64) - 0.5
        })
    }

    fn window(map: &Array3<f64>) -> Array3<f32> {
        let [z, y, x] = RANGE;
        map.slice(s![z.0..z.1, y.0..y.1, x.0..x.1])
            .mapv(|v| v as f32)
    }

    /// The FSC of windows is that of the whole boxes with zeros outside.
    #[test]
    fn windows_have_the_fsc_of_their_boxes() {
        let maps = [noise(1), &noise(2) + &noise(1)];
        let boxes = maps.each_ref().map(|map| {
            let [z, y, x] = RANGE;
            let mut padded = Array3::zeros((N, N, N));
            let part = s![z.0..z.1, y.0..y.1, x.0..x.1];
            padded.slice_mut(part).assign(&map.slice(part));
            padded
        });
        let expected = map_fsc(&boxes[0], &boxes[1]).unwrap();
        let sums = Plans::new(N).correlate(&window(&maps[0]), &window(&maps[1]));
        let fsc = |[cross, a, b]: &[f64; 3]| cross / (a * b).sqrt();
        let found: Vec<f64> = sums.iter().map(fsc).collect();
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-5, "{found:?} for {expected:?}");
        }
    }

    /// Filtering within a window is filtering the box and looking at the window.
    #[test]
    fn windows_are_filtered_like_their_boxes() {
        let factors: Vec<f32> = (0..60).map(|r2| 1.0 / (1.0 + r2 as f32)).collect();
        let mut transform = forward3(&noise(4));
        let columns: Vec<Complex32> = (0..N / 2 + 1)
            .flat_map(|x| (0..N).map(move |y| (x, y)))
            .flat_map(|(x, y)| (0..N).map(move |z| (z, y, x)))
            .map(|at| Complex32::new(transform[at].re as f32, transform[at].im as f32))
            .collect();
        for ((z, y, x), value) in transform.indexed_iter_mut() {
            let r2 = logical(z, N).pow(2) + logical(y, N).pow(2) + (x * x) as i64;
            *value *= factors.get(r2 as usize).map_or(0.0, |f| f64::from(*f));
        }
        let expected = window(&inverse3(transform, N));
        let found = Plans::new(N).filtered(&columns, &factors, &RANGE);
        let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        let worst = worst.fold(0.0, f32::max);
        assert!(worst < 1e-6, "{worst}");
    }
}
