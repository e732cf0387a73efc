//! Prior probabilities of orientations in local searches (spec 01 §4.5).

use super::Matrix3;
use super::euler::{apply, dot, transpose, viewing_direction};
use super::relaxation::relaxed_orientations;
use super::sampling::Sampling;

/// Orientations further than this many σ from the prior centre are not searched.
pub(super) const CUTOFF: f64 = 3.0;

/// Widths of the local-search priors, degrees; ≤ 0 = not used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalSearch {
    /// σ of rot.
    pub sigma_rot: f64,
    /// σ of tilt.
    pub sigma_tilt: f64,
    /// σ of psi.
    pub sigma_psi: f64,
}

/// Orientations near a particle's prior and their probabilities; both lists keep index order and sum to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalOrientations {
    /// (index of coarse direction, prior).
    pub directions: Vec<(usize, f64)>,
    /// (index of coarse psi, prior).
    pub psis: Vec<(usize, f64)>,
}

/// Select directions and psi angles within 3σ of the prior centre (degrees) by the rules of spec 01 §4.5.
///
/// The unperturbed grid is compared with the centre. Directions count by their nearest symmetry mate, psi as it is.
/// Where nothing lies within 3σ the nearest direction or psi gets probability 1. Both lists are empty only if the
/// sampling has no directions or no psi.
pub fn local_orientations(
    sampling: &Sampling,
    centre: [f64; 3],
    search: &LocalSearch,
) -> LocalOrientations {
    let [rot, tilt, psi] = centre;
    let directions = match (search.sigma_rot > 0.0, search.sigma_tilt > 0.0) {
        (true, true) => {
            let sigma = search.sigma_rot.max(search.sigma_tilt);
            directions_in_cone(sampling, viewing_direction(rot, tilt), sigma)
        }
        (true, false) => directions_near_meridian(sampling, rot, tilt, search.sigma_rot),
        (false, true) => directions_near_tilt(sampling, rot, tilt, search.sigma_tilt),
        (false, false) => uniform(sampling.directions.len()),
    };
    let psis = psis_near(sampling, psi, search.sigma_psi);
    LocalOrientations { directions, psis }
}

/// Selects the orientations that a particle with this prior centre is compared with in a local search, wherever it is done:
/// (direction · n_psi + psi, prior), by ascending index. Those of [`local_orientations`], or with `--relax_sym` of
/// [`relaxed_orientations`], which needs both widths of the direction (spec 06 §1.3).
pub fn searched_orientations(
    sampling: &Sampling,
    centre: [f64; 3],
    search: &LocalSearch,
) -> Vec<(usize, f64)> {
    match &sampling.relaxed {
        Some(group) if search.sigma_rot > 0.0 && search.sigma_tilt > 0.0 => {
            relaxed_orientations(sampling, group, centre, search)
        }
        _ => {
            let near = local_orientations(sampling, centre, search);
            let of_direction = |&(direction, p_direction): &(usize, f64)| {
                let first = direction * sampling.n_psi();
                let psis = near.psis.iter();
                psis.map(move |&(psi, p_psi)| (first + psi, p_direction * p_psi))
            };
            near.directions.iter().flat_map(of_direction).collect()
        }
    }
}

/// Psi angles within 3σ of `psi` (degrees), or all of them without a width.
pub(super) fn psis_near(sampling: &Sampling, psi: f64, sigma: f64) -> Vec<(usize, f64)> {
    if sigma <= 0.0 {
        return uniform(sampling.n_psi());
    }
    let difference = |index| {
        let turn = (sampling.psi(index) - psi).rem_euclid(360.0);
        turn.min(360.0 - turn)
    };
    gaussian_prior((0..sampling.n_psi()).map(difference), sigma)
}

/// Returns the number of orientations that [`searched_orientations`] selects at most: the largest number around directions that
/// are spread over the grid, and a little more for centres between its points.
pub fn most_local_orientations(sampling: &Sampling, search: &LocalSearch) -> usize {
    const TRIALS: usize = 64;
    let grid = sampling.directions.len();
    let largest = (0..grid)
        .step_by(grid.div_ceil(TRIALS).max(1))
        .map(|index| {
            let direction = sampling.directions[index];
            let centre = [direction.rot, direction.tilt, sampling.psi(0)];
            let near = local_orientations(sampling, centre, search);
            let directions = near.directions.len() * 11 / 10 + 1;
            directions.min(grid) * (near.psis.len() + 1).min(sampling.n_psi())
        });
    let mates = sampling.relaxed.as_ref().map_or(1, |group| group.order());
    let all = grid * sampling.n_psi();
    (largest.max().unwrap_or(0) * mates).min(all)
}

