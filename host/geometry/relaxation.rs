//! Symmetry relaxation: a particle is compared with orientations around its own and around those of its symmetry mates in a
//! group that holds only approximately (`--relax_sym`, spec 06 §1.3).

use super::euler::{angles, apply, dot, matrix, multiply, viewing_direction};
use super::healpix;
use super::prior::{CUTOFF, LocalSearch, gaussian, local_orientations, psis_near};
use super::sampling::Sampling;
use super::symmetry::PointGroup;
use std::collections::BTreeMap;

/// Selects the orientations around a centre (rot, tilt, psi in degrees) and around its mates: (direction · n_psi + psi, prior),
/// by ascending index, each once; the priors sum to 1 and every mate holds an equal share. Both `sigma_rot` and `sigma_tilt`
/// of `search` must be above 0.
///
/// For a group of rotations about z the mates are those of the grid directions near the centre, with the same psi, as
/// RELION selects them (spec 06 §1.3). RELION has no other groups; for them the mates of the centre itself are taken, each
/// with a local search of its own, because their psi differ.
pub fn relaxed_orientations(
    sampling: &Sampling,
    group: &PointGroup,
    centre: [f64; 3],
    search: &LocalSearch,
) -> Vec<(usize, f64)> {
    let mut priors = BTreeMap::new();
    match turns_about_z(group) {
        true => {
            let directions = directions_with_copies(sampling, group, centre, search);
            let psis = psis_near(sampling, centre[2], search.sigma_psi);
            add_products(&mut priors, sampling, &directions, &psis, 1.0);
        }
        false => {
            let own = matrix(centre[0], centre[1], centre[2]);
            let share = 1.0 / group.order() as f64;
            let mates = group.operators().iter().map(|g| angles(&multiply(&own, g)));
            for mate in mates.chain([centre]) {
                let near = local_orientations(sampling, mate, search);
                add_products(&mut priors, sampling, &near.directions, &near.psis, share);
            }
        }
    }
    priors.into_iter().collect()
}

/// Every operator leaves the z axis where it is, and its sense.
fn turns_about_z(group: &PointGroup) -> bool {
    let determinant = |g: &[[f64; 3]; 3]| g[0][0] * g[1][1] - g[0][1] * g[1][0];
    let turns = |g: &[[f64; 3]; 3]| g[2][2] > 1.0 - 1e-9 && determinant(g) > 0.0;
    group.operators().iter().all(turns)
}

/// Adds the products of both lists, times `share`, to the priors of their orientations.
fn add_products(
    priors: &mut BTreeMap<usize, f64>,
    sampling: &Sampling,
    directions: &[(usize, f64)],
    psis: &[(usize, f64)],
    share: f64,
) {
    let n_psi = sampling.n_psi();
    for &(direction, p_direction) in directions {
        for &(psi, p_psi) in psis {
            *priors.entry(direction * n_psi + psi).or_insert(0.0) += share * p_direction * p_psi;
        }
    }
}

/// Selects the directions within 3σ of the centre and their copies, in the order of the specification: (index, prior). The same
/// direction may occur twice, near a pole or when it is the only candidate; the priors sum to 1.
fn directions_with_copies(
    sampling: &Sampling,
    group: &PointGroup,
    centre: [f64; 3],
    search: &LocalSearch,
) -> Vec<(usize, f64)> {
    let sigma = search.sigma_rot.max(search.sigma_tilt);
    let middle = viewing_direction(centre[0], centre[1]);
    // The margin is for rounding; the angle itself decides.
    let border = (CUTOFF * sigma).min(180.0).to_radians().cos() - 1e-9;
    let mut marked = vec![false; sampling.directions.len()];
    let mut chosen = Vec::new();
    let mut nearest = (0, f64::NEG_INFINITY);
    for (index, &view) in sampling.views().iter().enumerate() {
        let cosine = dot(view, middle);
        if marked[index] {
            continue;
        }
        if cosine > nearest.1 {
            nearest = (index, cosine);
        }
        if cosine <= border {
            continue;
        }
        let angle = cosine.min(1.0).acos().to_degrees();
        if angle < CUTOFF * sigma {
            let weight = gaussian(angle, sigma);
            take_with_copies(sampling, group, index, &mut marked, |i| {
                chosen.push((i, weight));
            });
        }
    }
    if chosen.is_empty() && !sampling.directions.is_empty() {
        take_with_copies(sampling, group, nearest.0, &mut marked, |i| {
            chosen.push((i, 1.0));
        });
    }
    let sum: f64 = chosen.iter().map(|(_, weight)| weight).sum();
    chosen.iter_mut().for_each(|(_, weight)| *weight /= sum);
    chosen
}

/// Takes a direction and the grid directions nearest to its mates, and marks them.
fn take_with_copies(
    sampling: &Sampling,
    group: &PointGroup,
    index: usize,
    marked: &mut [bool],
    mut take: impl FnMut(usize),
) {
    marked[index] = true;
    take(index);
    for operator in group.operators() {
        let mate = apply(operator, sampling.views()[index]);
        if let Some(copy) = nearest_on_grid(sampling, mate, marked) {
            marked[copy] = true;
            take(copy);
        }
    }
}

