//! From how many sides the particles were seen: the sampling compensation factor.
//!
//! Baldwin & Lyumkis (2020), Prog. Biophys. Mol. Biol. 150, 160; (2021), J. Struct. Biol. 213, 107695: with s(k) the number of
//! projections that sample the direction k of Fourier space, relative to an even distribution, SCF = 1 / ⟨1/s⟩. It is 1 for
//! even views, about 0.8 for side views only, and falls towards 0 for top views, which leave a cone without data.

use super::inputs::Inputs;
use super::{Check, Verdict};
use crate::geometry::euler::{apply, dot, viewing_direction};
use crate::geometry::healpix;

/// HEALPix order of the directions in Fourier space.
const ORDER: u32 = 3;

/// Sine of the angle between a direction and the plane of a projection up to which the projection samples it: 3°.
const WIDTH: f64 = 0.0523;

/// Smallest relative sampling that enters the mean; a direction below counts as without data.
const FLOOR: f64 = 0.02;

/// SCF from which the coverage is good, and below which it is bad: choices of this program.
const GOOD: f64 = 0.6;
const BAD: f64 = 0.25;

/// Returns the SCF and the share of directions without data, of viewing directions (rot, tilt in degrees) and their copies
/// under the point group's operators; None without views.
pub(super) fn sampling(
    views: &[[f64; 2]],
    group: &crate::geometry::symmetry::PointGroup,
) -> Option<[f64; 2]> {
    if views.is_empty() {
        return None;
    }
    let views: Vec<[f64; 3]> = views
        .iter()
        .map(|[rot, tilt]| viewing_direction(*rot, *tilt))
        .collect();
    // The point group turns directions in Fourier space rather than every view: the counts are the same.
    let sampled = |k: [f64; 3]| {
        let turned = group.operators().iter().map(|g| apply(g, k)).chain([k]);
        let counts = turned.map(|k| views.iter().filter(|v| dot(**v, k).abs() < WIDTH).count());
        let (sum, copies) = counts.fold((0, 0), |(sum, n), count| (sum + count, n + 1));
        sum as f64 / (copies * views.len()) as f64 / WIDTH
    };
    use rayon::prelude::*;
    let values: Vec<f64> = (0..healpix::pixel_count(ORDER))
        .into_par_iter()
        .map(|pixel| {
            let (rot, tilt) = healpix::direction(ORDER, pixel);
            sampled(viewing_direction(rot, tilt))
        })
        .collect();
    let count = values.len() as f64;
    let inverse = values.iter().map(|s| 1.0 / s.max(FLOOR)).sum::<f64>() / count;
    let empty = values.iter().filter(|s| **s < FLOOR).count() as f64 / count;
    Some([1.0 / inverse, empty])
}

/// Judges the coverage.
pub(super) fn check(inputs: &Inputs) -> Check {
    let name = "orientation coverage";
    let views = inputs.particles.as_ref().map_or(&[][..], |p| &p.directions);
    let Some([scf, empty]) = sampling(views, &inputs.symmetry) else {
        return Check::new(
            name,
            "–",
            Verdict::Unknown,
            "no table of particles with orientations was found",
            "",
        );
    };
    let verdict = match scf {
        v if v >= GOOD => Verdict::Good,
        v if v >= BAD => Verdict::Look,
        _ => Verdict::Bad,
    };
    Check::new(
        name,
        format!("SCF {scf:.2}"),
        verdict,
        format!(
            "sampling compensation factor (Baldwin & Lyumkis 2020; 1 is even, side views have 0.8, top views less); {:.0} % of \
             directions have no data",
            100.0 * empty
        ),
        "Collect tilted images, or change the support or detergent of the grid; look at directions with little data in the 3D FSC.",
    )
}
