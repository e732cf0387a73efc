//! Which pixels of a slice can lie in a block of voxels, by rows and columns of the slice: generous, so that insertion decides
//! exactly on few pixels more than there are.

use gpu::slice::SliceAxes;

/// Positions along one axis that touch a block, given on a line of pixels: `base` + `step`·x lies in `low`…`high`.
#[derive(Clone, Copy)]
struct Limit {
    base: f32,
    step: f32,
    low: f32,
    high: f32,
}

impl Limit {
    /// Narrows a range of x, generously; an empty range where nothing is left of it.
    #[inline(always)]
    fn narrow(&self, [begin, end]: [f32; 2]) -> [f32; 2] {
        if self.step.abs() > 1e-6 {
            let (p, q) = (
                (self.low - self.base) / self.step,
                (self.high - self.base) / self.step,
            );
            return [begin.max(p.min(q)), end.min(p.max(q))];
        }
        match self.base < self.low - 1e-2 || self.base > self.high + 1e-2 {
            true => [0.0, -1.0],
            false => [begin, end],
        }
    }
}

/// First and last row of a slice of `size` pixels with pixels that can lie within `limits` along y and z, as they are or
/// mirrored; None: no row has any.
#[inline(always)]
pub fn rows_that_touch(
    axes: &SliceAxes,
    limits: &[[f32; 2]; 2],
    size: usize,
) -> Option<[usize; 2]> {
    let half = (size / 2) as f32;
    let (x_axis, y_axis) = (axes.x_axis, axes.y_axis);
    // Rows as a function of the position along y and z, where these tell pixels apart.
    let determinant = x_axis[1] * y_axis[2] - x_axis[2] * y_axis[1];
    let (mut first, mut last) = (f32::INFINITY, f32::NEG_INFINITY);
    for sign in [-1.0, 1.0] {
        let (mut low, mut high) = (1.0 - half, half);
        if determinant.abs() > 1e-3 {
            let [along_y, along_z] = [-x_axis[2], x_axis[1]].map(|v| sign * v / determinant);
            let span = |by: f32, [from, to]: [f32; 2]| match by > 0.0 {
                true => [by * from, by * to],
                false => [by * to, by * from],
            };
            let (a, b) = (span(along_y, limits[0]), span(along_z, limits[1]));
            (low, high) = (low.max(a[0] + b[0]), high.min(a[1] + b[1]));
        }
        for (axis, limit) in [1, 2].into_iter().zip(limits) {
            // What the columns add to the position: between 0 and that of the last one.
            let across = sign * x_axis[axis] * (half + 1.0);
            let rows = Limit {
                base: 0.0,
                step: sign * y_axis[axis],
                low: limit[0] - across.max(0.0),
                high: limit[1] - across.min(0.0),
            };
            [low, high] = rows.narrow([low, high]);
        }
        if low <= high + 2.0 {
            (first, last) = (first.min(low), last.max(high));
        }
    }
    let row = |y: f32| (y + half - 1.0).clamp(0.0, (size - 1) as f32);
    (first <= last + 2.0).then(|| {
        [
            row(first - 1.0).floor() as usize,
            row(last + 1.0).ceil() as usize,
        ]
    })
}

/// Column ranges of row `y` that can lie within `limits` along y and z: one for the part with p_x < 0 (mirrored to −p) and
/// one for the rest, both generous by a pixel; `add` decides exactly.
#[inline(always)]
pub fn columns(
    axes: &SliceAxes,
    limits: &[[f32; 2]; 2],
    y: f32,
    width: usize,
) -> [(usize, usize); 2] {
    let origin = axes.position(0.0, y);
    let (x0, dx) = (origin[0], axes.x_axis[0]);
    let last = width as f32;
    // Where p_x changes sign along the row.
    let turn = if dx == 0.0 {
        0.0
    } else {
        (-x0 / dx).clamp(0.0, last)
    };
    let clip = |from: f32, to: f32| -> (usize, usize) {
        if from >= to {
            return (0, 0);
        }
        let sign = if x0 + dx * 0.5 * (from + to) < 0.0 {
            -1.0
        } else {
            1.0
        };
        let mut range = [from, to];
        for (axis, limit) in [1, 2].into_iter().zip(limits) {
            let limit = Limit {
                base: sign * origin[axis],
                step: sign * axes.x_axis[axis],
                low: limit[0],
                high: limit[1],
            };
            range = limit.narrow(range);
        }
        match range[0] > range[1] {
            true => (0, 0),
            false => around(range, width),
        }
    };
    let (before, after) = (clip(0.0, turn), clip(turn, last));
    // The ranges must not overlap, or a pixel would be added twice.
    let begin = after.0.max(before.1);
    [before, (begin.min(after.1), after.1)]
}

/// Column range of row `y` that can lie within `limits` along y and z, either as it is or mirrored.
#[inline(always)]
pub fn bent_columns(
    axes: &SliceAxes,
    limits: &[[f32; 2]; 2],
    y: f32,
    width: usize,
) -> (usize, usize) {
    let origin = axes.position(0.0, y);
    let (mut first, mut last) = (width, 0);
    for sign in [-1.0, 1.0] {
        let mut range = [0.0, width as f32];
        for (axis, limit) in [1, 2].into_iter().zip(limits) {
            let limit = Limit {
                base: sign * origin[axis],
                step: sign * axes.x_axis[axis],
                low: limit[0],
                high: limit[1],
            };
            range = limit.narrow(range);
        }
        if range[0] <= range[1] {
            let (begin, end) = around(range, width);
            (first, last) = (first.min(begin), last.max(end));
        }
    }
    (first.min(last), last)
}

/// Whole columns of a range, and a pixel more at either end.
#[inline(always)]
fn around([begin, end]: [f32; 2], width: usize) -> (usize, usize) {
    (
        (begin - 1.0).max(0.0) as usize,
        ((end + 2.0) as usize).min(width),
    )
}
