//! Writing stacks image by image.

use super::MrcError;
use super::header::{self, NewHeader};
use super::statistics::Statistics;
use crate::errors::{Code, Message};
use crate::formats::replace::{Content, check_kind, finish, temporary_name};
use half::f16;
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Element type of a stack to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StackMode {
    /// Mode 2.
    Float32,
    /// Mode 12.
    Float16,
}

/// A stack written image by image (temporary name, renamed by [`StackWriter::finish`]).
#[derive(Debug)]
pub struct StackWriter {
    path: PathBuf,
    out: Option<BufWriter<File>>,
    box_size: usize,
    n: usize,
    pushed: usize,
    pixel_size: f64,
    mode: StackMode,
    statistics: Statistics,
    label: String,
}

impl StackWriter {
    /// Begin a stack of `n` images of `box_size`² pixels.
    pub fn create(
        path: &Path,
        box_size: usize,
        n: usize,
        pixel_size: f64,
        mode: StackMode,
    ) -> Result<Self, MrcError> {
        let begin = || {
            check_kind(path, Content::Images)?;
            let mut out = BufWriter::with_capacity(1 << 20, File::create(temporary_name(path))?);
            out.write_all(&[0; header::LENGTH])?;
            Ok(out)
        };
        let out = begin().map_err(|e| failed(path, &e))?;
        Ok(StackWriter {
            path: path.to_path_buf(),
            out: Some(out),
            box_size,
            n,
            pushed: 0,
            pixel_size,
            mode,
            statistics: Statistics::default(),
            label: String::new(),
        })
    }
    /// The same stack with a second label (ASCII, at most 80 characters) in its header.
    pub fn labelled(mut self, label: &str) -> Self {
        label.clone_into(&mut self.label);
        self
    }
    /// Append one image.
    pub fn push(&mut self, image: &[f32]) -> Result<(), MrcError> {
        let pixels = self.box_size * self.box_size;
        if image.len() != pixels || self.pushed == self.n {
            return Err(MrcError::new(
                Code::INTERNAL,
                &self.path,
                format!(
                    "image {} with {} pixels does not fit a stack of {} images of {}² pixels",
                    self.pushed + 1,
                    image.len(),
                    self.n,
                    self.box_size
                ),
            ));
        }
        let mut bytes = Vec::with_capacity(4 * pixels);
        match self.mode {
            StackMode::Float32 => {
                self.statistics.add(image.iter().copied());
                image.iter().for_each(|v| bytes.extend(v.to_le_bytes()));
            }
            StackMode::Float16 => {
                let rounded = image.iter().map(|&v| f16::from_f32(v));
                if let Some(lost) = image
                    .iter()
                    .find(|v| v.is_finite() && f16::from_f32(**v).is_infinite())
                {
                    return Err(MrcError::new(
                        Code::CANNOT_WRITE,
                        &self.path,
                        format!(
                            "image {} holds the value {lost}, float16 ends at 65504; write float32",
                            self.pushed + 1
                        ),
                    ));
                }
                self.statistics.add(rounded.clone().map(f16::to_f32));
                rounded.for_each(|v| bytes.extend(v.to_le_bytes()));
            }
        }
        if let Some(out) = &mut self.out {
            out.write_all(&bytes).map_err(|e| failed(&self.path, &e))?;
        }
        self.pushed += 1;
        Ok(())
    }
    /// Complete header (statistics) and move the file to its name.
    pub fn finish(mut self) -> Result<(), MrcError> {
        if self.pushed != self.n {
            return Err(MrcError::new(
                Code::INTERNAL,
                &self.path,
                format!("only {} of {} images were written", self.pushed, self.n),
            ));
        }
        let header = NewHeader {
            size: [self.box_size, self.box_size, self.n],
            mode: match self.mode {
                StackMode::Float32 => 2,
                StackMode::Float16 => 12,
            },
            pixel_size: self.pixel_size,
            is_stack: true,
            statistics: self.statistics,
            second_label: self.label.clone(),
        };
        let complete = |out: BufWriter<File>| {
            let mut file = out.into_inner()?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&header.bytes())?;
            finish(&file, &self.path)
        };
        let out = self.out.take();
        let result = out.map_or(Ok(()), complete);
        result.map_err(|e: std::io::Error| {
            // Nothing to be done about a file that cannot be removed.
            let _ = std::fs::remove_file(temporary_name(&self.path));
            failed(&self.path, &e)
        })
    }
}

