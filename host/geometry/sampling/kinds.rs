//! Grids of other kinds, made from the usual one: directions of a relaxed symmetry (spec 06 §1.2), and of a search of the tilt
//! alone (spec 01 §4.7).

use super::{Direction, Sampling, direction_step, directions, views_of};
use crate::geometry::symmetry::PointGroup;

impl Sampling {
    /// The grid for a relaxed symmetry: directions of the whole sphere, within the tilt limit (spec 06 §1.2).
    pub fn relaxing(self, group: PointGroup) -> Self {
        let (order, limit) = (self.healpix_order, self.limit_tilt);
        let directions = directions::directions(order, &PointGroup::c1(), limit);
        Sampling {
            views: views_of(&directions),
            directions,
            relaxed: Some(group),
            ..self
        }
    }

    /// The grid in which only the tilt varies: −180°, −180° + Δ, … below 180°, with Δ the step of the HEALPix order, at rot 0 and
    /// psi 0, without perturbation. Neither symmetry nor a limit of the tilt restricts it.
    pub fn of_tilts(self) -> Self {
        let step = direction_step(self.healpix_order);
        let number = (360.0 / step).round() as u64;
        let directions: Vec<Direction> = (0..number)
            .map(|pixel| Direction {
                pixel,
                rot: 0.0,
                tilt: -180.0 + pixel as f64 * step,
            })
            .collect();
        Sampling {
            views: views_of(&directions),
            directions,
            only_tilt: true,
            psi_step: 360.0,
            perturbation_factor: 0.0,
            perturbation: 0.0,
            ..self
        }
    }

    /// Makes a usual grid one of the kind of this one.
    pub(super) fn of_same_kind(&self, usual: Sampling) -> Self {
        match &self.relaxed {
            Some(group) => usual.relaxing(group.clone()),
            None if self.only_tilt => usual.of_tilts(),
            None => usual,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::euler;

    fn tilts(order: u32) -> Sampling {
        let group = PointGroup::parse("C4").unwrap();
        Sampling::new(order, -1.0, group, -91.0, 4.0, 2.0, 0.5).of_tilts()
    }

    /// Spec 06 §7: rot and psi are 0, and the tilt runs around the whole circle, once.
    #[test]
    fn tilts_run_around_the_circle() {
        for (order, number, step) in [(0, 6, 60.0), (2, 24, 15.0), (4, 96, 3.75)] {
            let grid = tilts(order);
            assert_eq!((grid.directions.len(), grid.n_psi()), (number, 1));
            for (i, direction) in grid.directions.iter().enumerate() {
                assert_eq!((direction.pixel, direction.rot), (i as u64, 0.0));
                assert_eq!(direction.tilt, -180.0 + i as f64 * step);
                assert_eq!(grid.angles(i, 0, 0, 0), Some([0.0, direction.tilt, 0.0]));
                let orientations = grid.orientations(i, 0, 0);
                assert_eq!(orientations, [euler::matrix(0.0, direction.tilt, 0.0)]);
                assert_eq!(grid.index_of(i as u64), Some(i));
            }
        }
    }

    /// Another order or other offsets leave a search of the tilt what it is.
    #[test]
    fn other_steps_keep_the_kind() {
        let grid = tilts(1).with_steps(3, -1.0, 2.0, 1.0);
        assert!(grid.only_tilt);
        assert_eq!((grid.directions.len(), grid.n_psi()), (48, 1));
        let same = tilts(1);
        let same = same.with_steps(1, same.psi_step, 2.0, 1.0);
        assert_eq!(same.directions, tilts(1).directions);
        let group = PointGroup::parse("C3").unwrap();
        let usual = Sampling::new(1, -1.0, PointGroup::c1(), -91.0, 4.0, 2.0, 0.5);
        let relaxed = usual.relaxing(group).with_steps(2, -1.0, 4.0, 2.0);
        assert!(relaxed.relaxed.is_some() && !relaxed.only_tilt);
    }
}
