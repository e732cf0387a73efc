//! How far a turned map is from having a point group (spec 05 §14 step 6).

use super::frequencies::{Frequency, thinned};
use crate::geometry::{Matrix3, euler};
use crate::tools::rotation::turner::Turner;

/// Shares of a map's power that break its symmetry.
pub(super) struct Criterion<'a> {
    turner: &'a Turner,
    frequencies: Vec<Frequency>,
    /// All elements of the group.
    elements: Vec<Matrix3>,
}

impl<'a> Criterion<'a> {
    /// For the shells 1…`r_max` of the map, and a group without its identity. At most about `most_values` values of the
    /// transform are read for one orientation; where that is less than all, high shells are thinned out.
    pub(super) fn new(
        turner: &'a Turner,
        operators: &[Matrix3],
        r_max: usize,
        most_values: usize,
    ) -> Self {
        let identity = euler::matrix(0.0, 0.0, 0.0);
        Self {
            turner,
            frequencies: thinned(r_max, most_values / (operators.len() + 1)),
            elements: std::iter::once(identity)
                .chain(operators.iter().copied())
                .collect(),
        }
    }

    /// Returns Σ|F − F_sym|²/Σ|F|² of the map turned by `a`, F_sym being the mean over the group: by Parseval's theorem the
    /// squared difference of the turned and the symmetrised map over that of the map from its mean. 0: symmetric.
    pub(super) fn broken(&self, a: &Matrix3) -> f64 {
        // m(g r) = in(Aᵀ g r): the map turned by gᵀ·A.
        let steps: Vec<_> = self
            .elements
            .iter()
            .map(|g| self.turner.steps(&euler::multiply(&euler::transpose(g), a)))
            .collect();
        let share = 1.0 / steps.len() as f32;
        let (mut difference, mut power) = (0.0f64, 0.0f64);
        for Frequency { at, weight } in &self.frequencies {
            let own = self.turner.value(&steps[0], *at);
            let mut mean = own;
            for step in &steps[1..] {
                let copy = self.turner.value(step, *at);
                mean[0] += copy[0];
                mean[1] += copy[1];
            }
            let (re, im) = (own[0] - share * mean[0], own[1] - share * mean[1]);
            difference += weight * f64::from(re * re + im * im);
            power += weight * f64::from(own[0] * own[0] + own[1] * own[1]);
        }
        if power > 0.0 { difference / power } else { 0.0 }
    }
}
