//! The coarse directions: HEALPix centres of one asymmetric unit (spec 01 §4.1, §4.4).

use super::Direction;
use crate::geometry::euler::{apply, dot, viewing_direction};
use crate::geometry::{healpix, symmetry::PointGroup};

/// Longer lists are not searched for mates on the seams.
const LONGEST_PRUNED_LIST: usize = 4000;

/// Directions of HEALPix order `order` in one asymmetric unit and within the tilt limit, in nested order.
pub(super) fn directions(order: u32, symmetry: &PointGroup, limit_tilt: f64) -> Vec<Direction> {
    let mut directions: Vec<Direction> = (0..healpix::pixel_count(order))
        .map(|pixel| {
            let (rot, tilt) = healpix::direction(order, pixel);
            Direction { pixel, rot, tilt }
        })
        .filter(|d| symmetry.in_asymmetric_unit(d.rot, d.tilt))
        .collect();
    if directions.len() < LONGEST_PRUNED_LIST {
        directions = without_seam_mates(directions, symmetry, healpix::max_pixel_radius(order));
    }
    directions.retain(|d| within_tilt_limit(d.tilt, limit_tilt));
    directions
}

/// Of directions that are mates of one another (both lie on a border of the asymmetric unit) keep the first.
fn without_seam_mates(
    directions: Vec<Direction>,
    symmetry: &PointGroup,
    pixel_radius: f64,
) -> Vec<Direction> {
    let nearest_allowed = (0.5 * pixel_radius).to_radians().cos();
    let mut kept: Vec<Direction> = Vec::with_capacity(directions.len());
    let mut kept_mates: Vec<[f64; 3]> = Vec::new();
    for direction in directions {
        let view = viewing_direction(direction.rot, direction.tilt);
        if kept_mates
            .iter()
            .any(|&mate| dot(mate, view) > nearest_allowed)
        {
            continue;
        }
        kept.push(direction);
        kept_mates.push(view);
        kept_mates.extend(symmetry.operators().iter().map(|g| apply(g, view)));
    }
    kept
}

/// `--limit_tilt L`: side views only (|90 − tilt| small) for L > 0, top views only for L < 0; off for |L| ≥ 90.
fn within_tilt_limit(tilt: f64, limit: f64) -> bool {
    if limit.abs() >= 90.0 {
        return true;
    }
    let from_pole = if tilt > 90.0 { 180.0 - tilt } else { tilt };
    if limit > 0.0 {
        from_pole >= limit
    } else if limit < 0.0 {
        from_pole <= -limit
    } else {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(group: &str, order: u32) -> (usize, usize) {
        let symmetry = PointGroup::parse(group).unwrap();
        let first = (0..healpix::pixel_count(order))
            .filter(|&pixel| {
                let (rot, tilt) = healpix::direction(order, pixel);
                symmetry.in_asymmetric_unit(rot, tilt)
            })
            .count();
        (first, directions(order, &symmetry, -91.0).len())
    }

    /// Table of spec 01 §4.4: (after the filter, after pruning) for orders 1 to 4.
    #[test]
    fn counts_of_the_specification() {
        let table = [
            ("C2", [(26, 24), (100, 96), (392, 384), (1552, 1536)]),
            ("C3", [(16, 14), (66, 60), (254, 248), (1030, 1003)]),
            ("C4", [(16, 12), (56, 48), (208, 192), (800, 768)]),
            ("D2", [(15, 12), (54, 48), (204, 192), (792, 768)]),
            ("D3", [(9, 8), (36, 33), (132, 129), (526, 503)]),
            ("D7", [(5, 3), (16, 13), (56, 53), (230, 218)]),
            ("T", [(4, 3), (14, 14), (61, 59), (251, 250)]),
            ("O", [(2, 1), (8, 7), (33, 32), (130, 126)]),
        ];
        for (group, expected) in table {
            let ours = [1, 2, 3, 4].map(|order| counts(group, order));
            assert_eq!(ours, expected, "{group}");
        }
        let icosahedral = [
            ("I1", [1, 3, 12, 49]),
            ("I2", [0, 2, 11, 48]),
            ("I3", [0, 4, 12, 53]),
            ("I4", [1, 2, 11, 48]),
        ];
        for (group, expected) in icosahedral {
            let ours = [1, 2, 3, 4].map(|order| counts(group, order).1);
            assert_eq!(ours, expected, "{group}");
        }
    }

    /// Any view is a mate of one near a direction that is searched. (A pixel is 14.6° wide at order 3; along an edge of
    /// the asymmetric unit the nearest centre may lie outside it.)
    #[test]
    fn directions_and_their_mates_cover_the_sphere() {
        let order = 3;
        for group in ["C1", "C4", "D2", "D7", "T", "O", "I1", "I2", "I3", "I4"] {
            let symmetry = PointGroup::parse(group).unwrap();
            let mates: Vec<[f64; 3]> = directions(order, &symmetry, -91.0)
                .iter()
                .map(|d| viewing_direction(d.rot, d.tilt))
                .flat_map(|v| {
                    let mates = symmetry.operators().iter().map(move |g| apply(g, v));
                    std::iter::once(v).chain(mates)
                })
                .collect();
            let farthest = (0..healpix::pixel_count(order + 2))
                .map(|pixel| {
                    let (rot, tilt) = healpix::direction(order + 2, pixel);
                    let view = viewing_direction(rot, tilt);
                    let nearest = mates.iter().map(|&m| dot(m, view)).fold(-1.0, f64::max);
                    nearest.acos().to_degrees()
                })
                .fold(0.0, f64::max);
            println!("{group}: {farthest:.1}°");
            assert!(
                farthest < 2.0 * healpix::max_pixel_radius(order),
                "{group}: {farthest}"
            );
        }
    }

    #[test]
    fn without_symmetry_all_pixels_remain() {
        for order in 0..=4 {
            let all = directions(order, &PointGroup::c1(), -91.0);
            assert_eq!(all.len() as u64, healpix::pixel_count(order));
            assert!(all.iter().enumerate().all(|(i, d)| d.pixel == i as u64));
        }
    }

    #[test]
    fn tilt_limits() {
        let c1 = PointGroup::c1();
        let side = directions(2, &c1, 60.0);
        let top = directions(2, &c1, -30.0);
        assert!(side.iter().all(|d| (60.0..=120.0).contains(&d.tilt)));
        assert!(top.iter().all(|d| d.tilt <= 30.0 || d.tilt >= 150.0));
        assert!(!side.is_empty() && !top.is_empty());
        assert_eq!(directions(2, &c1, 90.0).len(), 192);
        assert_eq!(directions(2, &c1, 0.0).len(), 192);
    }
}