/// Directions by their angle to the prior direction. Cosines are compared first: the arc cosine is taken of the few
/// directions inside the cone only, and of the others none is looked at that lies in a patch far away, since this is done
/// for every particle.
fn directions_in_cone(sampling: &Sampling, centre: [f64; 3], sigma: f64) -> Vec<(usize, f64)> {
    let operators = sampling.symmetry.operators();
    let mut mates = vec![centre];
    mates.extend(operators.iter().map(|g| apply(g, centre)));
    let cosine_of = |index: usize| {
        let view = sampling.views()[index];
        let cosines = mates.iter().map(|&mate| dot(view, mate));
        cosines.fold(f64::NEG_INFINITY, f64::max)
    };
    let cone = (CUTOFF * sigma).min(180.0).to_radians();
    // The margin is for rounding; the angle itself decides.
    let border = cone.cos() - 1e-9;
    let mut inside = Vec::new();
    for index in sampling.views.near(&mates, cone) {
        let cosine = cosine_of(index);
        if cosine > border {
            let angle = cosine.min(1.0).acos().to_degrees();
            if angle < CUTOFF * sigma {
                inside.push((index, gaussian(angle, sigma)));
            }
        }
    }
    if inside.is_empty() {
        let mut nearest: Option<(usize, f64)> = None;
        for index in 0..sampling.views().len() {
            let cosine = cosine_of(index);
            if nearest.is_none_or(|(_, largest)| cosine > largest) {
                nearest = Some((index, cosine));
            }
        }
        inside.extend(nearest.map(|(index, _)| (index, 1.0)));
    }
    normalised(inside)
}

/// Directions by the distance of their best mate from the plane through the z axis and the prior direction.
fn directions_near_meridian(
    sampling: &Sampling,
    rot: f64,
    tilt: f64,
    sigma: f64,
) -> Vec<(usize, f64)> {
    let (sin_rot, cos_rot) = rot.to_radians().sin_cos();
    let normal = [-sin_rot, cos_rot, 0.0];
    let angles = best_mates(sampling, viewing_direction(rot, tilt))
        .map(|mate| dot(mate, normal).clamp(-1.0, 1.0).asin().abs().to_degrees());
    gaussian_prior(angles, sigma)
}

/// Directions by the difference of tilt of their best mate.
fn directions_near_tilt(sampling: &Sampling, rot: f64, tilt: f64, sigma: f64) -> Vec<(usize, f64)> {
    let centre = viewing_direction(rot, tilt);
    let tilt_of = |d: [f64; 3]| d[2].clamp(-1.0, 1.0).acos().to_degrees();
    let angles = best_mates(sampling, centre).map(|mate| (tilt_of(mate) - tilt_of(centre)).abs());
    gaussian_prior(angles, sigma)
}

/// For every direction the symmetry mate nearest to `centre` (the direction itself if it ties).
fn best_mates(sampling: &Sampling, centre: [f64; 3]) -> impl Iterator<Item = [f64; 3]> {
    let operators = sampling.symmetry.operators();
    // (g·d)·c = d·(gᵀ·c)
    let centres: Vec<([f64; 3], &Matrix3)> = operators
        .iter()
        .map(|g| (apply(&transpose(g), centre), g))
        .collect();
    sampling.views().iter().map(move |&view| {
        let mut best = (dot(view, centre), view);
        for (turned, operator) in &centres {
            let cosine = dot(view, *turned);
            if cosine > best.0 {
                best = (cosine, apply(operator, view));
            }
        }
        best.1
    })
}

