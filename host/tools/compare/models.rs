//! Maps of two runs that lie anyhow, as initial models do: matched and laid onto each other before their FSC is taken.

use super::CompareError;
use crate::geometry::euler;
use crate::tools::density::read_density;
use crate::tools::fsc::{FscError, MapComparison, common_pixel_size, compare_maps};
use crate::tools::progress::Progress;
use crate::tools::rotation::align::{Alignment, apply, both_hands};
use std::fmt;
use std::path::{Path, PathBuf};

/// A map of the other run as it lies on one of the reference run.
#[derive(Debug, Clone, PartialEq)]
pub struct AlignedMap {
    /// Map of the reference run.
    pub reference: PathBuf,
    /// Map of the other run.
    pub ours: PathBuf,
    /// How it lies there, in the better hand.
    pub alignment: Alignment,
    /// Correlation in the other hand.
    pub other_hand: f64,
    /// FSC of the two after that.
    pub fsc: MapComparison,
    /// Å per voxel.
    pub pixel_size: f64,
}

/// Lays a map onto another one in the better hand, and takes their FSC.
///
/// # Errors
/// A map cannot be read or is no even cube; boxes or pixel sizes differ.
pub fn aligned(reference: &Path, ours: &Path, progress: Progress) -> Result<AlignedMap, FscError> {
    let reading = progress.phase("Reading the maps", 0);
    let (a, b) = (read_density(reference)?, read_density(ours)?);
    let pixel_size = common_pixel_size((reference, &a), (ours, &b))?;
    let (a, b) = (a.data.mapv(f64::from), b.data.mapv(f64::from));
    drop(reading);
    let [own, mirrored] = both_hands(&a, &b, progress);
    let (better, other) = match mirrored.correlation > own.correlation {
        true => (mirrored, own),
        false => (own, mirrored),
    };
    let _comparing = progress.phase("Turning the map and comparing it", 0);
    Ok(AlignedMap {
        reference: reference.to_owned(),
        ours: ours.to_owned(),
        alignment: better,
        other_hand: other.correlation,
        fsc: compare_maps(&a, &apply(&b, &better), None, pixel_size)?,
        pixel_size,
    })
}

/// Lays every map of one run onto every map of the other, and pairs them, the best correlated first.
pub(super) fn paired(
    reference: &[PathBuf],
    ours: &[PathBuf],
) -> Result<Vec<AlignedMap>, CompareError> {
    let mut all = Vec::new();
    for a in reference {
        for b in ours {
            all.push(aligned(a, b, Progress::Silent)?);
        }
    }
    all.sort_by(|a, b| b.alignment.correlation.total_cmp(&a.alignment.correlation));
    let mut found: Vec<AlignedMap> = Vec::new();
    for pair in all {
        let is_free =
            |other: &AlignedMap| other.reference != pair.reference && other.ours != pair.ours;
        if found.iter().all(is_free) {
            found.push(pair);
        }
    }
    Ok(found)
}

impl fmt::Display for AlignedMap {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let name = |path: &Path| {
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        let (hand, other) = match self.alignment.mirrored {
            true => ("mirrored", "as it is"),
            false => ("in its own hand", "mirrored"),
        };
        let [rot, tilt, psi] = euler::angles(&self.alignment.rotation);
        let [x, y, z] = self.alignment.shift.map(|v| v * self.pixel_size);
        write!(
            f,
            "{} laid onto {} {hand}: correlation {:.4} ({other} {:.4}), rot {rot:.2} tilt {tilt:.2} psi {psi:.2} deg, shift {x:.2} {y:.2} \
             {z:.2} A; {}",
            name(&self.ours),
            name(&self.reference),
            self.alignment.correlation,
            self.other_hand,
            self.fsc
        )
    }
}
