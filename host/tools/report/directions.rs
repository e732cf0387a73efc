//! From how many sides the particles are seen: their density over the sphere of viewing directions.
//!
//! Particles are gathered in small cells of nearly equal area, together with the copies that the point group makes of
//! them, and smoothed by about the angular step, so that the grid of the search does not show.

use crate::geometry::euler::{apply, dot, viewing_direction};
use crate::geometry::symmetry::PointGroup;
use rayon::prelude::*;
use std::f64::consts::TAU;

/// Height of a ring of cells, degrees.
const RING: f64 = 2.5;

/// Number of rings.
const RINGS: usize = (180.0 / RING) as usize;

/// Width of the smoothing, degrees: no finer than cells allow, no coarser than leaves a shape.
const SMOOTHING: [f64; 2] = [4.0, 12.0];

/// Cells of the sphere: rings of equal height, each divided into cells about as wide as they are high.
#[derive(Debug, Clone, PartialEq)]
struct Cells {
    /// First cell of each ring, and the number of cells at the end.
    starts: Vec<usize>,
    /// Direction of the middle of each cell.
    centres: Vec<[f64; 3]>,
    /// Area of each cell, in shares of the sphere.
    areas: Vec<f64>,
}

impl Cells {
    fn new() -> Self {
        let mut cells = Self {
            starts: Vec::with_capacity(RINGS + 1),
            centres: Vec::new(),
            areas: Vec::new(),
        };
        for ring in 0..RINGS {
            let tilt = (ring as f64 + 0.5) * RING;
            let count = (360.0 / RING * tilt.to_radians().sin()).ceil() as usize;
            let cosine = |ring: usize| (ring as f64 * RING).to_radians().cos();
            let area = (cosine(ring) - cosine(ring + 1)) / 2.0 / count as f64;
            cells.starts.push(cells.centres.len());
            for i in 0..count {
                let rot = (i as f64 + 0.5) / count as f64 * 360.0 - 180.0;
                cells.centres.push(viewing_direction(rot, tilt));
                cells.areas.push(area);
            }
        }
        cells.starts.push(cells.centres.len());
        cells
    }

    /// Cell that holds a direction.
    fn of(&self, direction: [f64; 3]) -> usize {
        let [x, y, z] = direction;
        let tilt = z.clamp(-1.0, 1.0).acos().to_degrees();
        let ring = ((tilt / RING) as usize).min(RINGS - 1);
        let (start, count) = (self.starts[ring], self.starts[ring + 1] - self.starts[ring]);
        let turn = y.atan2(x) / TAU + 0.5;
        start + ((turn * count as f64) as usize).min(count - 1)
    }
}

/// Density of viewing directions, relative to an even one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Density {
    cells: Cells,
    values: Vec<f64>,
}

impl Density {
    /// Density of particles by their rot and tilt (degrees), smoothed by `smoothing` degrees within limits; None without particles.
    pub(super) fn of(directions: &[[f64; 2]], group: &PointGroup, smoothing: f64) -> Option<Self> {
        let cells = Cells::new();
        // Sums of directions, so that a cell stands for the particles in it and not for its middle.
        let mut sums = vec![([0.0; 3], 0.0); cells.centres.len()];
        let mut add = |direction: [f64; 3]| {
            let (sum, count) = &mut sums[cells.of(direction)];
            sum.iter_mut().zip(direction).for_each(|(s, d)| *s += d);
            *count += 1.0;
        };
        for [rot, tilt] in directions {
            if !(rot.is_finite() && tilt.is_finite()) {
                continue;
            }
            let direction = viewing_direction(*rot, *tilt);
            add(direction);
            // A group holds the inverse of each of its operators, so either order of the product gives the same copies.
            for operator in group.operators() {
                add(apply(operator, direction));
            }
        }
        let filled: Vec<([f64; 3], f64)> = sums
            .into_iter()
            .filter(|(_, count)| *count > 0.0)
            .map(|(sum, count)| (sum.map(|s| s / dot(sum, sum).sqrt()), count))
            .collect();
        if filled.is_empty() {
            return None;
        }
        let width = smoothing.clamp(SMOOTHING[0], SMOOTHING[1]);
        let values = smoothed(&cells, &filled, width);
        Some(Self { cells, values })
    }

    /// Density in a direction.
    pub(super) fn at(&self, direction: [f64; 3]) -> f64 {
        self.values[self.cells.of(direction)]
    }

    /// Largest density.
    pub(super) fn largest(&self) -> f64 {
        self.values.iter().copied().fold(0.0, f64::max)
    }
}

/// Counts in directions convolved with a Gaussian over the sphere, scaled to an average of one.
fn smoothed(cells: &Cells, filled: &[([f64; 3], f64)], width_degrees: f64) -> Vec<f64> {
    let width = width_degrees.to_radians();
    // exp(−angle²/2w²) for small angles, by the cosine: angle² = 2 − 2 cos.
    let reach = (4.0 * width).cos();
    let mut values: Vec<f64> = cells
        .centres
        .par_iter()
        .map(|centre| {
            let weight = |(direction, count): &([f64; 3], f64)| {
                let cosine = dot(*centre, *direction);
                if cosine < reach {
                    return 0.0;
                }
                count * ((cosine - 1.0) / (width * width)).exp()
            };
            filled.iter().map(weight).sum()
        })
        .collect();
    let mean: f64 = values.iter().zip(&cells.areas).map(|(v, a)| v * a).sum();
    values.iter_mut().for_each(|value| *value /= mean);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_cover_the_sphere_and_hold_their_centres() {
        let cells = Cells::new();
        assert!((cells.areas.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        for (i, centre) in cells.centres.iter().enumerate() {
            assert_eq!(cells.of(*centre), i);
        }
        for pole in [[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]] {
            assert!(cells.of(pole) < cells.centres.len());
        }
    }

    /// Directions of a grid of even spacing give a density of one everywhere.
    #[test]
    fn an_even_distribution_is_one() {
        let order = 6;
        let directions: Vec<[f64; 2]> = (0..crate::geometry::healpix::pixel_count(order))
            .map(|pixel| crate::geometry::healpix::direction(order, pixel))
            .map(|(rot, tilt)| [rot, tilt])
            .collect();
        let density = Density::of(&directions, &PointGroup::c1(), 7.5).unwrap();
        let furthest = density.values.iter().map(|v| (v - 1.0).abs());
        let furthest = furthest.fold(0.0, f64::max);
        assert!(furthest < 0.01, "{furthest}");
    }

    #[test]
    fn copies_of_the_point_group_count() {
        let group = PointGroup::parse("C4").unwrap();
        let density = Density::of(&[[10.0, 60.0]], &group, 5.0).unwrap();
        let at = |rot, tilt| density.at(viewing_direction(rot, tilt));
        for rot in [10.0, 100.0, 190.0, 280.0] {
            assert!(at(rot, 60.0) > 0.8 * density.largest(), "{rot}");
        }
        assert!(at(55.0, 60.0) < 1e-3 && at(10.0, 120.0) < 1e-3);
        assert_eq!(Density::of(&[[f64::NAN, 0.0]], &group, 5.0), None);
    }
}
