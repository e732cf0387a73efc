//! The list of particles that were left out.

use super::examine::Unusable;
use super::labels::{carry, kind};
use super::write::write_optics;
use super::{DatasetError, ParticleSet};
use crate::formats::replace::Content;
use crate::formats::star::{LoopWriter, replace_file};
use std::io;
use std::path::Path;

/// Column that says why.
pub const REASON: &str = "gerelionReason";

/// Write the rows of these particles as they were read, with a column that says why each was left out: a particle file
/// that other programs can read, for extracting these images again. Temporary name, then rename.
pub fn write(set: &ParticleSet, rejected: &[Unusable], path: &Path) -> Result<(), DatasetError> {
    let table = &set.particle_table;
    let labels = table.labels();
    let mut all = labels.clone();
    all.retain(|label| *label != REASON);
    all.push(REASON);
    replace_file(path, Content::Text, |out| {
        write_optics(out, &set.optics_table)?;
        let mut rows = LoopWriter::begin(out, "particles", &all)?;
        for Unusable { particle, reason } in rejected {
            for label in labels.iter().filter(|label| **label != REASON) {
                let text = table.text(*particle, label).map_err(io::Error::other)?;
                carry(&mut rows, kind(label), text);
            }
            rows.text(reason);
            rows.end_row()?;
        }
        rows.end()
    })?;
    Ok(())
}
