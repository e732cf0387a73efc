//! Class averages of an iteration, from its stack of images.

use super::ReportError;
use super::maps::{averaged, flaw};
use crate::errors::{Code, Message};
use crate::formats::mrc::StackReader;
use ndarray::{Array2, Array3, ArrayView3, Axis};
use std::path::{Path, PathBuf};

/// Averages are shown with at most this many pixels along a side, and with fewer where there are many averages.
const LARGEST_SIDE: usize = 128;
const SIDE_OF_MANY: usize = 72;
const MANY: usize = 150;

/// Class averages.
#[derive(Debug)]
pub(crate) struct Averages {
    /// The stack.
    pub path: PathBuf,
    /// Side of an image, Å.
    pub width: f64,
    /// One image per class; the last row of the file comes first.
    pub images: Vec<Array2<f32>>,
    /// Why an image shows nothing, if it does not.
    pub flaws: Vec<Option<String>>,
}

impl Averages {
    /// Reads the averages of `classes` classes from the stack of an iteration, in pixels of `pixel_size` Å.
    ///
    /// # Errors
    /// The stack cannot be read, or holds fewer images.
    pub(crate) fn read(path: &Path, classes: usize, pixel_size: f64) -> Result<Self, ReportError> {
        let stack = StackReader::open(path)?;
        if stack.len() < classes {
            let text = format!(
                "the stack holds {} images, but the model has {classes} classes; it may still be being written",
                stack.len()
            );
            return Err(short(text, path).into());
        }
        let side = if classes > MANY {
            SIDE_OF_MANY
        } else {
            LARGEST_SIDE
        };
        let (width, height) = stack.shape();
        let mut images = Vec::with_capacity(classes);
        let mut flaws = Vec::with_capacity(classes);
        for k in 0..classes {
            let image = read_image(&stack, k)?;
            flaws.push(flaw(image.iter(), "pixel"));
            images.push(averaged(image, width.max(height), side));
        }
        Ok(Self {
            path: path.to_owned(),
            width: width as f64 * pixel_size,
            images,
            flaws,
        })
    }
}

/// Reads image `k` (from 0) of the stack of an iteration, small enough for a strip; None where there is none.
pub(super) fn thumbnail(path: &Path, k: usize) -> Result<Option<Array2<f32>>, ReportError> {
    let stack = StackReader::open(path)?;
    if k >= stack.len() {
        return Ok(None);
    }
    let (width, height) = stack.shape();
    Ok(Some(averaged(
        read_image(&stack, k)?,
        width.max(height),
        SIDE_OF_MANY,
    )))
}

/// Returns the projection of a map along z, small enough for a strip.
pub(super) fn projection(map: &Array3<f32>) -> Array2<f32> {
    let view: ArrayView3<f32> = map.view();
    let (_, height, width) = view.dim();
    averaged(view.sum_axis(Axis(0)), width.max(height), SIDE_OF_MANY)
}

fn read_image(stack: &StackReader, k: usize) -> Result<Array2<f32>, ReportError> {
    let (width, height) = stack.shape();
    let mut image = Array2::zeros((height, width));
    let values = image.as_slice_mut().expect("a new array is contiguous");
    stack.read_into(k, values)?;
    // Pictures of the page have their last row at the top, RELION's displays of stacks their first.
    image.invert_axis(Axis(0));
    Ok(image)
}

fn short(text: String, path: &Path) -> Message {
    Code::FILE_CUT_OFF.says(text).about(path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::mrc::{StackMode, StackWriter};

    fn stack(images: &[[f32; 16]]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run_it001_classes.mrcs");
        let mut writer =
            StackWriter::create(&path, 4, images.len(), 2.0, StackMode::Float32).unwrap();
        for image in images {
            writer.push(image).unwrap();
        }
        writer.finish().unwrap();
        (folder, path)
    }

    #[test]
    fn averages_have_the_rows_of_the_file_and_their_flaws() {
        let ramp: [f32; 16] = std::array::from_fn(|i| i as f32);
        let (_folder, path) = stack(&[ramp, [0.0; 16]]);
        let averages = Averages::read(&path, 2, 3.0).unwrap();
        assert_eq!(averages.width, 12.0);
        assert_eq!(averages.images[0][[2, 2]], 6.0);
        assert_eq!(averages.flaws[0], None);
        assert!(
            averages.flaws[1]
                .as_ref()
                .unwrap()
                .contains("every pixel is 0")
        );
        assert!(thumbnail(&path, 2).unwrap().is_none());
    }

    #[test]
    fn a_stack_with_fewer_images_than_classes_is_an_error() {
        let (_folder, path) = stack(&[[1.0; 16]]);
        let error = Averages::read(&path, 3, 3.0).unwrap_err().to_string();
        assert!(
            error.contains("holds 1 images") && error.contains("3 classes"),
            "{error}"
        );
    }
}
