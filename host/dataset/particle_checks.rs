//! Numbers that no particle has, whatever program reads them: offsets outside the image, absurd norm corrections.

use super::ParticleSet;
use crate::formats::star::PLACEHOLDER;

/// Factor by which norm corrections may differ from 1, up or down: those of images on any grey scale are well within.
const POSSIBLE_NORM: f64 = 1e6;

/// Returns, in words, why an origin offset (Å) cannot be that of a particle in an image of `side` Å: the particle would not be in
/// it, or the value stands for none.
pub fn origin_fault(origin: [f64; 2], side: f64) -> Option<String> {
    let [x, y] = origin;
    let advice = "Correct rlnOriginXAngst and rlnOriginYAngst (they are in Å, not in pixels), or remove the columns";
    if origin.contains(&PLACEHOLDER) {
        return Some(format!(
            "its origin offset is ({x}, {y}) Å, where {PLACEHOLDER} stands for none. {advice}"
        ));
    }
    let within = |offset: &f64| offset.is_finite() && offset.abs() <= 2.0 * side;
    (!origin.iter().all(within)).then(|| {
        format!(
            "its origin offset ({x}, {y}) Å lies outside the image of {side} × {side} Å. {advice}"
        )
    })
}

/// Returns, in words, why a norm correction cannot be that of an image.
pub fn norm_fault(norm: f64) -> Option<String> {
    if norm.is_nan() || norm <= 0.0 {
        return Some(format!(
            "its rlnNormCorrection is {norm}; it must be positive. Set it to 1 or remove the column"
        ));
    }
    let possible = (1.0 / POSSIBLE_NORM..=POSSIBLE_NORM).contains(&norm);
    (!possible).then(|| {
        format!(
            "its rlnNormCorrection is {norm}, which no image needs: it is about 1. Set it to 1 or remove the column"
        )
    })
}

/// Angles up to this are taken for radians where all of a set are.
const LARGEST_IN_RADIANS: f64 = 3.15;
/// Different angles that are enough for this.
const FEWEST_ANGLES: usize = 20;

/// Whether angles (degrees) of many particles are all so small that they will be in radians.
pub fn are_radians(angles: impl IntoIterator<Item = f64>) -> bool {
    let mut angles: Vec<f64> = angles.into_iter().collect();
    if angles.iter().any(|angle| angle.abs() > LARGEST_IN_RADIANS) {
        return false;
    }
    angles.sort_by(f64::total_cmp);
    angles.dedup();
    angles.len() >= FEWEST_ANGLES
}

/// Returns a warning about orientations that are used, all angles of which look like radians.
pub fn orientations_in_radians(set: &ParticleSet) -> Option<String> {
    let angles = set.particles.iter().flat_map(|p| [p.rot, p.tilt, p.psi]);
    are_radians(angles).then(|| {
        format!(
            "all angles of {} are below {LARGEST_IN_RADIANS}: rlnAngleRot, rlnAngleTilt and rlnAnglePsi are in degrees. Are these in \
             radians?",
            set.source().display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn radians_are_told_from_degrees() {
        let radians = (0..100).map(|i| f64::from(i) * 0.06 - 3.0);
        assert!(are_radians(radians.clone()));
        assert!(!are_radians(radians.clone().map(f64::to_degrees)));
        assert!(!are_radians(radians.take(10)), "too few to tell");
        assert!(!are_radians([0.0; 1000]), "not aligned");
    }

    #[test]
    fn offsets_lie_in_the_image() {
        for good in [[0.0, 0.0], [-998.9, 12.5], [1000.0, 0.0]] {
            assert_eq!(origin_fault(good, 500.0), None, "{good:?}");
        }
        // Within reach of a large image, but nothing that a refinement finds.
        for none in [[-999.0, 0.0], [3.0, -999.0]] {
            assert!(
                origin_fault(none, 600.0)
                    .unwrap()
                    .contains("stands for none")
            );
        }
        for far in [[1000.1, 0.0], [0.0, f64::NAN]] {
            assert!(
                origin_fault(far, 500.0)
                    .unwrap()
                    .contains("outside the image")
            );
        }
    }

    #[test]
    fn norm_corrections_are_about_1() {
        for good in [1.0, 0.01, 250.0] {
            assert_eq!(norm_fault(good), None);
        }
        for bad in [0.0, -1.0, f64::NAN, 1e10, 1e-10] {
            assert!(
                norm_fault(bad).unwrap().contains("rlnNormCorrection"),
                "{bad}"
            );
        }
    }
}
