//! Masks that leave out a part of the particle, and maps without one.

use super::{Finding, Kind};
use ndarray::Array3;

/// Share of the signal that may lie outside a mask.
const OUTSIDE: f64 = 0.1;
/// Share of a map's power that may lie outside the particle's sphere.
const SOLVENT: f64 = 0.1;

/// Share of what two independent half maps have in common that a mask (0 to 1) leaves out. Noise, which they do not share, adds
/// nothing on average. None where they have nothing in common.
pub fn signal_outside(halves: [&Array3<f64>; 2], mask: &Array3<f64>) -> Option<f64> {
    let [mut outside, mut all] = [0.0; 2];
    for ((a, b), m) in halves[0].iter().zip(halves[1]).zip(mask) {
        all += a * b;
        outside += a * b * (1.0 - m) * (1.0 - m);
    }
    (all > 0.0).then(|| outside / all)
}

/// Judges a mask by the share of the signal outside it.
pub fn too_tight(share: f64) -> Option<Finding> {
    (share > OUTSIDE).then(|| {
        Finding::new(
            Kind::MaskTooTight,
            format!(
                "the mask is too tight: {:.0} % of the signal that the half maps share lies outside it (at most {:.0} % are usual). \
                 What lies outside was cut off the references, so particles were aligned without it, and the edge of the mask makes \
                 the FSC too high. Make a mask from this map, at a lower threshold and with a wider soft edge (relion_mask_create \
                 --extend_inimask, --width_soft_edge).",
                100.0 * share,
                100.0 * OUTSIDE
            ),
        )
    })
}

/// Share of a map's power beyond `radius` voxels of the centre, within the sphere that the box holds; None for an empty map.
pub fn power_outside(map: &Array3<f64>, radius: f64) -> Option<f64> {
    let centre = map.dim().0 as f64 / 2.0;
    let square = |i: usize| (i as f64 - centre).powi(2);
    let [mut outside, mut all] = [0.0; 2];
    for ((z, y, x), v) in map.indexed_iter() {
        let distance = square(z) + square(y) + square(x);
        if distance < centre * centre {
            all += v * v;
            if distance > radius * radius {
                outside += v * v;
            }
        }
    }
    (all > 0.0).then(|| outside / all)
}

/// Judges a map that was not masked by the share of its power outside the particle of `diameter` Å.
pub fn absent(share: f64, diameter: f64) -> Option<Finding> {
    (share > SOLVENT).then(|| {
        Finding::new(
            Kind::MaskAbsent,
            format!(
                "the map is not masked, and {:.0} % of its power lies outside the particle ({diameter:.0} Å): noise that references carry \
                 from iteration to iteration. Give --flatten_solvent and --zero_mask, or a --solvent_mask.",
                100.0 * share
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, RngExt, SeedableRng};

    fn ball(radius: f64) -> Array3<f64> {
        Array3::from_shape_fn((40, 40, 40), |(z, y, x)| {
            let square = |i: usize| (i as f64 - 20.0).powi(2);
            f64::from(square(z) + square(y) + square(x) < radius * radius)
        })
    }

    fn noisy(map: &Array3<f64>, random: &mut impl Rng) -> Array3<f64> {
        map.mapv(|v| v + 2.0 * (random.random::<f64>() - 0.5))
    }

    #[test]
    fn what_both_halves_have_outside_the_mask_is_signal() {
        let mut random = rand_pcg::Pcg64::seed_from_u64(1);
        let particle = ball(12.0);
        let halves = [noisy(&particle, &mut random), noisy(&particle, &mut random)];
        let share = |radius| signal_outside([&halves[0], &halves[1]], &ball(radius)).unwrap();
        assert!(share(14.0).abs() < 0.05, "{}", share(14.0));
        assert_eq!(too_tight(share(14.0)), None);
        // A ball of radius 10 leaves out 1 − (10/12)³ of it.
        assert!((share(10.0) - 0.42).abs() < 0.05, "{}", share(10.0));
        assert!(too_tight(share(10.0)).is_some());
        let nothing = Array3::zeros((4, 4, 4));
        assert_eq!(signal_outside([&nothing, &nothing], &nothing), None);
    }

    #[test]
    fn noise_around_a_particle_is_power_outside() {
        let mut random = rand_pcg::Pcg64::seed_from_u64(2);
        assert_eq!(power_outside(&ball(10.0), 12.0), Some(0.0));
        let share = power_outside(&noisy(&ball(10.0), &mut random), 12.0).unwrap();
        assert!(
            absent(share, 170.0).unwrap().text.contains("170 Å"),
            "{share}"
        );
        assert_eq!(absent(0.02, 170.0), None);
    }
}
