//! A `_sampling.star` (spec 03 §1.4).

use crate::errors::{Code, Message};
use crate::formats::star::{Document, StarError, Table};
use crate::geometry::sampling::Sampling;
use crate::geometry::symmetry::PointGroup;
use crate::refinement::checkpoint::OriginalSampling;
use crate::refinement::checkpoint::resume::ResumeError;
use std::path::Path;

/// Table of the directions of maps.
const DIRECTIONS: &str = "sampling_directions";

/// The grid of a file and the one that its run started with.
pub struct Stored {
    /// Grid, without perturbation.
    pub sampling: Sampling,
    /// `…Original` columns, where the file has them.
    pub original: Option<OriginalSampling>,
}

/// Read a grid. `ours`: the file was written by this program, with the steps that the run started with and a psi step that is
/// used; RELION resets it to that of the directions.
pub fn read(path: &Path, ours: bool) -> Result<Stored, ResumeError> {
    let document = Document::read(path)?;
    let general = document.require("sampling_general")?;
    let refuse = |why: Message| Err(why.about(path.display()).into());
    let original = original(general)?;
    if ours && original.is_none() {
        return refuse(cut_short(
            "the steps that the run started with (rlnHealpixOrderOriginal …) are missing",
        ));
    }
    if !general.boolean(0, "rlnIs3DSampling")? {
        // The step of psi is kept, and the order is not in the file.
        return Ok(Stored {
            sampling: Sampling::in_plane(
                original.map_or(0, |o| o.healpix_order),
                general.real(0, "rlnPsiStep")?,
                general.real(0, "rlnOffsetRange")?,
                general.real(0, "rlnOffsetStep")?,
                general.real(0, "rlnSamplingPerturbFactor")?,
            ),
            original,
        });
    }
    let name = general.text(0, "rlnSymmetryGroup")?;
    let symmetry = match PointGroup::parse(name) {
        Ok(symmetry) => symmetry,
        Err(error) => return refuse(Message::of(&error)),
    };
    let order = general.integer(0, "rlnHealpixOrder")?;
    if !(0..=12).contains(&order) {
        return refuse(
            Code::RUN_FILES_DIFFER
                .says(format!("rlnHealpixOrder is {order}; 0 to 12 are possible. Restore the file, or continue from an earlier iteration")),
        );
    }
    let psi_step = if ours {
        general.real(0, "rlnPsiStep")?
    } else {
        -1.0
    };
    let sampling = Sampling::new(
        order as u32,
        psi_step,
        symmetry,
        general.real(0, "rlnTiltAngleLimit")?,
        general.real(0, "rlnOffsetRange")?,
        general.real(0, "rlnOffsetStep")?,
        general.real(0, "rlnSamplingPerturbFactor")?,
    );
    let (listed, needed) = (
        document.table(DIRECTIONS).map_or(0, Table::len),
        sampling.directions.len(),
    );
    if listed != needed {
        return refuse(cut_short(&format!(
            "table {DIRECTIONS} has {listed} rows, but HEALPix order {order} with symmetry {name} has {needed} directions"
        )));
    }
    Ok(Stored { sampling, original })
}

fn cut_short(what: &str) -> Message {
    Code::RUN_FILES_DIFFER.says(format!(
        "{what}: the file was cut short or changed. Restore it, or continue from an earlier iteration"
    ))
}

fn original(general: &Table) -> Result<Option<OriginalSampling>, StarError> {
    if !general.has("rlnHealpixOrderOriginal") {
        return Ok(None);
    }
    Ok(Some(OriginalSampling {
        healpix_order: general.integer(0, "rlnHealpixOrderOriginal")?.max(0) as u32,
        psi_step: general.real(0, "rlnPsiStepOriginal")?,
        offset_range: general.real(0, "rlnOffsetRangeOriginal")?,
        offset_step: general.real(0, "rlnOffsetStepOriginal")?,
    }))
}
