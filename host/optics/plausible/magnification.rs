//! Magnification matrices that no microscope has.

use super::{Verdict, between};
use crate::dataset::ParticleSet;
use crate::errors::{Code, Message};

/// Magnifications along the two axes of a matrix: they differ from 1 by a few per cent.
const POSSIBLE: [f64; 2] = [0.5, 2.0];
const USUAL: [f64; 2] = [0.89, 1.12];
/// Degrees that a matrix may turn the image by.
const USUAL_TURN: f64 = 10.0;

/// Parts of a matrix that one can judge.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Parts {
    determinant: f64,
    /// Singular values: the smallest and the largest magnification.
    axes: [f64; 2],
    /// Rotation, degrees.
    turn: f64,
}

impl Parts {
    fn of([[a, b], [c, d]]: [[f64; 2]; 2]) -> Self {
        // (a, b; c, d) is a rotation and scaling plus a mirror and scaling, of these sizes.
        let turned = (a + d).hypot(c - b) / 2.0;
        let mirrored = (a - d).hypot(b + c) / 2.0;
        Self {
            determinant: a * d - b * c,
            axes: [(turned - mirrored).abs(), turned + mirrored],
            turn: (c - b).atan2(a + d).to_degrees(),
        }
    }

    fn verdict(self) -> Verdict {
        let worst = self.axes.map(|axis| between(axis, POSSIBLE, USUAL));
        match (self.determinant < 0.0, worst) {
            (true, _) => Verdict::Impossible,
            _ if worst.contains(&Verdict::Impossible) => Verdict::Impossible,
            _ if worst.contains(&Verdict::Improbable) => Verdict::Improbable,
            _ if self.turn.abs() > USUAL_TURN => Verdict::Improbable,
            _ => Verdict::Usual,
        }
    }
}

/// Checks the magnification matrices of all optics groups, which images are compared through with and without a CTF, and
/// returns warnings about improbable ones.
///
/// # Errors
/// A matrix that is nearly singular, far from the unit matrix along an axis, or a mirror, with the name of its group.
pub(super) fn check(set: &ParticleSet) -> Result<Vec<String>, Message> {
    let mut warnings = Vec::new();
    for group in &set.optics {
        let parts = Parts::of(group.magnification);
        let mirror = match parts.determinant < 0.0 {
            true => ", which is that of a mirror: the hand of the structure would be inverted",
            false => "",
        };
        let [least, most] = parts.axes;
        let text = format!(
            "optics group '{}': the magnification matrix (rlnMagMat00 … rlnMagMat11) has the determinant {}{mirror}; it magnifies {} \
             times along one axis and {} times along the other, and turns by {:.0}°. The matrix differs from the unit matrix by a \
             few per cent: correct it, or remove these columns.",
            group.name,
            rounded(parts.determinant),
            rounded(least),
            rounded(most),
            parts.turn + 0.0
        );
        match parts.verdict() {
            Verdict::Usual => {}
            Verdict::Improbable => warnings.push(text),
            Verdict::Impossible => {
                return Err(Code::CTF_PARAMETERS
                    .says(text)
                    .about(set.source().display()));
            }
        }
    }
    Ok(warnings)
}

/// Returns a number as messages show it, with four digits.
fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value) + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_axis_is_judged() {
        for (matrix, expected) in [
            ([[1.0, 0.0], [0.0, 1.0]], Verdict::Usual),
            ([[1.02, 0.01], [0.01, 0.97]], Verdict::Usual),
            ([[1.05, -0.03], [0.02, 0.95]], Verdict::Usual),
            ([[1.3, 0.0], [0.0, 0.8]], Verdict::Improbable),
            // Half a turn, and a quarter.
            ([[-1.0, 0.0], [0.0, -1.0]], Verdict::Improbable),
            ([[0.0, -1.0], [1.0, 0.0]], Verdict::Improbable),
            // The determinant is 1.
            ([[100.0, 0.0], [0.0, 0.01]], Verdict::Impossible),
            ([[1.0, 50.0], [0.0, 1.0]], Verdict::Impossible),
            ([[1.0, 1.0], [1.0, 1.0]], Verdict::Impossible),
            ([[0.0, 1.0], [1.0, 0.0]], Verdict::Impossible),
            ([[-999.0, -999.0], [-999.0, -999.0]], Verdict::Impossible),
            ([[f64::NAN, 0.0], [0.0, 1.0]], Verdict::Impossible),
        ] {
            assert_eq!(Parts::of(matrix).verdict(), expected, "{matrix:?}");
        }
        let parts = Parts::of([[100.0, 0.0], [0.0, 0.01]]);
        assert!((parts.axes[0] - 0.01).abs() < 1e-12 && parts.axes[1] == 100.0);
    }
}
