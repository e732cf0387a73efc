//! A resolution that has not got beyond that of the first reference.

use super::{Finding, Kind};

/// Share of the reference's resolution that the final one must fall below.
const BEYOND: f64 = 0.85;

/// Judges the resolution `reached` (Å) of a refinement that started from a reference filtered to `filter` Å.
pub fn stuck(reached: f64, filter: f64) -> Option<Finding> {
    let is_stuck = filter > 0.0 && (reached > BEYOND * filter || !reached.is_finite());
    is_stuck.then(|| {
        let shown = match reached.is_finite() {
            true => format!("{reached:.1} Å"),
            false => "no resolution at all".into(),
        };
        Finding::new(
            Kind::ResolutionStuck,
            format!(
                "the resolution is stuck: {shown}, while the reference was filtered to {filter:.1} Å (--ini_high). The particles have \
                 added hardly anything to the reference. Usual causes: images without particles or of another molecule, an \
                 inverted contrast, a wrong pixel size or CTF, too few particles. Look at 2D class averages of the set first."
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolution_near_that_of_the_reference_is_stuck() {
        assert_eq!(stuck(8.8, 40.0), None);
        assert_eq!(stuck(33.9, 40.0), None);
        assert_eq!(stuck(38.0, 0.0), None, "the reference was not filtered");
        assert!(stuck(36.0, 40.0).unwrap().text.contains("36.0 Å, while"));
        assert!(stuck(f64::INFINITY, 40.0).is_some());
    }
}
