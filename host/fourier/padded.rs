//! Transforms between a map of side N (or a class average, which has one section), zero-padded to side Q around its
//! centre, and the central part of its Fourier transform (logical z, y in −h…h, x in 0…h), without ever holding the
//! padded map or its whole transform.
//!
//! Each axis is padded (or cropped) only when its turn comes, so the largest intermediate has N·(2h+1)·(h+1) values.
//! Reading a line from the centre outwards with wrap-around puts the origin at the box centre: no sign pattern is
//! needed. The padded transform has frequencies −Q/2+1…Q/2; others are 0 going forward and ignored coming back.

use super::fft::{BLOCK, complex_plan, real_forward, real_inverse, real_line};
use super::shape::VolumeShape;
use super::shells::stored;
use ndarray::parallel::prelude::*;
use ndarray::{Array2, Array3, ArrayViewMut3, Axis, s};
use num_complex::Complex64;
use rustfft::Fft;

/// Sizes of a padded transform.
#[derive(Debug, Clone, Copy)]
struct Grid {
    /// N.
    n: usize,
    /// Q, even.
    q: usize,
    /// h.
    half: usize,
    /// Sections of the map: N, or 1 in 2D, where nothing is transformed along z.
    sections: usize,
}

impl Grid {
    fn new(n: usize, shape: &VolumeShape) -> Self {
        Self {
            n,
            q: shape.padded_box,
            half: shape.half(),
            sections: shape.dimensions.sections(n),
        }
    }

    /// Where voxel `i` of the map lies on the padded line.
    fn place(&self, i: usize) -> usize {
        stored(i as i64 - (self.n / 2) as i64, self.q)
    }

    /// Pairs (row of the volume, place on the padded line) of the frequencies both have.
    fn frequencies(&self) -> impl Iterator<Item = (usize, usize)> {
        let (half, q) = (self.half as i64, self.q);
        (-half..=half)
            .filter(|&k| self.knows(k))
            .map(move |k| ((k + half) as usize, stored(k, q)))
    }

    /// The padded transform has frequency `k`.
    fn knows(&self, k: i64) -> bool {
        let reach = (self.q / 2) as i64;
        (1 - reach..=reach).contains(&k)
    }

    /// Number of x frequencies both have.
    fn columns(&self) -> usize {
        self.half.min(self.q / 2) + 1
    }

    fn side(&self) -> usize {
        2 * self.half + 1
    }

    /// Rows that one task takes at least: a class average is one task, since the threads have a class each.
    fn rows_per_task(&self) -> usize {
        match self.sections {
            1 => self.side(),
            _ => 1,
        }
    }
}

/// Lines of a padded axis, transformed a block at a time.
struct Lines<'a> {
    values: Vec<Complex64>,
    scratch: Vec<Complex64>,
    plan: &'a dyn Fft<f64>,
    q: usize,
}

impl<'a> Lines<'a> {
    fn new(plan: &'a dyn Fft<f64>) -> Self {
        let q = plan.len();
        Self {
            values: vec![Complex64::default(); q * BLOCK],
            scratch: vec![Complex64::default(); plan.get_inplace_scratch_len()],
            plan,
            q,
        }
    }

    fn clear(&mut self) {
        self.values.fill(Complex64::default());
    }

    fn transform(&mut self, count: usize) {
        self.plan
            .process_with_scratch(&mut self.values[..count * self.q], &mut self.scratch);
    }
}

