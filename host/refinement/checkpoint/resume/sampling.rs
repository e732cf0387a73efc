//! The sampling that a run is continued from.

use crate::errors::{Code, Message};
use crate::formats::star::{Document, Table};
use crate::geometry::sampling::Sampling;
use crate::geometry::symmetry::PointGroup;
use crate::refinement::checkpoint::OriginalSampling;
use crate::refinement::checkpoint::resume::{ResumeError, checks};
use crate::refinement::checkpoint::sampling_star::{DIRECTIONS, General, Grid};
use std::path::Path;

/// The grid of a file and the one that its run started with.
pub(crate) struct Stored {
    /// Grid, without perturbation.
    pub sampling: Sampling,
    /// `…Original` columns, where the file has them.
    pub original: Option<OriginalSampling>,
}

/// Read a grid. `ours`: the file was written by this program, with the steps that the run started with and a psi step that is
/// used; RELION resets it to that of the directions.
pub(crate) fn read(path: &Path, ours: bool) -> Result<Stored, ResumeError> {
    let document = Document::read(path)?;
    let refuse = |why: Message| Err(why.about(path.display()).into());
    let mut grid = Grid::default();
    let general = document.require("sampling_general")?;
    checks::numbers(general, path, checks::OF_SAMPLING)?;
    checks::offset_steps(general, path)?;
    General::read(general, 0, &mut grid)?;
    let original = grid.original;
    if ours && original.is_none() {
        return refuse(cut_short(
            "the steps that the run started with (rlnHealpixOrderOriginal …) are missing",
        ));
    }
    if !grid.of_maps {
        // The step of psi is kept, and the order is not in the file.
        return Ok(Stored {
            sampling: Sampling::in_plane(
                original.map_or(0, |o| o.healpix_order),
                grid.psi_step,
                grid.offset_range,
                grid.offset_step,
                grid.perturbation_factor,
            ),
            original,
        });
    }
    let (name, order) = (&grid.symmetry, grid.healpix_order);
    let symmetry = match PointGroup::parse(name) {
        Ok(symmetry) => symmetry,
        Err(error) => return refuse(Message::of(&error)),
    };
    if !(0..=12).contains(&order) {
        return refuse(
            Code::RUN_FILES_DIFFER
                .says(format!("rlnHealpixOrder is {order}; 0 to 12 are possible. Restore the file, or continue from an earlier iteration")),
        );
    }
    let mut sampling = Sampling::new(
        order as u32,
        if ours { grid.psi_step } else { -1.0 },
        symmetry,
        grid.limit_tilt,
        grid.offset_range,
        grid.offset_step,
        grid.perturbation_factor,
    );
    let directions = document.table(DIRECTIONS);
    if first_tilt(directions) == Some(FIRST_OF_TILTS) {
        sampling = sampling.of_tilts();
    }
    let (listed, needed) = (directions.map_or(0, Table::len), sampling.directions.len());
    if listed != needed {
        return refuse(cut_short(&format!(
            "table {DIRECTIONS} has {listed} rows, but HEALPix order {order} with symmetry {name} has {needed} directions"
        )));
    }
    Ok(Stored { sampling, original })
}

/// Tilt of the first direction where only the tilt is searched, degrees; tilts of the usual grid are 0 to 180.
const FIRST_OF_TILTS: f64 = -180.0;

fn first_tilt(directions: Option<&Table>) -> Option<f64> {
    let directions = directions.filter(|table| !table.is_empty())?;
    directions.real(0, "rlnAngleTilt").ok()
}

fn cut_short(what: &str) -> Message {
    Code::RUN_FILES_DIFFER.says(format!(
        "{what}: the file was cut short or changed. Restore it, or continue from an earlier iteration"
    ))
}