/// Returns the direction of the grid that stands for `view`: among those within two steps of it, by ascending pixel, the first,
/// replaced by each that is nearer and not marked. None where `--limit_tilt` has removed all of them.
fn nearest_on_grid(sampling: &Sampling, view: [f64; 3], marked: &[bool]) -> Option<usize> {
    let radius = 2.0 * sampling.angular_step();
    let mut best: Option<(usize, f64)> = None;
    healpix::for_each_in_disc(sampling.healpix_order, view, radius, &mut |pixel| {
        let Some(index) = sampling.index_of(pixel) else {
            return;
        };
        let cosine = dot(sampling.views()[index], view);
        if best.is_none_or(|(_, nearest)| cosine > nearest && !marked[index]) {
            best = Some((index, cosine));
        }
    });
    best.map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn relaxed(order: u32, group: &str) -> Sampling {
        Sampling::new(order, -1.0, PointGroup::c1(), -91.0, 6.0, 2.0, 0.5)
            .relaxing(PointGroup::parse(group).unwrap())
    }

    fn cone(sigma: f64) -> LocalSearch {
        LocalSearch {
            sigma_rot: sigma,
            sigma_tilt: sigma,
            sigma_psi: sigma,
        }
    }

    fn select(sampling: &Sampling, centre: [f64; 3], sigma: f64) -> Vec<(usize, f64)> {
        let group = sampling.relaxed.clone().unwrap();
        relaxed_orientations(sampling, &group, centre, &cone(sigma))
    }

    /// With the default widths one orientation of each mate is left, all of the same prior.
    #[test]
    fn the_default_width_leaves_one_orientation_for_each_mate() {
        for (name, order) in [("C4", 4), ("C7", 7), ("D2", 4), ("D7", 14), ("O", 24)] {
            let found = select(&relaxed(3, name), [33.0, 61.0, 100.0], 0.0033);
            assert_eq!(found.len(), order, "{name}");
            let share = 1.0 / order as f64;
            assert!(
                found.iter().all(|(_, p)| (p - share).abs() < 1e-12),
                "{name}"
            );
        }
    }

    /// The copies of C4 lie on the grid exactly: turned by 90°, with the same psi and prior.
    #[test]
    fn copies_of_c4_are_turned_about_z() {
        let sampling = relaxed(3, "C4");
        let found = select(&sampling, [10.0, 70.0, 45.0], 5.0);
        let n_psi = sampling.n_psi();
        for &(index, prior) in &found {
            let d = sampling.directions[index / n_psi];
            let mate = viewing_direction(d.rot + 90.0, d.tilt);
            let turned = found.iter().find(|&&(other, p)| {
                other % n_psi == index % n_psi
                    && (p - prior).abs() < 1e-12
                    && dot(sampling.views()[other / n_psi], mate) > 1.0 - 1e-9
            });
            assert!(turned.is_some(), "{d:?}");
        }
    }

    /// RELION's copies and the mates of the centre are the same orientations where the grid has the symmetry.
    #[test]
    fn both_rules_agree_where_the_grid_has_the_symmetry() {
        let sampling = relaxed(3, "C2");
        let centre = [20.0, 80.0, 30.0];
        let copies = select(&sampling, centre, 4.0);
        let mut mates = BTreeMap::new();
        for rot in [20.0, 200.0] {
            let near = local_orientations(&sampling, [rot, 80.0, 30.0], &cone(4.0));
            add_products(&mut mates, &sampling, &near.directions, &near.psis, 0.5);
        }
        assert_eq!(copies.len(), mates.len());
        for (index, prior) in copies {
            assert!((mates[&index] - prior).abs() < 1e-12);
        }
    }

    /// Where `--limit_tilt` leaves out directions, copies are still found by their pixel.
    #[test]
    fn a_tilt_limit_does_not_move_copies() {
        let sampling = Sampling::new(3, -1.0, PointGroup::c1(), 50.0, 6.0, 2.0, 0.5)
            .relaxing(PointGroup::parse("C4").unwrap());
        assert!(sampling.directions.len() < 768);
        let found = select(&sampling, [10.0, 80.0, 45.0], 0.0033);
        let rots: Vec<f64> = found
            .iter()
            .map(|(index, _)| sampling.directions[index / sampling.n_psi()].rot)
            .collect();
        assert_eq!(found.len(), 4);
        let first = rots[0].rem_euclid(90.0);
        assert!(
            rots.iter()
                .all(|rot| (rot.rem_euclid(90.0) - first).abs() < 1e-9)
        );
    }

    proptest! {
        #[test]
        fn priors_sum_to_one(
            rot in -180.0..180.0f64, tilt in 0.0..180.0f64, psi in 0.0..360.0f64, sigma in 0.001..40.0f64,
            group in prop::sample::select(vec!["C1", "C2", "C5", "C6", "D3", "T"]),
        ) {
            let found = select(&relaxed(2, group), [rot, tilt, psi], sigma);
            let sum: f64 = found.iter().map(|(_, p)| p).sum();
            prop_assert!((sum - 1.0).abs() < 1e-9);
            prop_assert!(found.is_sorted_by(|a, b| a.0 < b.0));
        }
    }
}
