//! Numbers that no particle has, whatever program reads them: offsets outside the image, absurd norm corrections.

use super::columns::PLACEHOLDER;

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

#[cfg(test)]
mod tests {
    use super::*;

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
