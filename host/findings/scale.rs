//! A map and its reference that differ in size: the pixel size of one of them is wrong.

use super::{Finding, Kind};
use ndarray::Array3;
use rayon::prelude::*;

/// Magnifications that are tried: 1 ± STEP·STEPS.
const STEP: f64 = 0.01;
const STEPS: i32 = 15;
/// Difference in size that is no chance.
const DIFFERENCE: f64 = 0.025;
/// Correlation that map and reference must reach: others are of different molecules.
const ALIKE: f64 = 0.8;
/// The rescaled reference must lack less than this share of what the reference as it is lacks to a perfect correlation: a map of
/// noise fits many sizes about as well.
const BETTER: f64 = 0.7;

/// How large a map is beside a reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Magnification {
    /// Factor by which the reference must be enlarged to fit the map best.
    pub factor: f64,
    /// Correlation with the reference enlarged so, and as it is.
    pub correlation: [f64; 2],
}

/// Finds how much `reference` must be enlarged to fit `map` best, within `radius` voxels of the centre. Both have the same box and
/// should be filtered alike. None where the best factor is at an end of what is tried, or a map is empty.
pub fn magnification(
    map: &Array3<f64>,
    reference: &Array3<f64>,
    radius: f64,
) -> Option<Magnification> {
    let tried: Vec<f64> = (-STEPS..=STEPS)
        .into_par_iter()
        .map(|i| correlation(map, reference, 1.0 + STEP * f64::from(i), radius))
        .collect();
    let best = (0..tried.len()).max_by(|a, b| tried[*a].total_cmp(&tried[*b]))?;
    if best == 0 || best + 1 == tried.len() || !tried[best].is_finite() {
        return None;
    }
    let [before, at, after] = [tried[best - 1], tried[best], tried[best + 1]];
    // The vertex of the parabola through three values.
    let curvature = before - 2.0 * at + after;
    let shift = match curvature < 0.0 {
        true => 0.5 * (before - after) / curvature,
        false => 0.0,
    };
    let step = best as f64 - f64::from(STEPS) + shift;
    Some(Magnification {
        factor: 1.0 + STEP * step,
        correlation: [at, tried[STEPS as usize]],
    })
}

/// Correlation of the map with the reference enlarged by `factor` about the centre.
fn correlation(map: &Array3<f64>, reference: &Array3<f64>, factor: f64, radius: f64) -> f64 {
    let side = map.dim().0;
    let centre = (side / 2) as f64;
    let reach = (radius.min(centre - 1.0)).powi(2);
    let mut sums = [0.0; 6];
    for ((z, y, x), a) in map.indexed_iter() {
        let offset = [z, y, x].map(|i| i as f64 - centre);
        if offset.iter().map(|d| d * d).sum::<f64>() > reach {
            continue;
        }
        let b = interpolated(reference, offset.map(|d| d / factor + centre));
        let terms = [1.0, *a, b, a * a, b * b, a * b];
        sums.iter_mut().zip(terms).for_each(|(s, t)| *s += t);
    }
    let [n, a, b, aa, bb, ab] = sums;
    (ab - a * b / n) / ((aa - a * a / n) * (bb - b * b / n)).sqrt()
}

/// Trilinear interpolation; 0 outside.
fn interpolated(map: &Array3<f64>, at: [f64; 3]) -> f64 {
    let side = map.dim().0 as i64;
    let low = at.map(|v| v.floor() as i64);
    let mut value = 0.0;
    for corner in 0..8i64 {
        let place = [0, 1, 2].map(|axis| low[axis] + ((corner >> axis) & 1));
        if place.iter().any(|p| *p < 0 || *p >= side) {
            continue;
        }
        let weights = [0, 1, 2].map(|axis| 1.0 - (at[axis] - place[axis] as f64).abs());
        let [z, y, x] = place.map(|p| p as usize);
        value += weights.iter().product::<f64>() * map[[z, y, x]];
    }
    value
}

/// Judges the size of a map beside its reference; `pixel_size` is that of the images, Å.
pub fn differs(found: Magnification, pixel_size: f64) -> Option<Finding> {
    let off = found.factor - 1.0;
    let [best, as_it_is] = found.correlation;
    let is_better = 1.0 - best < BETTER * (1.0 - as_it_is);
    (off.abs() > DIFFERENCE && best > ALIKE && is_better).then(|| {
        let (how, other) = match off > 0.0 {
            true => ("larger", "smaller"),
            false => ("smaller", "larger"),
        };
        Finding::new(
            Kind::PixelSize,
            format!(
                "wrong pixel size suspected: the particle in the map is {:.1} % {how} than in the reference (correlation {best:.3} with the \
                 reference rescaled, {as_it_is:.3} as it is). If the reference is right, the pixels of the images are {:.3} Å \
                 ({other} than the {pixel_size:.3} Å stated); else the pixel size in the header of the reference is wrong \
                 (--ref_angpix).",
                100.0 * off.abs(),
                pixel_size / found.factor
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three blobs, at places and of a size that `scale` multiplies.
    fn particle(scale: f64) -> Array3<f64> {
        let blobs = [[4.0, 0.0, 2.0], [-3.0, 5.0, 0.0], [0.0, -4.0, -5.0]];
        Array3::from_shape_fn((48, 48, 48), |(z, y, x)| {
            let at = [z, y, x].map(|i| (i as f64 - 24.0) / scale);
            let density = |blob: &[f64; 3]| {
                let square: f64 = at.iter().zip(blob).map(|(a, b)| (a - b) * (a - b)).sum();
                (-square / 18.0).exp()
            };
            blobs.iter().map(density).sum()
        })
    }

    #[test]
    fn sizes_are_found_to_a_fraction_of_a_per_cent() {
        for scale in [0.93, 1.0, 1.05] {
            let found = magnification(&particle(scale), &particle(1.0), 20.0).unwrap();
            // Interpolation smooths the rescaled references, and not the one at 1.
            assert!((found.factor - scale).abs() < 0.005, "{scale}: {found:?}");
            assert_eq!(differs(found, 2.0).is_some(), scale != 1.0);
        }
        let text = differs(
            magnification(&particle(1.05), &particle(1.0), 20.0).unwrap(),
            2.1,
        )
        .unwrap()
        .text;
        assert!(
            text.contains("% larger") && text.contains("smaller than the 2.100 Å"),
            "{text}"
        );
        let noise = Magnification {
            factor: 1.035,
            correlation: [0.871, 0.868],
        };
        assert_eq!(differs(noise, 2.0), None, "any size fits noise");
        assert_eq!(
            magnification(&Array3::zeros((8, 8, 8)), &particle(1.0), 3.0),
            None
        );
    }
}