impl Drop for StackWriter {
    /// An unfinished stack leaves nothing behind.
    fn drop(&mut self) {
        if self.out.take().is_some() {
            // Nothing to be done about a file that cannot be removed.
            let _ = std::fs::remove_file(temporary_name(&self.path));
        }
    }
}

fn failed(path: &Path, e: &std::io::Error) -> MrcError {
    MrcError::of(path, Message::unwritten("the image stack", e))
}

#[cfg(test)]
mod tests {
    use super::super::StackReader;
    use super::*;
    use proptest::prelude::*;

    fn write(path: &Path, images: &[Vec<f32>], box_size: usize, mode: StackMode) {
        let mut writer = StackWriter::create(path, box_size, images.len(), 3.54, mode).unwrap();
        images.iter().for_each(|image| writer.push(image).unwrap());
        writer.finish().unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn stacks_read_back(images in prop::collection::vec(prop::collection::vec(-9.0e4f32..9.0e4, 16), 1..5)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.mrcs");
            write(&path, &images, 4, StackMode::Float32);
            let reader = StackReader::open(&path).unwrap();
            prop_assert!(reader.warnings().is_empty());
            prop_assert_eq!((reader.len(), reader.shape()), (images.len(), (4, 4)));
            prop_assert!((reader.pixel_size().unwrap() - 3.54).abs() < 1e-6);
            let mut out = vec![0.0; 16];
            for (slice, image) in images.iter().enumerate() {
                reader.read_into(slice, &mut out).unwrap();
                prop_assert_eq!(&out, image);
            }
        }
    }

    #[test]
    fn half_precision_rounds_and_refuses_what_it_cannot_hold() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.mrcs");
        write(
            &path,
            &[vec![0.1, -2.0, 3.5, 65504.0]],
            2,
            StackMode::Float16,
        );
        let mut out = vec![0.0; 4];
        StackReader::open(&path)
            .unwrap()
            .read_into(0, &mut out)
            .unwrap();
        assert!((out[0] - 0.1).abs() < 1e-4 && out[0] != 0.1);
        assert_eq!(out[1..], [-2.0, 3.5, 65504.0]);

        let path = folder.path().join("big.mrcs");
        let mut writer = StackWriter::create(&path, 1, 1, 1.0, StackMode::Float16).unwrap();
        let error = writer.push(&[1e5]).unwrap_err().to_string();
        assert!(error.contains("image 1 holds the value 100000"), "{error}");
        drop(writer);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_cut_off_stack_names_lengths_and_the_first_missing_image() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut.mrcs");
        let images = vec![vec![1.0; 4]; 3];
        write(&path, &images, 2, StackMode::Float32);
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(1024 + 16 + 15).unwrap();
        let error = StackReader::open(&path).unwrap_err().to_string();
        assert!(
            error.contains("1072 bytes in all, the file has 1055; image 2 is missing"),
            "{error}"
        );
        let reader = StackReader::open_partial(&path).unwrap();
        let mut out = [0.0; 4];
        reader.read_into(0, &mut out).unwrap();
        assert!(
            reader
                .read_into(2, &mut out)
                .unwrap_err()
                .to_string()
                .contains("image 3 is missing")
        );
        assert!(
            reader
                .read_into(3, &mut out)
                .unwrap_err()
                .to_string()
                .contains("holds 3")
        );
    }
}
