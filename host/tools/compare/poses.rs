//! Poses, classes and probabilities of the particles of two runs.

use super::CompareError;
use crate::errors::Code;
use crate::formats::star::Table;
use crate::geometry::{Matrix3, euler, symmetry::PointGroup};
use std::collections::HashMap;

/// Particles of a particle table.
#[derive(Debug, Clone, PartialEq)]
pub struct Poses {
    /// `rlnImageName`.
    pub names: Vec<String>,
    /// rot, tilt, psi, degrees.
    pub angles: Vec<[f64; 3]>,
    /// Origin offsets, Å.
    pub origins: Vec<[f64; 2]>,
    /// 1-based class.
    pub classes: Vec<i64>,
    /// Pmax; 0 where the table has none.
    pub max_probability: Vec<f64>,
}

impl Poses {
    /// Take the columns from a `particles` table.
    pub fn from_table(table: &Table) -> Result<Self, CompareError> {
        let column = |label| table.real_column(label);
        let (rot, tilt, psi) = (
            column("rlnAngleRot")?,
            column("rlnAngleTilt")?,
            column("rlnAnglePsi")?,
        );
        let (x, y) = (column("rlnOriginXAngst")?, column("rlnOriginYAngst")?);
        let max_probability = if table.has("rlnMaxValueProbDistribution") {
            column("rlnMaxValueProbDistribution")?
        } else {
            vec![0.0; table.len()]
        };
        let mut names = Vec::with_capacity(table.len());
        let mut classes = Vec::with_capacity(table.len());
        for row in 0..table.len() {
            names.push(table.text(row, "rlnImageName")?.to_string());
            classes.push(table.integer(row, "rlnClassNumber")?);
        }
        Ok(Self {
            names,
            angles: (0..rot.len()).map(|i| [rot[i], tilt[i], psi[i]]).collect(),
            origins: (0..x.len()).map(|i| [x[i], y[i]]).collect(),
            classes,
            max_probability,
        })
    }
}

/// How far the particles of two runs agree.
#[derive(Debug, Clone, PartialEq)]
pub struct PoseComparison {
    /// Particles that both runs have (by image name).
    pub common: usize,
    /// Fraction in the same class under the best matching of class numbers; None when class numbers are not all in 1…8.
    pub same_class: Option<f64>,
    /// Fraction with orientations closer than 0.01°.
    pub identical: f64,
    /// Fraction closer than one and a half steps.
    pub within_step: f64,
    /// Median distance of orientations, degrees.
    pub median_angle: f64,
    /// Fraction with origins closer than 0.01 Å.
    pub shifts_identical: f64,
    /// 95th percentile of |ΔPmax|.
    pub pmax_p95: f64,
}

/// Compare the particles that both tables hold; orientations are equal up to `group`.
pub fn compare_poses(
    a: &Poses,
    b: &Poses,
    group: &PointGroup,
    step: f64,
) -> Result<PoseComparison, CompareError> {
    let rows: HashMap<&str, usize> = b
        .names
        .iter()
        .enumerate()
        .map(|(i, name)| (name.as_str(), i))
        .collect();
    let pairs: Vec<(usize, usize)> = a
        .names
        .iter()
        .enumerate()
        .filter_map(|(i, name)| rows.get(name.as_str()).map(|&j| (i, j)))
        .collect();
    if pairs.is_empty() {
        return Err(Code::RUNS_DIFFER
            .says(
                "the two runs have no image name in common; compare runs of the same particle file",
            )
            .into());
    }
    let mut angles: Vec<f64> = pairs
        .iter()
        .map(|&(i, j)| rotation_between(a.angles[i], b.angles[j], group.operators()))
        .collect();
    let shift = |&(i, j): &(usize, usize)| {
        let (p, q): ([f64; 2], [f64; 2]) = (a.origins[i], b.origins[j]);
        (p[0] - q[0]).hypot(p[1] - q[1])
    };
    let mut pmax: Vec<f64> = pairs
        .iter()
        .map(|&(i, j)| (a.max_probability[i] - b.max_probability[j]).abs())
        .collect();
    let fraction = |count: usize| count as f64 / pairs.len() as f64;
    Ok(PoseComparison {
        common: pairs.len(),
        same_class: best_class_match(pairs.iter().map(|&(i, j)| (a.classes[i], b.classes[j])))
            .map(fraction),
        identical: fraction(angles.iter().filter(|d| **d < 0.01).count()),
        within_step: fraction(angles.iter().filter(|d| **d <= 1.5 * step).count()),
        median_angle: percentile(&mut angles, 0.5),
        shifts_identical: fraction(pairs.iter().filter(|p| shift(p) < 0.01).count()),
        pmax_p95: percentile(&mut pmax, 0.95),
    })
}

