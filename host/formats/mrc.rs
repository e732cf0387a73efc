//! MRC maps and stacks (spec 03 §2.2).

use ndarray::{Array3, ArrayView3};
use std::path::Path;

/// What went wrong with an MRC file, which file, why, and what to try.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {message}")]
pub struct MrcError {
    /// File concerned.
    pub path: String,
    /// What failed, why and what to try.
    pub message: String,
}

/// Write a map (indices z, y, x) as mode 2, to a temporary name and renamed; passes `mrcfile.validate`.
pub fn write_map(_path: &Path, _map: ArrayView3<f32>, _pixel_size: f64) -> Result<(), MrcError> {
    todo!()
}

/// A stack opened for reading images by slice (0-based), without holding the file in memory.
pub struct StackReader {}

impl StackReader {
    /// Open a stack and check its header and length.
    pub fn open(_path: &Path) -> Result<Self, MrcError> {
        todo!()
    }
    /// Images in the stack.
    pub fn len(&self) -> usize {
        todo!()
    }
    /// No images.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// (width, height) in pixels.
    pub fn shape(&self) -> (usize, usize) {
        todo!()
    }
    /// Å per pixel from the header.
    pub fn pixel_size(&self) -> Option<f64> {
        todo!()
    }
    /// Decode one image (rows y, columns x) into `out`, which holds width·height values.
    pub fn read_into(&self, _slice: usize, _out: &mut [f32]) -> Result<(), MrcError> {
        todo!()
    }
}

/// Element type of a stack to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StackMode {
    /// Mode 2.
    Float32,
    /// Mode 12.
    Float16,
}

/// A stack written image by image (temporary name, renamed by [`StackWriter::finish`]).
pub struct StackWriter {}

impl StackWriter {
    /// Begin a stack of `n` images of `box_size`² pixels.
    pub fn create(
        _path: &Path,
        _box_size: usize,
        _n: usize,
        _pixel_size: f64,
        _mode: StackMode,
    ) -> Result<Self, MrcError> {
        todo!()
    }
    /// Append one image.
    pub fn push(&mut self, _image: &[f32]) -> Result<(), MrcError> {
        todo!()
    }
    /// Complete header (statistics) and move the file to its name.
    pub fn finish(self) -> Result<(), MrcError> {
        todo!()
    }
}

/// A map as read: voxels (z, y, x) and pixel size in Å, if the header gives one.
pub struct Map {
    /// Voxels, indices (z, y, x).
    pub data: Array3<f32>,
    /// Å per voxel.
    pub pixel_size: Option<f64>,
    /// Oddities that were tolerated, for the user.
    pub warnings: Vec<String>,
}
