//! Random access to the images of a stack.

use super::MrcError;
use super::element::{ByteOrder, Element};
use super::header::{self, Header};
use crate::errors::{Code, Message};
use crate::formats::open::open_to_read;
use half::f16;
use std::fs::File;
use std::io;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A stack opened for reading images by slice (0-based), without holding the file in memory.
///
/// Each image is one positioned read, so that many threads may share the reader, and a file that shrinks while it
/// is being read gives an error (a memory map would kill the process).
#[derive(Debug)]
pub struct StackReader {
    path: PathBuf,
    file: File,
    header: Header,
    section_bytes: u64,
    file_bytes: u64,
}

impl StackReader {
    /// Open a stack and check its header and length.
    pub fn open(path: &Path) -> Result<Self, MrcError> {
        let reader = Self::open_partial(path)?;
        if reader.complete_slices() < reader.len() {
            return Err(reader.truncated(reader.complete_slices()));
        }
        Ok(reader)
    }
    /// Like [`StackReader::open`], but a stack that was cut off is accepted: only its missing slices give errors.
    pub fn open_partial(path: &Path) -> Result<Self, MrcError> {
        let error = |code, message: String| MrcError::new(code, path, message);
        let unopened = |e: io::Error| MrcError::of(path, Message::unopened("the image stack", &e));
        let odd = |message| error(Code::IMAGE_FORMAT, message);
        let file =
            open_to_read(path, "the image stack").map_err(|message| MrcError::of(path, message))?;
        let metadata = file.metadata().map_err(unopened)?;
        let mut start = Vec::with_capacity(header::LENGTH);
        (&file)
            .take(header::LENGTH as u64)
            .read_to_end(&mut start)
            .map_err(|e| {
                error(
                    Code::FILE_UNREADABLE,
                    format!("reading the header failed: {e}"),
                )
            })?;
        let header = Header::parse(&start).map_err(odd)?;
        if header.axes != [0, 1, 2] {
            let [c, r, s] = header.axes.map(|axis| axis + 1);
            return Err(odd(format!(
                "the header gives the axes {c}, {r}, {s} (MAPC, MAPR, MAPS), so its sections are not images; write the stack \
                 with axes 1, 2, 3"
            )));
        }
        let section_bytes = header.section_bytes().map_err(odd)?;
        header.file_bytes().map_err(odd)?;
        Ok(StackReader {
            path: path.to_path_buf(),
            file,
            header,
            section_bytes,
            file_bytes: metadata.len(),
        })
    }
    /// Images in the stack, by its header.
    pub fn len(&self) -> usize {
        self.header.size[2]
    }
    /// No images.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Images whose data are completely in the file.
    pub fn complete_slices(&self) -> usize {
        let data = self.file_bytes.saturating_sub(self.header.data_offset);
        ((data / self.section_bytes) as usize).min(self.len())
    }
    /// (width, height) in pixels.
    pub fn shape(&self) -> (usize, usize) {
        (self.header.size[0], self.header.size[1])
    }
    /// Å per pixel from the header.
    pub fn pixel_size(&self) -> Option<f64> {
        self.header.pixel_size[0]
    }
    /// Oddities that were tolerated, for the user.
    pub fn warnings(&self) -> &[String] {
        &self.header.warnings
    }
    /// Decode one image (rows y, columns x) into `out`, which holds width·height values.
    pub fn read_into(&self, slice: usize, out: &mut [f32]) -> Result<(), MrcError> {
        self.check(slice)?;
        let (width, height) = self.shape();
        if out.len() != width * height {
            return Err(MrcError::new(
                Code::IMAGE_SIZE,
                &self.path,
                format!(
                    "images of {width} x {height} pixels do not fit {} values",
                    out.len()
                ),
            ));
        }
        if self.header.element == Element::Float32 && self.header.order == ByteOrder::Little {
            self.read_bytes(slice, bytemuck::cast_slice_mut(out))?;
            // Nothing to do on machines of this byte order.
            for value in out {
                *value = f32::from_bits(u32::from_le(value.to_bits()));
            }
            return Ok(());
        }
        let mut bytes = vec![0; self.section_bytes as usize];
        self.read_bytes(slice, &mut bytes)?;
        self.header.element.decode(self.header.order, &bytes, out);
        Ok(())
    }
    /// True when the pixels are 16-bit floats.
    pub fn is_half(&self) -> bool {
        self.header.element == Element::Float16
    }
    /// One image of a stack of 16-bit floats, as [`StackReader::read_into`] but not decoded.
    pub fn read_half(&self, slice: usize) -> Result<Vec<f16>, MrcError> {
        let (width, height) = self.shape();
        let mut pixels = vec![f16::ZERO; width * height];
        self.read_half_into(slice, &mut pixels)?;
        Ok(pixels)
    }
    /// As [`StackReader::read_half`], into `pixels`, which holds width·height values.
    pub fn read_half_into(&self, slice: usize, pixels: &mut [f16]) -> Result<(), MrcError> {
        self.check(slice)?;
        if !self.is_half() {
            return Err(MrcError::new(
                Code::INTERNAL,
                &self.path,
                "its pixels are not 16-bit floats".to_string(),
            ));
        }
        self.read_bytes(slice, bytemuck::cast_slice_mut(pixels))?;
        let order = self.header.order;
        for pixel in pixels {
            let bytes = pixel.to_ne_bytes();
            *pixel = match order {
                ByteOrder::Little => f16::from_le_bytes(bytes),
                ByteOrder::Big => f16::from_be_bytes(bytes),
            };
        }
        Ok(())
    }
    /// The bytes of one image that is there.
    fn read_bytes(&self, slice: usize, bytes: &mut [u8]) -> Result<(), MrcError> {
        let position = self.header.data_offset + slice as u64 * self.section_bytes;
        self.file.read_exact_at(bytes, position).map_err(|e| {
            MrcError::new(
                Code::of_reading(&e),
                &self.path,
                format!("reading image {} failed: {e}; the disk may be failing, or the file was changed during the run", slice + 1),
            )
        })
    }
    /// Check that the stack holds this image (0-based) completely.
    pub fn check(&self, slice: usize) -> Result<(), MrcError> {
        if slice >= self.len() {
            return Err(MrcError::new(
                Code::NO_SUCH_IMAGE,
                &self.path,
                format!(
                    "image {} was asked for, the stack holds {} (numbers start at 1). Use the STAR file that was written with this stack, or extract the particles again",
                    slice + 1,
                    self.len()
                ),
            ));
        }
        if slice >= self.complete_slices() {
            return Err(self.truncated(slice));
        }
        Ok(())
    }
    fn truncated(&self, slice: usize) -> MrcError {
        let [x, y, n] = self.header.size;
        let expected = self.header.data_offset + n as u64 * self.section_bytes;
        MrcError::new(
            Code::FILE_CUT_OFF,
            &self.path,
            format!(
                "the stack is cut off: its header promises {n} images of {x} x {y} pixels, {expected} bytes in \
                 all, the file has {}; image {} is missing and {} are complete; copy or extract the stack again",
                self.file_bytes,
                slice + 1,
                self.complete_slices()
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::mrc::write_map;

    #[test]
    fn a_stack_with_turned_axes_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mrcs");
        write_map(&path, ndarray::Array3::zeros((3, 4, 4)).view(), 2.0).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        (bytes[64], bytes[72]) = (3, 1);
        std::fs::write(&path, bytes).unwrap();
        let error = StackReader::open(&path).unwrap_err();
        assert!(error.message.contains("axes 3, 2, 1"), "{error}");
    }

    /// Opening a pipe waits for a writer that never comes.
    #[test]
    fn a_pipe_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mrcs");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let error = StackReader::open(&path).unwrap_err();
        assert_eq!(error.code, Code::FILE_UNREADABLE);
        assert!(error.message.contains("pipe"), "{error}");
    }
}
