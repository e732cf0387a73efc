//! Back from subtracted particles to the images that they were made from (spec 06 §9.1, `--revert`).

use super::SubtractError;
use crate::dataset::{ParticleSet, ReadOptions};
use crate::errors::Code;
use crate::formats::file_name::ImageName;
use crate::formats::mrc::{MrcError, StackReader};
use crate::formats::replace::check_output;
use crate::formats::star::{Document, Value};
use std::path::{Path, PathBuf};

/// Exchanges the names of the images and of the original ones, and writes `original.star` into `folder`. Boxes of the optics
/// groups become those of the original images.
///
/// # Errors
/// Files cannot be read or written; the table does not name the original images; those of an optics group are not square.
pub fn revert(input: &Path, folder: &Path) -> Result<PathBuf, SubtractError> {
    let set = ParticleSet::read(input, &ReadOptions::default())?;
    let (mut optics, mut particles) = set.tables();
    if !particles.has("rlnImageOriginalName") {
        return Err(Code::STAR_CONTENT
            .says(format!(
                "{}: the particles have no column rlnImageOriginalName, so they were not made by subtraction; give its \
                 particles_subtracted.star",
                input.display()
            ))
            .into());
    }
    let mut boxes = vec![None; optics.len()];
    for (row, particle) in set.particles.iter().enumerate() {
        let name = particles.text(row, "rlnImageName")?.to_owned();
        let original = particles.text(row, "rlnImageOriginalName")?.to_owned();
        let known = &mut boxes[particle.optics_group];
        if known.is_none() {
            *known = Some(box_of(&original)?);
        }
        particles.set(row, "rlnImageName", Value::Text(original));
        particles.set(row, "rlnImageOriginalName", Value::Text(name));
    }
    for (row, size) in boxes.into_iter().enumerate() {
        if let Some(size) = size {
            optics.set(row, "rlnImageSize", Value::Integer(size as i64));
        }
    }
    std::fs::create_dir_all(folder).map_err(|e| {
        Code::CANNOT_WRITE.says(format!("cannot make the folder {}: {e}", folder.display()))
    })?;
    let path = folder.join("original.star");
    check_output(&[input], &path)?;
    let document = Document {
        tables: vec![optics, particles],
        ..Document::default()
    };
    document.write(&path)?;
    Ok(path)
}

/// Box of an image, from the header of its stack.
fn box_of(image: &str) -> Result<usize, MrcError> {
    let path = PathBuf::from(ImageName::parse(image).path);
    let (width, height) = StackReader::open_partial(&path)?.shape();
    match width == height {
        true => Ok(width),
        false => Err(MrcError {
            code: Code::IMAGE_SIZE,
            path: path.display().to_string(),
            message: format!(
                "the original images have {width} × {height} pixels, but images of particles must be square; is it the right \
                 file?"
            ),
        }),
    }
}
