//! Content of an image: a particle from anywhere or from a preferred direction, a contaminant, or nothing.

use super::phantom::{HelixBundle, helix_bundle};
use super::{SimulationSettings, Stream, random};
use crate::formats::atoms::{self, Atom};
use crate::geometry::symmetry::PointGroup;
use crate::geometry::{Matrix3, euler};
use crate::tools::rotation::orientations::by_vector;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

/// Diameter of contaminants, in that of the phantom.
const CONTAMINANT_SIZE: f64 = 0.6;

/// Directions among which preferred ones are chosen.
const CANDIDATES: usize = 500;

/// Content of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A particle of one of the classes.
    Particle,
    /// Something else.
    Contaminant,
    /// Noise alone.
    Nothing,
}

impl Content {
    /// Content of image `index`.
    pub fn of(settings: &SimulationSettings, index: usize) -> Self {
        let SimulationSettings {
            contaminants,
            empty,
            ..
        } = *settings;
        if contaminants + empty == 0.0 {
            return Self::Particle;
        }
        let draw = random(settings.seed, Stream::Content, index).random_range(0.0..1.0);
        if draw < contaminants {
            Self::Contaminant
        } else if draw < contaminants + empty {
            Self::Nothing
        } else {
            Self::Particle
        }
    }
}

/// Returns the atoms of contaminants: a bundle of helices without symmetry, smaller than the particles and the same in every set.
pub(super) fn contaminant(shape: &HelixBundle) -> Vec<Atom> {
    let shape = HelixBundle {
        diameter: CONTAMINANT_SIZE * shape.diameter,
        helices: shape.helices.div_ceil(2).max(4),
        conformation: 0,
    };
    let mut clump = helix_bundle(&shape, &PointGroup::c1());
    atoms::centre(&mut clump);
    clump
}

/// Directions that particles are seen from with preference.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Views {
    /// Orientation at psi = 0 of each.
    frames: Vec<Matrix3>,
    /// Standard deviation around them, degrees.
    spread: f64,
}

impl Views {
    /// Chooses `settings.views` directions, as far from each other as may be, copies by the point group included; None for no
    /// preference.
    pub(super) fn new(settings: &SimulationSettings, group: &PointGroup) -> Option<Self> {
        if settings.views == 0 {
            return None;
        }
        let mut draw = random(settings.seed, Stream::View, 0);
        let angles: Vec<[f64; 2]> = (0..CANDIDATES.max(4 * settings.views))
            .map(|_| {
                let rot = draw.random_range(-180.0..180.0);
                [rot, draw.random_range(-1.0_f64..1.0).acos().to_degrees()]
            })
            .collect();
        let directions = angles
            .iter()
            .map(|[rot, tilt]| euler::viewing_direction(*rot, *tilt));
        let directions: Vec<[f64; 3]> = directions.collect();
        // Cosine to the nearest direction chosen so far.
        let mut nearest = vec![-1.0f64; directions.len()];
        let mut frames = Vec::with_capacity(settings.views);
        let mut next = 0;
        while frames.len() < settings.views {
            let [rot, tilt] = angles[next];
            frames.push(euler::matrix(rot, tilt, 0.0));
            let chosen = directions[next];
            let copies = group.operators().iter().map(|g| euler::apply(g, chosen));
            let copies: Vec<[f64; 3]> = std::iter::once(chosen).chain(copies).collect();
            for (near, direction) in nearest.iter_mut().zip(&directions) {
                for copy in &copies {
                    *near = near.max(euler::dot(*copy, *direction));
                }
            }
            let far = nearest.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1));
            next = far.map_or(0, |(i, _)| i);
        }
        Some(Self {
            frames,
            spread: settings.view_spread,
        })
    }

    /// Direction (from 0) and angles (rot, tilt, psi, degrees) of image `index`.
    pub(super) fn draw(&self, seed: u64, index: usize) -> (usize, [f64; 3]) {
        // 0 is the stream of the directions themselves.
        let mut random = random(seed, Stream::View, index + 1);
        let view = random.random_range(0..self.frames.len());
        let [x, y] = std::array::from_fn(|_| {
            let g: f64 = StandardNormal.sample(&mut random);
            self.spread * g
        });
        let psi = random.random_range(-180.0..180.0);
        let tilted = euler::multiply(&by_vector([x, y, 0.0]), &self.frames[view]);
        let turned = euler::multiply(&euler::matrix(0.0, 0.0, psi), &tilted);
        (view, euler::angles(&turned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::simulate::Preset;

    fn settings() -> SimulationSettings {
        SimulationSettings {
            views: 6,
            view_spread: 5.0,
            contaminants: 0.2,
            empty: 0.1,
            ..Preset::Mini.settings()
        }
    }

    #[test]
    fn shares_are_those_asked_for() {
        let settings = settings();
        let count = |content| {
            let of = |i: &usize| Content::of(&settings, *i) == content;
            (0..4000).filter(of).count()
        };
        // Three standard deviations of the binomial distribution.
        assert!(count(Content::Contaminant).abs_diff(800) < 76);
        assert!(count(Content::Nothing).abs_diff(400) < 57);
    }

    /// Directions lie around the preferred ones, with the spread of a Gaussian in two dimensions, and these are apart.
    #[test]
    fn views_gather_around_their_directions() {
        let settings = settings();
        let group = PointGroup::parse("C4").unwrap();
        let views = Views::new(&settings, &group).unwrap();
        let angle =
            |a: [f64; 3], b: [f64; 3]| euler::dot(a, b).clamp(-1.0, 1.0).acos().to_degrees();
        let mut sum = 0.0;
        let mut seen = [0; 6];
        for i in 0..1000 {
            let (view, [rot, tilt, _]) = views.draw(settings.seed, i);
            seen[view] += 1;
            sum += angle(euler::viewing_direction(rot, tilt), views.frames[view][2]).powi(2);
        }
        let rms = (sum / 1000.0).sqrt();
        assert!((rms - 5.0 * 2f64.sqrt()).abs() < 0.5, "{rms}");
        assert!(seen.iter().all(|n| (110..230).contains(n)), "{seen:?}");
        for (i, a) in views.frames.iter().enumerate() {
            for b in &views.frames[..i] {
                let mates = group
                    .operators()
                    .iter()
                    .map(|g| angle(euler::apply(g, a[2]), b[2]));
                let near = mates.fold(angle(a[2], b[2]), f64::min);
                assert!(near > 25.0, "{near}");
            }
        }
    }
}
