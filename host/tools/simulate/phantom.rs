//! Built-in parametric phantom: a symmetric bundle of α-helices made of point atoms, so that a test set
//! can be simulated without any deposited structure.

use crate::formats::atoms::Atom;
use crate::geometry::{Matrix3, symmetry::PointGroup};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// Shape of a helix bundle.
#[derive(Debug, Clone, PartialEq)]
pub struct HelixBundle {
    /// Outer diameter of the particle, Å.
    pub diameter: f64,
    /// Helices in the asymmetric unit.
    pub helices: usize,
    /// 0-based conformation: the outer half of the bundle turns by 14° and rises by 3 Å per step.
    pub conformation: usize,
}

/// Rise per residue of an α-helix, Å.
const RISE: f64 = 1.5;
/// Turn per residue of an α-helix, degrees; positive about the axis is right-handed.
const TURN: f64 = 100.0;
/// Smallest distance between sampled points of different helix axes, Å.
const SPACING: f64 = 9.5;
/// Atoms of a residue: distance from the axis (Å), phase (degrees), height (Å), atomic number. The first five are
/// backbone and Cβ; a residue has between none and all of the rest (side chain).
const RESIDUE: [(f64, f64, f64, f64); 9] = [
    (1.55, 0.0, 0.0, 7.0),
    (2.3, 28.0, 0.9, 6.0),
    (1.7, 55.0, 2.1, 6.0),
    (2.0, 62.0, 3.3, 8.0),
    (3.3, 20.0, 0.1, 6.0),
    (4.5, 26.0, 0.6, 6.0),
    (5.6, 18.0, 0.2, 6.0),
    (6.5, 28.0, 0.9, 8.0),
    (6.7, 8.0, -0.6, 7.0),
];

/// Atoms of the bundle with the given point group, centred on its symmetry axes. The same shape gives the same atoms
/// in every run; conformations differ only in the outer helices.
pub fn helix_bundle(shape: &HelixBundle, symmetry: &PointGroup) -> Vec<Atom> {
    let mut random = Pcg64::seed_from_u64(0x5eed_b0d1e5);
    let operators: Vec<Matrix3> = std::iter::once(IDENTITY)
        .chain(symmetry.operators().iter().copied())
        .collect();
    let axes = place_axes(shape, &operators, &mut random);
    let mut unit = Vec::new();
    for axis in &axes {
        let outer = (axis.centre[0].hypot(axis.centre[1])) > 0.27 * shape.diameter;
        let first = unit.len();
        build_helix(axis, &mut random, &mut unit);
        if outer {
            let turn = (14.0 * shape.conformation as f64).to_radians();
            let rise = 3.0 * shape.conformation as f64;
            for atom in &mut unit[first..] {
                let [x, y, z] = atom.position;
                atom.position = [
                    x * turn.cos() - y * turn.sin(),
                    x * turn.sin() + y * turn.cos(),
                    z + rise * axis.centre[2].signum(),
                ];
            }
        }
    }
    operators
        .iter()
        .flat_map(|r| {
            unit.iter().map(|atom| Atom {
                position: apply(r, atom.position),
                weight: atom.weight,
            })
        })
        .collect()
}

const IDENTITY: Matrix3 = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

fn apply(r: &Matrix3, v: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|i| r[i][0] * v[0] + r[i][1] * v[1] + r[i][2] * v[2])
}

/// Axis of a straight helix: centre (Å), unit direction, length (Å).
struct Axis {
    centre: [f64; 3],
    direction: [f64; 3],
    length: f64,
}

impl Axis {
    fn points(&self) -> impl Iterator<Item = [f64; 3]> + '_ {
        let steps = (self.length / 5.0).ceil() as i32;
        (-steps..=steps).map(move |i| {
            let t = 0.5 * self.length * f64::from(i) / f64::from(steps);
            std::array::from_fn(|k| self.centre[k] + t * self.direction[k])
        })
    }
}

