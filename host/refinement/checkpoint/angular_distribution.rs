//! `_angdist.bild`: a direction's probability as a cylinder on a sphere around the map, for UCSF Chimera (spec 03 §1.4).

use crate::geometry::sampling::Sampling;
use std::f64::consts::PI;
use std::fmt::Write;

/// Length of the cylinder of the most probable direction, as a fraction of the sphere's radius.
const LONGEST: f64 = 0.3;

/// A coarse direction (degrees) and its probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Weighted {
    rot: f64,
    tilt: f64,
    probability: f64,
}

/// Pair the directions of the grid with the priors of a class.
pub(super) fn directions(sampling: &Sampling, priors: &[f64]) -> Vec<Weighted> {
    sampling
        .directions
        .iter()
        .zip(priors)
        .map(|(direction, &probability)| Weighted {
            rot: direction.rot,
            tilt: direction.tilt,
            probability,
        })
        .collect()
}

/// Text of the file: a sphere of diameter `width` (Å) around the centre of the map, whose corner is at the origin.
/// Blue is improbable, red probable; directions of probability 0 are left out. `order` is the HEALPix order of the grid.
pub(super) fn bild(directions: &[Weighted], order: u32, width: f64) -> String {
    let radius = 0.5 * width;
    let touching = radius * (PI / pixels(order)).sqrt();
    let highest = directions.iter().map(|d| d.probability).fold(0.0, f64::max);
    let mut text = String::new();
    for direction in directions.iter().filter(|d| d.probability > 0.0) {
        let share = direction.probability / highest;
        let (rot, tilt) = (direction.rot.to_radians(), direction.tilt.to_radians());
        let axis = [tilt.sin() * rot.cos(), tilt.sin() * rot.sin(), tilt.cos()];
        let at = |distance: f64| axis.map(|c| radius + c * distance);
        let [x1, y1, z1] = at(radius);
        let [x2, y2, z2] = at(radius * (1.0 + LONGEST * share));
        let thickness = touching * (0.5 + 0.5 * share);
        writeln!(text, ".color {share:.3} 0 {:.3}", 1.0 - share).expect("text grows");
        writeln!(
            text,
            ".cylinder {x1:.3} {y1:.3} {z1:.3} {x2:.3} {y2:.3} {z2:.3} {thickness:.3}"
        )
        .expect("text grows");
    }
    text
}

/// Pixels of the whole sphere; cylinders of half their spacing just touch.
fn pixels(order: u32) -> f64 {
    12.0 * 4f64.powi(order as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weighted(directions: &[[f64; 3]]) -> Vec<Weighted> {
        let one = |&[rot, tilt, probability]: &[f64; 3]| Weighted {
            rot,
            tilt,
            probability,
        };
        directions.iter().map(one).collect()
    }

    #[test]
    fn impossible_directions_are_left_out() {
        let text = bild(&weighted(&[[0.0, 0.0, 0.5], [90.0, 90.0, 0.0]]), 2, 20.0);
        assert_eq!(text.lines().count(), 2);
        assert!(text.starts_with(".color 1.000 0 0.000\n"), "{text}");
    }

    #[test]
    fn cylinders_start_on_the_sphere_and_point_outwards() {
        let text = bild(&weighted(&[[90.0, 90.0, 1.0], [0.0, 0.0, 0.5]]), 2, 20.0);
        let cylinders: Vec<Vec<f64>> = text
            .lines()
            .filter_map(|line| line.strip_prefix(".cylinder "))
            .map(|line| line.split(' ').map(|v| v.parse().unwrap()).collect())
            .collect();
        assert_eq!(cylinders[0][..6], [10.0, 20.0, 10.0, 10.0, 23.0, 10.0]);
        assert_eq!(cylinders[1][..6], [10.0, 10.0, 20.0, 10.0, 10.0, 21.5]);
        assert!(cylinders[0][6] > cylinders[1][6]);
    }

    #[test]
    fn nothing_probable_gives_an_empty_file() {
        assert_eq!(bild(&weighted(&[[0.0, 0.0, 0.0]]), 2, 20.0), "");
    }
}
