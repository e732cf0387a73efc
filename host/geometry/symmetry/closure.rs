//! From generators to all operators of a group (spec 02 §1.6).

use super::SymmetryError;
use crate::errors::Code;
use crate::geometry::Matrix3;
use crate::geometry::euler::{dot, multiply};

/// A symmetry element that generates a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Generator {
    /// Fold and axis.
    Rotation(u32, [f64; 3]),
    /// Normal of the plane.
    Mirror([f64; 3]),
    Inversion,
}

/// Two operators closer than this in every element are the same. Elements of C99 differ by 0.06; axes written with
/// four digits (files) or six (T) leave products of generators 1e-6 to 1e-3 apart.
const SAME: f64 = 5e-3;

/// Rounding of products of sines.
const ROUNDING: f64 = 1e-14;

/// The largest supported group is D99H with 396 elements.
const LARGEST_GROUP: usize = 400;

const IDENTITY: Matrix3 = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

/// All non-identity operators, found by multiplying known elements by generators only, breadth first: every operator
/// is the shortest product, so that rounding in the digits of the axes does not grow.
pub(super) fn close(generators: &[Generator], name: &str) -> Result<Vec<Matrix3>, SymmetryError> {
    let steps: Vec<Matrix3> = generators.iter().flat_map(operators_of).collect();
    let mut elements = vec![IDENTITY];
    let mut next = 0;
    while next < elements.len() {
        for step in &steps {
            let product = multiply(&elements[next], step);
            if elements.iter().any(|known| same(known, &product)) {
                continue;
            }
            if elements.len() == LARGEST_GROUP {
                return Err(Code::SYMMETRY_FILE.says(format!(
                    "symmetry '{name}': its operators do not form a point group of at most {LARGEST_GROUP} elements. \
                     Check the axes: the angles between them must be those of the group, with five digits or more"
                )).into());
            }
            elements.push(product);
        }
        next += 1;
    }
    elements.remove(0);
    Ok(elements
        .into_iter()
        .map(|e| e.map(|row| row.map(exact)))
        .collect())
}

/// An element of an operator without the rounding of sines: quarter and half turns take voxels to voxels, not next to
/// them, where empty voxels would get a share of 1e-16 of their neighbours.
fn exact(element: f64) -> f64 {
    let whole = element.round();
    if (element - whole).abs() < ROUNDING {
        whole
    } else {
        element
    }
}

fn same(a: &Matrix3, b: &Matrix3) -> bool {
    a.iter()
        .flatten()
        .zip(b.iter().flatten())
        .all(|(x, y)| (x - y).abs() < SAME)
}

/// The operators that a generator contributes: rotations by j·360/fold, a mirror, the inversion.
fn operators_of(generator: &Generator) -> Vec<Matrix3> {
    match *generator {
        Generator::Rotation(fold, axis) => (1..fold)
            .map(|j| rotation(axis, f64::from(j) * std::f64::consts::TAU / f64::from(fold)))
            .collect(),
        Generator::Mirror(normal) => {
            let n = normalised(normal);
            vec![std::array::from_fn(|i| {
                std::array::from_fn(|j| IDENTITY[i][j] - 2.0 * n[i] * n[j])
            })]
        }
        Generator::Inversion => vec![IDENTITY.map(|row| row.map(|v| -v))],
    }
}

/// Active rotation about an axis by an angle in radians (Rodrigues).
fn rotation(axis: [f64; 3], angle: f64) -> Matrix3 {
    let [x, y, z] = normalised(axis);
    let (s, c) = angle.sin_cos();
    let t = 1.0 - c;
    [
        [t * x * x + c, t * x * y - s * z, t * x * z + s * y],
        [t * x * y + s * z, t * y * y + c, t * y * z - s * x],
        [t * x * z - s * y, t * y * z + s * x, t * z * z + c],
    ]
}

/// Unit vector along v.
pub(super) fn normalised(v: [f64; 3]) -> [f64; 3] {
    let length = dot(v, v).sqrt();
    v.map(|x| x / length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_at_a_wrong_angle_are_refused() {
        let generators = [
            Generator::Rotation(3, [0.0, 0.0, 1.0]),
            Generator::Rotation(4, [0.3, 0.1, 1.0]),
        ];
        let error = close(&generators, "bad.sym").unwrap_err().to_string();
        assert!(error.contains("bad.sym"), "{error}");
    }

    #[test]
    fn four_fold_axis_turns_x_into_y() {
        let operators = close(&[Generator::Rotation(4, [0.0, 0.0, 2.0])], "C4").unwrap();
        assert_eq!(operators.len(), 3);
        assert_eq!(operators[0].map(|row| row[0]), [0.0, 1.0, 0.0]);
    }

    /// Not next to it: an empty voxel beside it would get a share of 1e-16 of its sums, and an average out of nothing.
    #[test]
    fn quarter_and_half_turns_take_a_voxel_to_a_voxel() {
        for name in ["C4", "D2", "D4", "C2"] {
            let group = super::super::PointGroup::parse(name).unwrap();
            for element in group.operators().iter().flatten().flatten() {
                assert!([-1.0, 0.0, 1.0].contains(element), "{name}: {element}");
            }
        }
    }
}
