//! The stated resolution against the local resolution within the mask.

use super::half_maps::Measured;
use super::inputs::Inputs;
use super::{Check, ValidateError, Verdict};
use crate::tools::local_resolution::{LocalSettings, measure};
use crate::tools::postprocess::{self, PostprocessSettings};
use std::path::PathBuf;

/// Points of the local resolution along the particle: more would take long and say no more about the median.
const POINTS: f64 = 12.0;

/// Ratio of the median local resolution to the stated one up to which they agree, and above which they do not: choices of
/// this program.
const AGREES: f64 = 1.6;
const DIFFERS: f64 = 2.2;

/// Ratio of the best local resolution (10 %) to the stated one above which no part of the map supports the statement.
const UNSUPPORTED: f64 = 1.4;

/// Checks that a part of the map reaches the stated resolution, and that most of it comes near. Only voxels within the mask
/// count: the solvent has the lowest resolution by construction.
pub(super) fn check(inputs: &Inputs, measured: &Measured) -> Result<Check, ValidateError> {
    let name = "local resolution";
    let length = inputs.diameter.unwrap_or(0.7 * inputs.extent());
    let local = LocalSettings {
        sampling: (length / POINTS).max(LocalSettings::default().sampling),
        ..LocalSettings::default()
    };
    let maps = postprocess::Inputs {
        halves: inputs.halves.clone(),
        half2: PathBuf::new(),
        pixel_size: inputs.pixel_size,
        mask: Some(inputs.support.mask.clone()),
        warnings: Vec::new(),
    };
    let settings = PostprocessSettings::new(PathBuf::new(), PathBuf::new());
    let found = measure(&settings, &local, &maps, |_, _| {}).map_err(|e| ValidateError::of(&e))?;
    let mut values = found.inside.unwrap_or_default();
    if values.is_empty() || measured.shell == 0 {
        return Ok(Check::new(
            name,
            "–",
            Verdict::Unknown,
            "no voxel of the mask has a local resolution",
            "",
        ));
    }
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share) as usize];
    let (best, median) = (at(0.1), at(0.5));
    let (of_best, of_median) = (best / measured.resolution, median / measured.resolution);
    let verdict = match () {
        () if of_best > UNSUPPORTED || of_median > DIFFERS => Verdict::Bad,
        () if of_median > AGREES => Verdict::Look,
        () => Verdict::Good,
    };
    Ok(Check::new(
        name,
        format!("median {median:.2} Å"),
        verdict,
        format!(
            "{of_median:.2} × the resolution of {:.2} Å; the best tenth of the voxels within the mask has {best:.2} Å, the worst \
             {:.2} Å",
            measured.resolution,
            at(0.9)
        ),
        "State the range of the local resolution with the map. Classify, or refine the flexible part on its own (subtraction).",
    ))
}
