//! The part of the sphere that one search of orientations visits (spec 01 §4.4, stage 1).

use super::closure::normalised;
use super::family::Family;
use crate::geometry::Matrix3;
use crate::geometry::euler::{apply, dot, matrix, viewing_direction};

/// Plane normals of the icosahedral unit in setting I2.
const G: f64 = 0.4999999839058737;
const H: f64 = 0.8090170074556163;
const F: f64 = 0.3090169861701543;
/// Plane normals of the unit in setting I4, before its rotation.
const P: f64 = 0.187592467856686;
const Q: f64 = 0.303530987314591;
const R: f64 = 0.491123477863004;
/// Angle (degrees) from a two-fold axis to the five-fold axis.
const TWO_TO_FIVE: f64 = 31.7174745559;

/// Is the direction inside? Angles in degrees, limits inclusive; `operators` are used by described groups only.
#[expect(
    clippy::approx_constant,
    reason = "the published digits decide which directions lie on a border"
)]
pub(super) fn contains(family: Family, operators: &[Matrix3], rot: f64, tilt: f64) -> bool {
    let within = |low: f64, high: f64| (low..=high).contains(&rot);
    let upper = tilt <= 90.0;
    let d = viewing_direction(rot, tilt);
    match family {
        Family::Cn(n) => within(-180.0 / f64::from(n), 180.0 / f64::from(n)),
        Family::Ci | Family::Cs | Family::Dn(1) => upper,
        Family::CnV(n) => within(0.0, 180.0 / f64::from(n)),
        Family::CnH(n) => within(-180.0 / f64::from(n), 180.0 / f64::from(n)) && upper,
        Family::Sn(n) => within(-360.0 / f64::from(n), 360.0 / f64::from(n)) && upper,
        Family::Dn(n) => within(90.0 - 180.0 / f64::from(n), 90.0 + 180.0 / f64::from(n)) && upper,
        Family::DnV(n) | Family::DnH(n) => within(90.0, 90.0 + 180.0 / f64::from(n)) && upper,
        Family::T => {
            let normals = [
                [-1.0, 0.0, 0.0],
                [0.471405, 0.272165, 0.7698],
                [0.471404, 0.816497, 0.0],
            ];
            (within(90.0, 150.0) || rot == 0.0) && on_positive_side(d, normals)
        }
        Family::Td => on_positive_side(
            d,
            [
                [-1.0, 0.0, 0.0],
                [0.471405, 0.272165, 0.7698],
                [0.0, 0.471405, -0.666667],
            ],
        ),
        Family::Th => on_positive_side(
            d,
            [
                [-1.0, 0.0, 0.0],
                [0.707107, 0.408248, -0.57735],
                [-0.408248, -0.707107, 0.0],
            ],
        ),
        Family::O => ((within(45.0, 135.0) && upper) || rot == 0.0) && in_octahedral_planes(d),
        Family::Oh => within(90.0, 135.0) && upper && in_octahedral_planes(d),
        Family::I(4) => on_positive_side(d, i4_normals()),
        Family::I(setting) => on_positive_side(d, i2_normals([G, -H, F], setting)),
        Family::Ih(3) => {
            let planes = [[0.0, 0.0, 1.0], [P, -Q, -R], [P, Q, -R]];
            let rotation = matrix(0.0, TWO_TO_FIVE, 0.0);
            on_positive_side(d, planes.map(|n| apply(&rotation, n))) && d[1] >= 0.0
        }
        Family::Ih(4) => on_positive_side(d, i4_normals()) && d[1] >= 0.0,
        Family::Ih(setting) => on_positive_side(d, i2_normals([1.0, 0.0, 0.0], setting)),
        Family::Described => in_dirichlet_cell(d, operators),
    }
}

fn on_positive_side(d: [f64; 3], normals: [[f64; 3]; 3]) -> bool {
    normals.into_iter().all(|n| dot(d, normalised(n)) >= 0.0)
}

fn in_octahedral_planes(d: [f64; 3]) -> bool {
    on_positive_side(d, [[0.0, -1.0, 1.0], [1.0, 1.0, 0.0], [-1.0, 1.0, 0.0]])
}

/// The first two normals of I2 and a third, turned into the setting 1, 2 or 3.
fn i2_normals(third: [f64; 3], setting: u32) -> [[f64; 3]; 3] {
    let normals = [[0.0, 1.0, 0.0], [-G, -H, F], third];
    let tilt = match setting {
        1 => 90.0,
        3 => TWO_TO_FIVE,
        _ => return normals,
    };
    let rotation = matrix(0.0, tilt, 0.0);
    normals.map(|n| apply(&rotation, n))
}

/// Inward normals of I4 (its published ones point outwards).
fn i4_normals() -> [[f64; 3]; 3] {
    let rotation = matrix(0.0, -TWO_TO_FIVE, 0.0);
    [[0.0, 0.0, 1.0], [P, -Q, -R], [P, Q, -R]].map(|n| apply(&rotation, n).map(|x| -x))
}

/// For any other group: directions that are nearer to a fixed point (on no symmetry element) than to its mates.
fn in_dirichlet_cell(d: [f64; 3], operators: &[Matrix3]) -> bool {
    let point = normalised([0.3127, 0.4719, 0.8244]);
    let own = dot(d, point);
    // The margin keeps directions on a seam on both its sides; the mates among them are pruned later.
    operators
        .iter()
        .all(|operator| own >= dot(d, apply(operator, point)) - 1e-9)
}
