//! How far a turned map is from having a point group (spec 05 §14 step 6).

use crate::geometry::{Matrix3, euler};
use crate::tools::rotation::turner::Turner;

/// Values of the transform that are read at most for one orientation. For groups with many elements the frequencies are thinned
/// out evenly: a part of them tells the orientation as well.
const MOST_VALUES: usize = 400_000;

/// Shares of a map's power that break its symmetry.
pub struct Criterion<'a> {
    turner: &'a Turner,
    /// Frequencies of the half sphere; the other half is its mate.
    frequencies: Vec<[f32; 3]>,
    /// All elements of the group.
    elements: Vec<Matrix3>,
}

impl<'a> Criterion<'a> {
    /// For the shells 1…`r_max` of the map, and a group without its identity.
    pub fn new(turner: &'a Turner, operators: &[Matrix3], r_max: usize) -> Self {
        let r = r_max as i64;
        let mut frequencies = Vec::new();
        for z in -r..=r {
            for y in -r..=r {
                for x in 0..=r {
                    let is_mate = x == 0 && (y < 0 || (y == 0 && z < 0));
                    let shell2 = x * x + y * y + z * z;
                    if !is_mate && shell2 > 0 && shell2 <= r * r {
                        frequencies.push([x as f32, y as f32, z as f32]);
                    }
                }
            }
        }
        let identity = euler::matrix(0.0, 0.0, 0.0);
        let every = (frequencies.len() * (operators.len() + 1)).div_ceil(MOST_VALUES);
        Self {
            turner,
            frequencies: frequencies.into_iter().step_by(every.max(1)).collect(),
            elements: std::iter::once(identity)
                .chain(operators.iter().copied())
                .collect(),
        }
    }

    /// Returns Σ|F − F_sym|²/Σ|F|² of the map turned by `a`, F_sym being the mean over the group: by Parseval's theorem the
    /// squared difference of the turned and the symmetrised map over that of the map from its mean. 0: symmetric.
    pub fn broken(&self, a: &Matrix3) -> f64 {
        // m(g r) = in(Aᵀ g r): the map turned by gᵀ·A.
        let steps: Vec<_> = self
            .elements
            .iter()
            .map(|g| self.turner.steps(&euler::multiply(&euler::transpose(g), a)))
            .collect();
        let share = 1.0 / steps.len() as f32;
        let (mut difference, mut power) = (0.0f64, 0.0f64);
        for at in &self.frequencies {
            let own = self.turner.value(&steps[0], *at);
            let mut mean = own;
            for step in &steps[1..] {
                let copy = self.turner.value(step, *at);
                mean[0] += copy[0];
                mean[1] += copy[1];
            }
            let (re, im) = (own[0] - share * mean[0], own[1] - share * mean[1]);
            difference += f64::from(re * re + im * im);
            power += f64::from(own[0] * own[0] + own[1] * own[1]);
        }
        if power > 0.0 { difference / power } else { 0.0 }
    }
}