/// Draw helix axes inside a flattened ball until the wanted number fits without clashes, symmetry mates included.
fn place_axes(shape: &HelixBundle, operators: &[Matrix3], random: &mut Pcg64) -> Vec<Axis> {
    let radius = 0.5 * shape.diameter;
    let mut axes: Vec<Axis> = Vec::new();
    let mut taken: Vec<[f64; 3]> = Vec::new();
    // a crowded bundle ends with fewer helices rather than never
    for _ in 0..200 * shape.helices {
        if axes.len() == shape.helices {
            break;
        }
        let centre = loop {
            let c: [f64; 3] = std::array::from_fn(|_| random.random_range(-radius..radius));
            if norm(c) < radius - 8.0 && norm([c[0], c[1], 0.0]) > 6.0 {
                break c;
            }
        };
        // mostly upright near the axis, any direction outside, as in a channel with a cytosolic skirt
        let upright = 1.0 - 0.8 * norm([centre[0], centre[1], 0.0]) / radius;
        let d: [f64; 3] = std::array::from_fn(|_| random.random_range(-1.0..1.0));
        let d = [d[0], d[1], d[2] + 3.0 * upright];
        let length = random.random_range(14.0..0.5 * radius + 15.0);
        let axis = Axis {
            centre,
            direction: d.map(|x| x / norm(d)),
            length,
        };
        let points: Vec<[f64; 3]> = axis.points().collect();
        let inside = points.iter().all(|p| norm(*p) < radius - 6.0);
        let clash = |p: &[f64; 3]| taken.iter().any(|q| distance(*p, *q) < SPACING);
        let self_clash = operators[1..].iter().any(|r| {
            points
                .iter()
                .any(|p| points.iter().any(|q| distance(apply(r, *p), *q) < SPACING))
        });
        if inside && !self_clash && !points.iter().any(clash) {
            taken.extend(
                operators
                    .iter()
                    .flat_map(|r| points.iter().map(move |p| apply(r, *p))),
            );
            axes.push(axis);
        }
    }
    axes
}

/// Append the atoms of an α-helix along `axis`.
fn build_helix(axis: &Axis, random: &mut Pcg64, atoms: &mut Vec<Atom>) {
    let d = axis.direction;
    let helper = if d[2].abs() < 0.9 {
        [0.0, 0.0, 1.0]
    } else {
        [1.0, 0.0, 0.0]
    };
    let u = cross(helper, d);
    let u = u.map(|x| x / norm(u));
    let v = cross(d, u);
    let phase = random.random_range(0.0..360.0);
    for residue in 0..(axis.length / RISE) as usize {
        let side_chain = random.random_range(0..=RESIDUE.len() - 5);
        for &(r, angle, height, weight) in &RESIDUE[..5 + side_chain] {
            let a = (phase + TURN * residue as f64 + angle).to_radians();
            let t = RISE * residue as f64 + height - 0.5 * axis.length;
            atoms.push(Atom {
                position: std::array::from_fn(|k| {
                    axis.centre[k] + t * d[k] + r * (a.cos() * u[k] + a.sin() * v[k])
                }),
                weight,
            });
        }
    }
}

fn norm(v: [f64; 3]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    norm(std::array::from_fn(|k| a[k] - b[k]))
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(conformation: usize, symmetry: &str) -> Vec<Atom> {
        let shape = HelixBundle {
            diameter: 110.0,
            helices: 14,
            conformation,
        };
        helix_bundle(&shape, &PointGroup::parse(symmetry).unwrap())
    }

    #[test]
    fn bundle_is_invariant_under_its_group_and_under_nothing_more() {
        let atoms = bundle(0, "C4");
        let quarter = [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]];
        let flip = [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]];
        let matched = |r: &Matrix3| {
            atoms
                .iter()
                .step_by(17)
                .filter(|a| {
                    let p = apply(r, a.position);
                    atoms.iter().any(|b| distance(p, b.position) < 1e-6)
                })
                .count()
        };
        assert_eq!(matched(&quarter), atoms.len().div_ceil(17));
        assert_eq!(matched(&flip), 0);
    }

    #[test]
    fn conformations_share_the_core_and_differ_outside() {
        let (a, b) = (bundle(0, "C4"), bundle(1, "C4"));
        assert_eq!(a.len(), b.len());
        let moved = a
            .iter()
            .zip(&b)
            .filter(|(p, q)| distance(p.position, q.position) > 2.0)
            .count() as f64
            / a.len() as f64;
        assert!((0.2..0.8).contains(&moved), "fraction moved {moved}");
    }

    #[test]
    fn bundle_fits_its_diameter_and_is_the_same_every_time() {
        for symmetry in ["C1", "C4", "D2"] {
            let atoms = bundle(0, symmetry);
            assert!(atoms.len() > 1000, "{symmetry}: {} atoms", atoms.len());
            assert!(atoms.iter().all(|a| norm(a.position) < 62.0), "{symmetry}");
            assert_eq!(atoms, bundle(0, symmetry));
        }
    }
}
