//! Views of the particle that leave parts of Fourier space without data.
//!
//! An image fills the plane perpendicular to its viewing direction. A direction of Fourier space therefore gets data from the
//! views on the great circle around it; with views from all sides each gets the same share.

use super::{Finding, Kind};
use crate::geometry::Matrix3;
use crate::geometry::euler::{apply, dot, viewing_direction};
use rayon::prelude::*;
use std::f64::consts::PI;

/// Directions of Fourier space that are looked at, over half the sphere.
const AXES: usize = 500;
/// Views within so many degrees of the great circle count for a direction.
const WIDTH: f64 = 5.0;
/// Share of the even amount of data below which a direction is poor.
const POOR: f64 = 0.3;
/// Share of directions that may be poor.
const MOST_POOR: f64 = 0.1;
/// Fewer particles say nothing.
const FEWEST: usize = 50;

/// How views fill Fourier space.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coverage {
    /// Share of directions with less than [`POOR`] of the even amount of data.
    pub poor: f64,
    /// Data in the poorest direction, as a share of the even amount.
    pub least: f64,
}

/// Works out how views of `[rot, tilt]` (degrees) and their copies by the symmetry `operators` (without the identity) fill
/// Fourier space; None for too few.
pub fn coverage(views: &[[f64; 2]], operators: &[Matrix3]) -> Option<Coverage> {
    if views.len() < FEWEST {
        return None;
    }
    let mut directions = Vec::with_capacity(views.len() * (1 + operators.len()));
    for [rot, tilt] in views {
        let direction = viewing_direction(*rot, *tilt);
        directions.push(direction);
        directions.extend(operators.iter().map(|operator| apply(operator, direction)));
    }
    let band = WIDTH.to_radians().sin();
    let even = band * directions.len() as f64;
    let shares: Vec<f64> = (0..AXES)
        .into_par_iter()
        .map(|i| {
            let axis = axis(i);
            let near = directions.iter().filter(|d| dot(**d, axis).abs() < band);
            near.count() as f64 / even
        })
        .collect();
    let poor = shares.iter().filter(|share| **share < POOR).count();
    Some(Coverage {
        poor: poor as f64 / AXES as f64,
        least: shares.iter().copied().fold(f64::INFINITY, f64::min),
    })
}

/// Directions spread evenly over half the sphere, along a spiral.
fn axis(i: usize) -> [f64; 3] {
    let golden = PI * (3.0 - 5f64.sqrt());
    let z = (i as f64 + 0.5) / AXES as f64;
    let radius = (1.0 - z * z).sqrt();
    let turn = golden * i as f64;
    [radius * turn.cos(), radius * turn.sin(), z]
}

/// How far the poses that views are taken from can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poses {
    /// Nothing speaks against them.
    Plausible,
    /// The run has warned of what spoils them: the grey scale, a search that finds nothing, a resolution that is stuck.
    Doubtful,
}

/// Judges the views of a map's particles; `whose` says which, as in "of class 2". Particles pile up in few views, too, when they
/// are aligned wrongly, and views alone cannot tell which it is.
pub fn preferred(coverage: Coverage, whose: &str, poses: Poses) -> Option<Finding> {
    let why = match poses {
        Poses::Plausible => {
            "Compare with 2D class averages. If they, too, show few views, the particles lie in the ice in one way: collect tilted images, \
             try another grid treatment, or look for missing views among the particles that were thrown away. If they show many, \
             the alignment has piled the particles up: look at the grey scale of the reference (--firstiter_cc) and at the CTF columns, \
             B-factors among them"
        }
        Poses::Doubtful => {
            "Warnings of this run say that its poses are doubtful, so it is probably the alignment that has piled the particles up, not \
             the ice: mend what they are about first"
        }
    };
    (coverage.poor > MOST_POOR).then(|| {
        Finding::new(
            Kind::PreferredOrientation,
            format!(
                "preferred orientation suspected: as the particles are aligned, {:.0} % of the directions of Fourier space{whose} hold \
                 less than {:.0} % of the data that even views would give them, the poorest {:.0} %. The map is smeared along these \
                 directions, and its resolution there is worse than the one stated. {why}.",
                100.0 * coverage.poor,
                100.0 * POOR,
                100.0 * coverage.least
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::healpix;

    fn even_views() -> Vec<[f64; 2]> {
        (0..healpix::pixel_count(3))
            .map(|pixel| healpix::direction(3, pixel))
            .map(|(rot, tilt)| [rot, tilt])
            .collect()
    }

    #[test]
    fn even_views_fill_all_directions_alike() {
        let found = coverage(&even_views(), &[]).unwrap();
        assert!(found.least > 0.8 && found.poor == 0.0, "{found:?}");
        assert_eq!(preferred(found, "", Poses::Plausible), None);
        assert_eq!(coverage(&even_views()[..49], &[]), None);
    }

    /// A single top view has no data along its axis.
    #[test]
    fn top_views_leave_a_cone_empty() {
        let views: Vec<[f64; 2]> = even_views().into_iter().filter(|v| v[1] < 20.0).collect();
        let views = views.repeat(4);
        let found = coverage(&views, &[]).unwrap();
        assert!(found.least == 0.0 && found.poor > 0.3, "{found:?}");
        let told = |poses| preferred(found, "", poses).unwrap().text;
        assert!(told(Poses::Plausible).contains("Compare with 2D class averages"));
        assert!(told(Poses::Doubtful).contains("probably the alignment"));
    }

    /// Views from all sides of one axis fill everything, the axis most of all.
    #[test]
    fn side_views_fill_fourier_space() {
        let views: Vec<[f64; 2]> = (0..360).map(|rot| [f64::from(rot), 90.0]).collect();
        let found = coverage(&views, &[]).unwrap();
        assert!(found.least > 0.5, "{found:?}");
        assert_eq!(preferred(found, "", Poses::Plausible), None);
    }

    #[test]
    fn symmetry_adds_views() {
        let views: Vec<[f64; 2]> = (0..90).map(|rot| [f64::from(rot), 90.0]).collect();
        let alone = coverage(&views, &[]).unwrap();
        let c4 = crate::geometry::symmetry::PointGroup::parse("C4").unwrap();
        let fourfold = coverage(&views, c4.operators()).unwrap();
        assert!(alone.poor > fourfold.poor, "{alone:?} {fourfold:?}");
    }
}
