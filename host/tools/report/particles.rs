//! Particle table of an iteration.

use crate::dataset::copies::{self, Shared};
use crate::formats::star::{StarError, Table};
use std::path::Path;

/// Columns of a particle table; empty where the table lacks them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Particles {
    /// Rot and tilt, degrees.
    pub directions: Vec<[f64; 2]>,
    /// Class of each particle, from 0; all 0 without the column, None for particles that have been in no iteration yet.
    pub classes: Vec<Option<usize>>,
    /// Length of the shift, Å.
    pub offsets: Vec<f64>,
    /// Mean of both defocus values, Å.
    pub defocus: Vec<f64>,
    /// Largest probability of a pose.
    pub pmax: Vec<f64>,
    /// Images that are in both half-sets.
    pub shared: Option<Shared>,
    /// Number of particles.
    pub count: usize,
}

impl Particles {
    /// Takes the columns from the `particles` table of the file `path`.
    pub(crate) fn from_table(table: &Table, path: &Path) -> Result<Self, StarError> {
        let column = |label: &str| match table.has(label) {
            true => table.real_column(label),
            false => Ok(Vec::new()),
        };
        let pairs = |a: &str, b: &str| -> Result<Vec<[f64; 2]>, StarError> {
            Ok(column(a)?
                .into_iter()
                .zip(column(b)?)
                .map(|(a, b)| [a, b])
                .collect())
        };
        let classes = match table.has("rlnClassNumber") {
            true => table
                .integer_column("rlnClassNumber")?
                .into_iter()
                .map(|class| usize::try_from(class - 1).ok())
                .collect(),
            false => vec![Some(0); table.len()],
        };
        let offsets = pairs("rlnOriginXAngst", "rlnOriginYAngst")?;
        let defocus = pairs("rlnDefocusU", "rlnDefocusV")?;
        Ok(Self {
            directions: pairs("rlnAngleRot", "rlnAngleTilt")?,
            classes,
            offsets: offsets.iter().map(|[x, y]| x.hypot(*y)).collect(),
            defocus: defocus.iter().map(|[u, v]| (u + v) / 2.0).collect(),
            pmax: column("rlnMaxValueProbDistribution")?,
            shared: shared_images(table, path)?,
            count: table.len(),
        })
    }

    /// Number of particles that have been in an iteration.
    pub(crate) fn visited(&self) -> usize {
        self.classes.iter().flatten().count()
    }

    /// Directions of the particles of a class (from 0).
    pub(crate) fn directions_of(&self, class: usize) -> Vec<[f64; 2]> {
        self.directions
            .iter()
            .zip(&self.classes)
            .filter(|(_, k)| **k == Some(class))
            .map(|(direction, _)| *direction)
            .collect()
    }
}

/// Images in both half-sets; None without half-sets.
fn shared_images(table: &Table, path: &Path) -> Result<Option<Shared>, StarError> {
    if !(table.has("rlnRandomSubset") && table.has("rlnImageName")) {
        return Ok(None);
    }
    let halves = table.integer_column("rlnRandomSubset")?;
    let halves: Vec<u8> = halves
        .into_iter()
        .map(|half| half.clamp(0, 2) as u8)
        .collect();
    let first = copies::first_of_each_image(table.texts("rlnImageName")?, path);
    Ok(copies::shared_by_halves(&first, &halves))
}
