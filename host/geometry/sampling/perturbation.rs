//! The random perturbation of the grid (spec 01 §4.6).

use super::Sampling;
use crate::geometry::random::CRandom;

impl Sampling {
    /// Draws the next perturbation from a generator already seeded: x + U(f/2, f), wrapped into [−f, f].
    /// Without a perturbation factor nothing is drawn.
    pub fn perturb(&mut self, random: &mut CRandom) {
        let factor = self.perturbation_factor;
        if factor <= 0.0 {
            return;
        }
        let step = random.uniform(0.5 * factor as f32, factor as f32);
        self.perturbation = wrap(self.perturbation + f64::from(step), -factor, factor);
    }
}

/// Adds or subtracts whole periods until x lies in [low, high] (spec 01 §0.1).
fn wrap(x: f64, low: f64, high: f64) -> f64 {
    if (low..=high).contains(&x) {
        return x;
    }
    let period = high - low;
    x - ((x - low) / period).floor() * period
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::symmetry::PointGroup;

    #[test]
    fn perturbations_of_the_specification() {
        let sequences = [
            (
                1u32,
                [
                    -0.114708960,
                    0.275636077,
                    -0.245249450,
                    0.073436946,
                    0.357296646,
                    -0.270977318,
                ],
            ),
            (
                1399,
                [
                    -0.237170815,
                    0.155443490,
                    -0.362790048,
                    0.085173130,
                    0.372050583,
                    -0.252280116,
                ],
            ),
            (
                0,
                [
                    -0.079906106,
                    0.345337987,
                    -0.264316976,
                    0.214797497,
                    -0.466516107,
                    -0.182656407,
                ],
            ),
        ];
        for (seed, expected) in sequences {
            let mut s = Sampling::new(0, -1.0, PointGroup::c1(), -91.0, 20.0, 8.0, 0.5);
            s.perturb(&mut CRandom::new(1));
            assert!((s.perturbation - 0.460046947).abs() < 5e-10);
            for (iteration, expected) in (1..).zip(expected) {
                s.perturb(&mut CRandom::new(seed + iteration));
                assert!(
                    (s.perturbation - expected).abs() < 5e-10,
                    "seed {seed} iteration {iteration}: {} is not {expected}",
                    s.perturbation
                );
            }
        }
    }

    #[test]
    fn no_factor_no_perturbation() {
        let mut s = Sampling::new(0, -1.0, PointGroup::c1(), -91.0, 1.0, 1.0, 0.0);
        s.perturb(&mut CRandom::new(1));
        assert_eq!(s.perturbation, 0.0);
    }

    #[test]
    fn wrapping_keeps_both_ends() {
        assert_eq!(wrap(0.5, -0.5, 0.5), 0.5);
        assert_eq!(wrap(-0.5, -0.5, 0.5), -0.5);
        assert_eq!(wrap(0.75, -0.5, 0.5), -0.25);
        assert_eq!(wrap(-0.75, -0.5, 0.5), 0.25);
    }
}
