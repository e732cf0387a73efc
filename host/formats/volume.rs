//! Reading a 3D map of any supported format, chosen by RELION's file-name grammar (spec 03 §2.1).

use super::mrc::{Map, MrcError};
use std::path::Path;

/// Read a map: MRC (plain, `.gz`, `.bz2`) or SPIDER, by RELION's name rules.
pub fn read_map(_path: &Path) -> Result<Map, MrcError> {
    todo!()
}
