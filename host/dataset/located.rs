//! Where the image files of a STAR file are.

use crate::errors::{Code, Message};
use std::path::{Path, PathBuf};

/// Where an image file was found.
pub(super) struct Located {
    pub path: PathBuf,
    /// Not in the current folder but beside the STAR file.
    pub beside_star_file: bool,
}

/// Finds an image file of a STAR file; an error says where it was looked for.
pub(super) fn locate(image: &str, star_file: &Path) -> Result<Located, Message> {
    let path = PathBuf::from(image);
    if path.exists() {
        return Ok(Located {
            path,
            beside_star_file: false,
        });
    }
    let folder = star_file.parent().unwrap_or(Path::new(""));
    let beside = folder.join(image);
    if path.is_relative() && beside.exists() {
        return Ok(Located {
            path: beside,
            beside_star_file: true,
        });
    }
    let current = std::env::current_dir().unwrap_or_default();
    Err(Code::STACK_MISSING.says(match path.is_relative() {
        true => format!(
            "the image file {image} is neither in the current folder ({}) nor in that of the STAR file; paths are \
             relative to the folder in which the program is started: start it in the project folder",
            current.display()
        ),
        false => format!("the image file {image} does not exist; was the data set moved?"),
    }))
}