/// Angle (degrees) of the rotation between two orientations, smallest over the operators and the identity.
pub fn rotation_between(a: [f64; 3], b: [f64; 3], operators: &[Matrix3]) -> f64 {
    let matrix = |v: [f64; 3]| euler::matrix(v[0], v[1], v[2]);
    let (a, b) = (matrix(a), matrix(b));
    let angle = |a: &Matrix3| {
        let trace: f64 = a
            .iter()
            .flatten()
            .zip(b.iter().flatten())
            .map(|(x, y)| x * y)
            .sum();
        ((trace - 1.0) / 2.0).clamp(-1.0, 1.0).acos().to_degrees()
    };
    operators
        .iter()
        .map(|g| angle(&euler::multiply(&a, g)))
        .fold(angle(&a), f64::min)
}

/// Particles in the same class when the second run's class numbers are permuted in the best way.
fn best_class_match(pairs: impl Iterator<Item = (i64, i64)>) -> Option<usize> {
    const MOST: usize = 8;
    let mut counts = [[0usize; MOST]; MOST];
    for (p, q) in pairs {
        let at = |v: i64| usize::try_from(v - 1).ok().filter(|c| *c < MOST);
        counts[at(p)?][at(q)?] += 1;
    }
    fn best(counts: &[[usize; MOST]], taken: u32) -> usize {
        // rows without particles at the end change nothing: this keeps few classes fast
        let Some((row, rest)) = counts
            .split_first()
            .filter(|_| counts.iter().flatten().any(|c| *c > 0))
        else {
            return 0;
        };
        (0..MOST)
            .filter(|column| taken & (1 << column) == 0)
            .map(|column| row[column] + best(rest, taken | 1 << column))
            .max()
            .unwrap_or(0)
    }
    Some(best(&counts, 0))
}

/// Value at fraction `p` of the sorted values, linearly between neighbours.
fn percentile(values: &mut [f64], p: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = p * (values.len() - 1) as f64;
    let (low, high) = (values[at.floor() as usize], values[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poses(angles: &[[f64; 3]], classes: &[i64]) -> Poses {
        let n = angles.len();
        Poses {
            names: (0..n).map(|i| format!("{i}@a.mrcs")).collect(),
            angles: angles.to_vec(),
            origins: vec![[0.0, 0.0]; n],
            classes: classes.to_vec(),
            max_probability: vec![0.5; n],
        }
    }

    #[test]
    fn symmetry_mates_are_the_same_pose() {
        let a = poses(&[[10.0, 40.0, 20.0], [0.0, 50.0, 0.0]], &[1, 1]);
        let b = poses(&[[100.0, 40.0, 20.0], [0.0, 53.0, 0.0]], &[1, 1]);
        let c4 = compare_poses(&a, &b, &PointGroup::parse("C4").unwrap(), 7.5).unwrap();
        assert_eq!((c4.identical, c4.within_step), (0.5, 1.0));
        let c1 = compare_poses(&a, &b, &PointGroup::c1(), 7.5).unwrap();
        assert_eq!((c1.identical, c1.within_step), (0.0, 0.5));
    }

    #[test]
    fn classes_are_matched_whatever_their_numbers() {
        let angles = [[0.0; 3]; 5];
        let a = poses(&angles, &[1, 1, 2, 2, 3]);
        let b = poses(&angles, &[2, 2, 3, 3, 3]);
        let found = compare_poses(&a, &b, &PointGroup::c1(), 1.0).unwrap();
        assert_eq!(found.same_class, Some(0.8));
    }

    #[test]
    fn runs_without_common_particles_are_refused() {
        let a = poses(&[[0.0; 3]], &[1]);
        let mut b = a.clone();
        b.names[0] = "other".into();
        assert!(compare_poses(&a, &b, &PointGroup::c1(), 1.0).is_err());
    }

    #[test]
    fn percentiles_interpolate() {
        assert_eq!(percentile(&mut [3.0, 1.0, 2.0, 4.0], 0.5), 2.5);
        assert_eq!(percentile(&mut [7.0], 0.95), 7.0);
    }
}