/// Unscaled forward transform of `voxel(z, y, x)` on an N³ grid (1·N² in 2D), handed value by value to `store`.
///
/// `store` gets stored indices (z, y from 0 to 2h, z = 0 in 2D; x) of known frequencies and returns what is written to
/// `out`, if anything. It is called in parallel over y; what it measures in its first argument comes back ordered by y.
/// `out` has (2h+1, 2h+1, h+1) values, in 2D (1, 2h+1, h+1).
pub(super) fn forward<V, O, S, R>(
    n: usize,
    shape: &VolumeShape,
    voxel: V,
    mut out: ArrayViewMut3<O>,
    store: S,
) -> Vec<R>
where
    V: Fn(usize, usize, usize) -> f64 + Sync,
    O: Send + Sync,
    R: Default + Send,
    S: Fn(&mut R, [usize; 3], Complex64) -> Option<O> + Sync,
{
    let grid = Grid::new(n, shape);
    let plan = complex_plan(grid.q, false);
    let real = real_forward(grid.q);
    let width = grid.columns();
    let mut middle = Array3::<Complex64>::zeros((grid.sections, grid.side(), width));
    middle
        .axis_iter_mut(Axis(0))
        .into_par_iter()
        .enumerate()
        .for_each(|(z, mut plane)| {
            let mut line = vec![0.0; grid.q];
            let mut result = real.make_output_vec();
            let mut scratch = real.make_scratch_vec();
            let mut rows = Array2::<Complex64>::zeros((n, width));
            for (y, mut row) in rows.rows_mut().into_iter().enumerate() {
                line.fill(0.0);
                for x in 0..n {
                    line[grid.place(x)] = voxel(z, y, x);
                }
                real.process_with_scratch(&mut line, &mut result, &mut scratch)
                    .expect("buffer lengths are those of the plan");
                row.iter_mut().zip(&result).for_each(|(r, v)| *r = *v);
            }
            let mut lines = Lines::new(plan.as_ref());
            for begin in (0..width).step_by(BLOCK) {
                let count = BLOCK.min(width - begin);
                lines.clear();
                for y in 0..n {
                    for c in 0..count {
                        lines.values[c * grid.q + grid.place(y)] = rows[[y, begin + c]];
                    }
                }
                lines.transform(count);
                for (row, place) in grid.frequencies() {
                    for c in 0..count {
                        plane[[row, begin + c]] = lines.values[c * grid.q + place];
                    }
                }
            }
        });
    out.axis_iter_mut(Axis(1))
        .into_par_iter()
        .zip(middle.axis_iter(Axis(1)))
        .enumerate()
        .with_min_len(grid.rows_per_task())
        .map(|(y, (mut plane, source))| {
            let mut measured = R::default();
            if !grid.knows(y as i64 - grid.half as i64) {
                return measured;
            }
            if grid.sections == 1 {
                for (x, value) in source.row(0).iter().enumerate() {
                    if let Some(kept) = store(&mut measured, [0, y, x], *value) {
                        plane[[0, x]] = kept;
                    }
                }
                return measured;
            }
            let mut lines = Lines::new(plan.as_ref());
            for begin in (0..width).step_by(BLOCK) {
                let count = BLOCK.min(width - begin);
                lines.clear();
                for z in 0..n {
                    for c in 0..count {
                        lines.values[c * grid.q + grid.place(z)] = source[[z, begin + c]];
                    }
                }
                lines.transform(count);
                for (row, place) in grid.frequencies() {
                    for c in 0..count {
                        let value = lines.values[c * grid.q + place];
                        if let Some(kept) = store(&mut measured, [row, y, begin + c], value) {
                            plane[[row, begin + c]] = kept;
                        }
                    }
                }
            }
            measured
        })
        .collect()
}

/// Central N³ voxels (1·N² in 2D) of the unscaled inverse transform of `data` (stored as a volume of `shape`), in whose memory lines along z are
/// transformed. Values beyond the sphere |v|² ≤ Rp² must be 0: lines wholly outside are not looked at.
pub(crate) fn inverse(mut data: Vec<Complex64>, shape: &VolumeShape) -> Array3<f64> {
    let (n, radius2) = (shape.box_size, shape.radius2());
    let grid = Grid::new(n, shape);
    let (side, row_length) = (grid.side(), grid.half + 1);
    let plan = complex_plan(grid.q, true);
    let real = real_inverse(grid.q);
    let width = grid.columns();
    // Sections of the map follow each other in place of the planes of the transform, which may be fewer.
    let planes = shape.depth().max(grid.sections);
    data.resize(planes * side * row_length, Complex64::default());
    let mut middle =
        Array3::from_shape_vec((planes, side, row_length), data).expect("a value for every voxel");
    if grid.sections > 1 {
        middle
            .axis_iter_mut(Axis(1))
            .into_par_iter()
            .enumerate()
            .with_min_len(grid.rows_per_task())
            .for_each(|(y, mut plane)| {
                let y_logical = y as i64 - grid.half as i64;
                let mut lines = Lines::new(plan.as_ref());
                for begin in (0..width).step_by(BLOCK) {
                    if y_logical * y_logical + (begin * begin) as i64 > radius2 {
                        plane.slice_mut(s![..n, begin..]).fill(Complex64::default());
                        break;
                    }
                    let count = BLOCK.min(width - begin);
                    lines.clear();
                    for (z, place) in grid.frequencies() {
                        for c in 0..count {
                            lines.values[c * grid.q + place] = plane[[z, begin + c]];
                        }
                    }
                    lines.transform(count);
                    for z in 0..n {
                        for c in 0..count {
                            plane[[z, begin + c]] = lines.values[c * grid.q + grid.place(z)];
                        }
                    }
                }
            });
    }
    let mut out = Array3::zeros((grid.sections, n, n));
    out.axis_iter_mut(Axis(0))
        .into_par_iter()
        .zip(middle.axis_iter(Axis(0)))
        .for_each(|(mut section, plane)| {
            let mut lines = Lines::new(plan.as_ref());
            let mut rows = Array2::<Complex64>::zeros((n, grid.q / 2 + 1));
            for begin in (0..width).step_by(BLOCK) {
                let count = BLOCK.min(width - begin);
                lines.clear();
                for (y, place) in grid.frequencies() {
                    for c in 0..count {
                        lines.values[c * grid.q + place] = plane[[y, begin + c]];
                    }
                }
                lines.transform(count);
                for y in 0..n {
                    for c in 0..count {
                        rows[[y, begin + c]] = lines.values[c * grid.q + grid.place(y)];
                    }
                }
            }
            let mut result = real.make_output_vec();
            let mut scratch = real.make_scratch_vec();
            for (mut row, mut values) in rows.rows_mut().into_iter().zip(section.rows_mut()) {
                let line = row.as_slice_mut().expect("rows are contiguous");
                real_line(real.as_ref(), line, &mut result, &mut scratch);
                for (x, value) in values.iter_mut().enumerate() {
                    *value = result[grid.place(x)];
                }
            }
        });
    out
}
