//! Self-rotation functions: how much a map is like itself turned by an angle about each axis. All elements of a point group that
//! turn by one angle share one of them, so that orientations can be judged by the hundred thousand.

use super::frequencies::{Frequency, thinned};
use crate::geometry::{Matrix3, euler};
use crate::tools::progress::Progress;
use crate::tools::rotation::orientations::by_vector;
use crate::tools::rotation::turner::Turner;
use rayon::prelude::*;

/// Distance of neighbouring axes, degrees.
const STEP: f64 = 3.0;
/// Kinds of elements that are looked at, those with most elements first.
const MOST_KINDS: usize = 4;
/// Frequencies at which a map is compared with itself.
const FREQUENCIES: usize = 2000;

/// The self-rotation functions of a map that a point group asks for.
pub(super) struct SelfRotations {
    kinds: Vec<Kind>,
    axes: Axes,
}

/// Elements that turn by one angle, with or without an inversion.
struct Kind {
    element: Element,
    /// Axes of all of them.
    axes: Vec<[f64; 3]>,
    /// Correlation of the map with its copy, for each axis of the grid.
    values: Vec<f32>,
}

#[derive(Clone, Copy)]
struct Element {
    /// Degrees, from 0 to 180.
    angle: f64,
    inverts: bool,
}

impl SelfRotations {
    /// Compares a map with its copies in the shells 1…`r_max`; `operators`: a point group without its identity.
    pub(super) fn new(
        turner: &Turner,
        operators: &[Matrix3],
        r_max: usize,
        progress: Progress,
    ) -> Self {
        let axes = Axes::new();
        let mut kinds: Vec<Kind> = Vec::new();
        for (element, axis) in operators.iter().map(element_of) {
            let same = |kind: &&mut Kind| {
                kind.element.inverts == element.inverts
                    && (kind.element.angle - element.angle).abs() < 1.0
            };
            match kinds.iter_mut().find(same) {
                Some(kind) => kind.axes.push(axis),
                None => kinds.push(Kind {
                    element,
                    axes: vec![axis],
                    values: Vec::new(),
                }),
            }
        }
        kinds.sort_by_key(|kind| std::cmp::Reverse(kind.axes.len()));
        kinds.truncate(MOST_KINDS);
        let frequencies = thinned(r_max, FREQUENCIES);
        let copies = kinds.len() * axes.all.len();
        let comparing = progress.phase("Comparing the map with turned copies of itself", copies);
        for kind in &mut kinds {
            let value = |axis: &[f64; 3]| {
                let value = likeness(turner, &frequencies, &kind.element.turn(*axis));
                comparing.advance(1);
                value
            };
            kind.values = axes.all.par_iter().map(value).collect();
        }
        Self { kinds, axes }
    }

    /// Returns a cost of an orientation that is low where the map turned by `a` has the axes of the group.
    pub(super) fn cost(&self, a: &Matrix3) -> f64 {
        let inverse = euler::transpose(a);
        let (mut sum, mut count) = (0.0, 0);
        for kind in &self.kinds {
            for axis in &kind.axes {
                let at = self.axes.nearest(euler::apply(&inverse, *axis));
                sum += f64::from(kind.values[at]);
            }
            count += kind.axes.len();
        }
        -sum / count.max(1) as f64
    }
}

/// Correlation of a map with its copy turned by `turn`.
fn likeness(turner: &Turner, frequencies: &[Frequency], turn: &Matrix3) -> f32 {
    let (own, turned) = (
        turner.steps(&euler::matrix(0.0, 0.0, 0.0)),
        turner.steps(turn),
    );
    let (mut product, mut power) = (0.0, 0.0);
    for Frequency { at, weight } in frequencies {
        let (a, b) = (turner.value(&own, *at), turner.value(&turned, *at));
        product += weight * f64::from(a[0] * b[0] + a[1] * b[1]);
        power += weight * f64::from(a[0] * a[0] + a[1] * a[1]);
    }
    if power > 0.0 {
        (product / power) as f32
    } else {
        0.0
    }
}