/// Weights of all indices whose angle is below 3σ, or the single one with the smallest angle.
fn gaussian_prior(angles: impl Iterator<Item = f64>, sigma: f64) -> Vec<(usize, f64)> {
    let mut nearest: Option<(usize, f64)> = None;
    let mut inside = Vec::new();
    for (index, angle) in angles.enumerate() {
        if nearest.is_none_or(|(_, smallest)| angle < smallest) {
            nearest = Some((index, angle));
        }
        if angle < CUTOFF * sigma {
            inside.push((index, gaussian(angle, sigma)));
        }
    }
    if inside.is_empty() {
        inside.extend(nearest.map(|(index, _)| (index, 1.0)));
    }
    normalised(inside)
}

/// Gaussian without its constant, which the normalisation removes.
pub(super) fn gaussian(angle: f64, sigma: f64) -> f64 {
    (-0.5 * (angle / sigma).powi(2)).exp()
}

fn normalised(mut weights: Vec<(usize, f64)>) -> Vec<(usize, f64)> {
    let sum: f64 = weights.iter().map(|(_, weight)| weight).sum();
    for (_, weight) in &mut weights {
        *weight /= sum;
    }
    weights
}

fn uniform(n: usize) -> Vec<(usize, f64)> {
    (0..n).map(|index| (index, 1.0 / n as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::symmetry::PointGroup;
    use proptest::prelude::*;

    fn sampling(order: u32, group: &str) -> Sampling {
        let group = PointGroup::parse(group).unwrap();
        Sampling::new(order, -1.0, group, -91.0, 6.0, 2.0, 0.5)
    }

    fn cone(sigma: f64) -> LocalSearch {
        LocalSearch {
            sigma_rot: sigma,
            sigma_tilt: sigma,
            sigma_psi: sigma,
        }
    }

    fn sum(list: &[(usize, f64)]) -> f64 {
        list.iter().map(|(_, weight)| weight).sum()
    }

    #[test]
    fn auto_refine_searches_about_180_orientations() {
        // σ of the automatic local searches: twice the oversampled step.
        for (order, step) in [(4, 3.75), (5, 1.875)] {
            let local =
                local_orientations(&sampling(order, "C1"), [40.0, 70.0, 123.4], &cone(step));
            assert!((26..=32).contains(&local.directions.len()), "{local:?}");
            assert!((5..=6).contains(&local.psis.len()), "{local:?}");
            assert!((sum(&local.directions) - 1.0).abs() < 1e-12);
            assert!((sum(&local.psis) - 1.0).abs() < 1e-12);
        }
    }

    /// Around centres anywhere, and not far below the true number; beyond a thousand where the widths ask for it.
    #[test]
    fn no_particle_has_more_local_orientations_than_foreseen() {
        for (group, order, sigma) in [
            ("C1", 3, 7.5),
            ("C4", 3, 5.0),
            ("D2", 2, 20.0),
            ("C1", 4, 12.0),
        ] {
            let (sampling, search) = (sampling(order, group), cone(sigma));
            let foreseen = most_local_orientations(&sampling, &search);
            let found = (0..200).map(|i| {
                let turn = f64::from(i);
                let centre = [
                    137.5 * turn,
                    (1.0 - turn / 100.0).acos().to_degrees(),
                    0.37 * turn,
                ];
                let near = local_orientations(&sampling, centre, &search);
                near.directions.len() * near.psis.len()
            });
            let found = found.max().unwrap();
            assert!(
                (found..found * 2).contains(&foreseen),
                "{group} {order} {sigma}: {found} found, {foreseen} foreseen"
            );
            assert_eq!(found > 1000, sigma == 12.0, "{found}");
        }
    }

    #[test]
    fn weights_follow_the_gaussian() {
        let sampling = sampling(3, "C1");
        let local = local_orientations(&sampling, [0.0, 90.0, 15.0], &cone(7.5));
        // psi = 0, 7.5, 15, 22.5, 30; the two at exactly 3σ are outside.
        let indices: Vec<usize> = local.psis.iter().map(|p| p.0).collect();
        assert_eq!(indices, [0, 1, 2, 3, 4]);
        let ratio = local.psis[1].1 / local.psis[2].1;
        assert!((ratio - (-0.5f64).exp()).abs() < 1e-12);
        let best = local.directions.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        let d = sampling.directions[best.unwrap().0];
        assert!(d.rot.abs() < 7.5 && (d.tilt - 90.0).abs() < 7.5);
    }

    #[test]
    fn psi_is_compared_around_the_circle() {
        let local = local_orientations(&sampling(2, "C1"), [0.0, 10.0, -1.0], &cone(10.0));
        let indices: Vec<usize> = local.psis.iter().map(|p| p.0).collect();
        assert_eq!(indices, [0, 1, 22, 23]);
    }

    #[test]
    fn symmetry_mates_of_the_centre_are_searched() {
        let sampling = sampling(3, "D2");
        let centre = [12.0, 35.0, 50.0];
        let original = local_orientations(&sampling, centre, &cone(8.0));
        assert!(!original.directions.is_empty());
        for operator in sampling.symmetry.operators() {
            let view = apply(operator, viewing_direction(12.0, 35.0));
            let rot = view[1].atan2(view[0]).to_degrees();
            let mate = [rot, view[2].acos().to_degrees(), 50.0];
            let moved = local_orientations(&sampling, mate, &cone(8.0));
            assert_eq!(moved.directions.len(), original.directions.len());
            for (a, b) in moved.directions.iter().zip(&original.directions) {
                assert_eq!(a.0, b.0);
                assert!((a.1 - b.1).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn the_nearest_stands_in_when_nothing_is_close() {
        let local = local_orientations(&sampling(1, "C1"), [44.0, 20.0, 44.0], &cone(0.0033));
        assert_eq!(local.psis, [(1, 1.0)]);
        assert_eq!(local.directions.len(), 1);
        assert_eq!(local.directions[0].1, 1.0);
        let d = sampling(1, "C1").directions[local.directions[0].0];
        assert_eq!((d.rot, d.tilt < 30.0), (45.0, true));
    }

    #[test]
    fn one_sided_priors() {
        let sampling = sampling(3, "C1");
        let off = LocalSearch {
            sigma_rot: 0.0,
            sigma_tilt: -1.0,
            sigma_psi: 0.0,
        };
        let all = local_orientations(&sampling, [10.0, 80.0, 5.0], &off);
        assert_eq!(all.directions.len(), sampling.directions.len());
        assert_eq!(all.psis, uniform(48));

        let tilt_only = LocalSearch {
            sigma_tilt: 3.0,
            ..off
        };
        let belt = local_orientations(&sampling, [10.0, 80.0, 5.0], &tilt_only);
        for (index, direction) in sampling.directions.iter().enumerate() {
            let chosen = belt.directions.iter().any(|d| d.0 == index);
            assert_eq!(chosen, (direction.tilt - 80.0).abs() < 9.0, "{direction:?}");
        }

        let rot_only = LocalSearch {
            sigma_rot: 3.0,
            ..off
        };
        let meridian = local_orientations(&sampling, [10.0, 80.0, 5.0], &rot_only);
        for &(index, _) in &meridian.directions {
            let d = &sampling.directions[index];
            let off_plane = (d.rot - 10.0).to_radians().sin() * d.tilt.to_radians().sin();
            assert!(off_plane.abs() < 9f64.to_radians().sin());
        }
        assert!(meridian.directions.len() > 60);
    }

    proptest! {
        #[test]
        fn the_cone_holds_exactly_the_directions_within_three_sigma(
            rot in -180.0..180.0f64, tilt in 0.0..180.0f64, sigma in 1.0..70.0f64,
        ) {
            let sampling = sampling(2, "C4");
            let found = local_orientations(&sampling, [rot, tilt, 0.0], &cone(sigma)).directions;
            let angle = |index: usize| {
                let view = viewing_direction(rot, tilt);
                let mates = sampling.symmetry.operators().iter().map(|g| apply(g, view));
                mates
                    .chain([view])
                    .map(|mate| dot(mate, sampling.views()[index]).clamp(-1.0, 1.0).acos().to_degrees())
                    .fold(f64::MAX, f64::min)
            };
            let expected: Vec<usize> =
                (0..sampling.directions.len()).filter(|&i| angle(i) < 3.0 * sigma).collect();
            if !expected.is_empty() {
                prop_assert_eq!(found.iter().map(|d| d.0).collect::<Vec<_>>(), expected);
            } else {
                prop_assert_eq!(found.len(), 1);
            }
        }
    }
}
