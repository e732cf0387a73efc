//! Sets that are there already.

use super::SimulationError;
use crate::errors::Code;
use std::path::{Path, PathBuf};

/// Refuses to simulate a set in the place of another one.
///
/// # Errors
/// A file of the set is there: the message names it.
pub fn check_free(prefix: &Path) -> Result<(), SimulationError> {
    let names = [".mrcs", ".star", "_truth.star", "_truth1.mrc"];
    let there = names
        .map(|suffix| PathBuf::from(format!("{}{suffix}", prefix.display())))
        .into_iter()
        .find(|path| path.exists());
    there.map_or(Ok(()), |path| {
        let text = "this file is there and would be lost with the set that it belongs to; give another --o, or --overwrite to replace \
                    the set";
        Err(Code::BAD_VALUE.says(text).about(path.display()).into())
    })
}