impl Element {
    fn turn(self, axis: [f64; 3]) -> Matrix3 {
        let turn = by_vector(axis.map(|v| v * self.angle));
        match self.inverts {
            true => turn.map(|row| row.map(|v| -v)),
            false => turn,
        }
    }
}

/// Angle and axis of an operator.
fn element_of(operator: &Matrix3) -> (Element, [f64; 3]) {
    let [a, b, c] = operator;
    let inverts = euler::dot(*a, cross(*b, *c)) < 0.0;
    let m = match inverts {
        true => operator.map(|row| row.map(|v| -v)),
        false => *operator,
    };
    let cosine = ((m[0][0] + m[1][1] + m[2][2] - 1.0) / 2.0).clamp(-1.0, 1.0);
    let angle = cosine.acos().to_degrees();
    let element = Element { angle, inverts };
    // M + Mᵀ = 2 cos·1 + 2 (1 − cos) u uᵀ: the longest row lies along the axis, unless nothing is turned.
    let rows: [[f64; 3]; 3] = std::array::from_fn(|i| {
        std::array::from_fn(|j| m[i][j] + m[j][i] - if i == j { 2.0 * cosine } else { 0.0 })
    });
    let longest = rows
        .into_iter()
        .max_by(|a, b| euler::dot(*a, *a).total_cmp(&euler::dot(*b, *b)));
    let row = longest.unwrap_or([0.0; 3]);
    let length = euler::dot(row, row).sqrt();
    let axis = match length > 1e-6 {
        true => row.map(|v| v / length),
        false => [0.0, 0.0, 1.0],
    };
    (element, axis)
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

/// Axes of half a sphere in rows of one latitude.
struct Axes {
    all: Vec<[f64; 3]>,
    /// Where each row begins, and how many it has.
    rows: Vec<(usize, usize)>,
}

impl Axes {
    fn new() -> Self {
        let (mut all, mut rows) = (Vec::new(), Vec::new());
        for row in 0..=(90.0 / STEP) as usize {
            let tilt = (row as f64 * STEP).to_radians();
            let count = ((360.0 * tilt.sin() / STEP).ceil() as usize).max(1);
            rows.push((all.len(), count));
            for i in 0..count {
                let rot = std::f64::consts::TAU * i as f64 / count as f64;
                all.push([tilt.sin() * rot.cos(), tilt.sin() * rot.sin(), tilt.cos()]);
            }
        }
        Self { all, rows }
    }

    /// Place of the axis next to `axis`, of either sign.
    fn nearest(&self, axis: [f64; 3]) -> usize {
        let [x, y, z] = match axis[2] < 0.0 {
            true => axis.map(|v| -v),
            false => axis,
        };
        let row = (z.clamp(0.0, 1.0).acos().to_degrees() / STEP).round() as usize;
        let (begin, count) = self.rows[row.min(self.rows.len() - 1)];
        let turn = y.atan2(x) / std::f64::consts::TAU;
        begin + (turn.rem_euclid(1.0) * count as f64).round() as usize % count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::symmetry::PointGroup;

    #[test]
    fn the_nearest_axis_is_near() {
        let axes = Axes::new();
        for (i, a) in crate::tools::rotation::orientations::even(500)
            .iter()
            .enumerate()
        {
            let [x, y, z] = a[i % 3];
            let found = axes.all[axes.nearest([x, y, z])];
            let cosine = euler::dot(found, [x, y, z]).abs().min(1.0);
            assert!(cosine.acos().to_degrees() < STEP, "{found:?}");
        }
    }

    /// Angle, axis and inversion of an operator make the operator again, or its inverse.
    #[test]
    fn operators_are_taken_apart() {
        for name in ["C7", "D3", "T", "Oh", "I", "Ih", "S4", "Cs", "Ci"] {
            for operator in PointGroup::parse(name).unwrap().operators() {
                let (element, axis) = element_of(operator);
                let turn = element.turn(axis);
                let far = |other: &Matrix3| {
                    let pairs = turn.iter().flatten().zip(other.iter().flatten());
                    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
                };
                let best = far(operator).min(far(&euler::transpose(operator)));
                assert!(best < 1e-4, "{name}: {operator:?} {turn:?}");
            }
        }
    }
}
