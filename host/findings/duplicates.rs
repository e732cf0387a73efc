//! Particles that lie on each other: the same one picked or extracted more than once.

use super::{Finding, Kind};
use std::collections::HashMap;

/// Particles whose centres are nearer than this are one, Å (as relion_star_handler --remove_duplicates has it)...
const NEAR: f64 = 30.0;
/// ...or nearer than this share of their diameter, where that is less.
const SHARE_OF_DIAMETER: f64 = 0.2;
/// Share of particles with a neighbour so near that is worth a word.
const MANY: f64 = 0.01;

/// Where a particle is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Number of its micrograph.
    pub micrograph: usize,
    /// Centre after alignment, Å.
    pub centre: [f64; 2],
    /// Half-set, 1 or 2; 0 for none.
    pub half: u8,
}

/// Particles that have another one on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubled {
    /// Number of them.
    pub particles: usize,
    /// Those whose neighbour is in the other half-set.
    pub across: usize,
}

/// Returns the distance within which two particles of `diameter` Å are one.
pub fn nearest_allowed(diameter: f64) -> f64 {
    NEAR.min(SHARE_OF_DIAMETER * diameter)
}

/// Counts particles with another one nearer than `distance` Å on the same micrograph.
pub fn count(places: &[Place], distance: f64) -> Doubled {
    // Squares as wide as the distance: neighbours lie in the same one or beside it.
    let square = |place: &Place| place.centre.map(|c| (c / distance).floor() as i64);
    let mut squares: HashMap<(usize, [i64; 2]), Vec<usize>> = HashMap::new();
    for (i, place) in places.iter().enumerate() {
        squares
            .entry((place.micrograph, square(place)))
            .or_default()
            .push(i);
    }
    let mut doubled = Doubled {
        particles: 0,
        across: 0,
    };
    for (i, place) in places.iter().enumerate() {
        let [x, y] = square(place);
        let around = (-1..=1).flat_map(|dx| (-1..=1).map(move |dy| [x + dx, y + dy]));
        let near = around
            .filter_map(|square| squares.get(&(place.micrograph, square)))
            .flatten()
            .filter(|&&j| {
                let other = places[j].centre;
                let apart = (other[0] - place.centre[0]).hypot(other[1] - place.centre[1]);
                j != i && apart < distance
            });
        let (mut any, mut across) = (false, false);
        for &j in near {
            any = true;
            across |= places[j].half != place.half;
        }
        doubled.particles += usize::from(any);
        doubled.across += usize::from(across);
    }
    doubled
}

/// Judges particles on each other, of `particles` in all.
pub fn many(doubled: Doubled, particles: usize, distance: f64) -> Option<Finding> {
    (doubled.particles as f64 > MANY * particles as f64).then(|| {
        let across = match doubled.across {
            0 => String::new(),
            across => format!(
                " {across} of them have that other one in the other half-set, so that the half maps share noise and the resolution is \
                 overestimated."
            ),
        };
        Finding::new(
            Kind::Duplicates,
            format!(
                "duplicates: {} of {particles} particles ({:.1} %) lie within {distance:.0} Å of another one on the same micrograph, where \
                 alignment has moved them together or they were picked twice.{across} Remove them (relion_star_handler \
                 --remove_duplicates {distance:.0}).",
                doubled.particles,
                100.0 * doubled.particles as f64 / particles as f64
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_found_across_the_edges_of_squares() {
        let at = |micrograph, x, half| Place {
            micrograph,
            centre: [x, -5.0],
            half,
        };
        // 99 and 101 are one; the third is on another micrograph, the last far away.
        let places = [
            at(0, 99.0, 1),
            at(0, 101.0, 2),
            at(1, 100.0, 1),
            at(0, 200.0, 1),
        ];
        let found = count(&places, 20.0);
        assert_eq!((found.particles, found.across), (2, 2));
        let text = many(found, 4, 20.0).unwrap().text;
        assert!(
            text.contains("2 of 4 particles (50.0 %)") && text.contains("2 of them"),
            "{text}"
        );
        assert_eq!(many(found, 400, 20.0), None);
        assert_eq!(nearest_allowed(100.0), 20.0);
        assert_eq!(nearest_allowed(300.0), 30.0);
    }
}
