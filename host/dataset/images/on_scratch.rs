//! Images that are read from copies of their stacks on a scratch disk.

use super::ImageStore;
use crate::dataset::examine::flaw;
use crate::dataset::open_stacks::OpenStacks;
use crate::dataset::scratch::Scratch;
use crate::dataset::{Particle, Pixels};
use crate::formats::mrc::StackReader;
use std::path::{Path, PathBuf};

impl ImageStore {
    /// Read from copies from now on, where `copy` finds one of a stack. Returns how many were found.
    pub fn use_copies<E>(
        &mut self,
        mut copy: impl FnMut(&Path) -> Result<Option<PathBuf>, E>,
    ) -> Result<usize, E> {
        let mut found = 0;
        self.originals.resize(self.paths.len(), None);
        for (path, original) in self.paths.iter_mut().zip(&mut self.originals) {
            if path.as_os_str().is_empty() {
                continue;
            }
            if let Some(copy) = copy(path)? {
                *original = Some(std::mem::replace(path, copy));
                found += 1;
            }
        }
        // Readers of the stacks themselves.
        self.open = OpenStacks::default();
        Ok(found)
    }

    /// Keep using these copies until [`ImageStore::leave_scratch`].
    pub fn keep_scratch(&mut self, scratch: Scratch) {
        self.scratch = Some(scratch);
    }

    /// Do without copies from now on. No image can be read afterwards.
    pub fn leave_scratch(&mut self) -> std::io::Result<()> {
        self.scratch.take().map_or(Ok(()), Scratch::leave)
    }

    /// Whether the image of a particle, which is read from a copy, has no flaw in the stack that was copied.
    pub(super) fn original_is_good(&self, particle: &Particle, count: usize) -> bool {
        let original = self.originals.get(particle.stack).and_then(Option::as_ref);
        let reader = original.and_then(|path| StackReader::open_partial(path).ok());
        reader.is_some_and(|reader| {
            let pixels = Pixels::read(&reader, particle.slice, count);
            pixels.is_ok_and(|pixels| flaw(&pixels, reader.shape().0).is_none())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{DatasetError, ParticleSet, ReadOptions};
    use crate::errors::{Code, Coded};
    use crate::formats::mrc::{StackMode, StackWriter};
    use std::fs;

    /// An image of zeros is the fault of the copy, and not of the particle, where the stack itself has a good one.
    #[test]
    fn a_damaged_copy_is_told_from_a_damaged_stack() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (name, second) in [("a.mrcs", 1.0), ("copy.mrcs", 0.0)] {
            let mut stack =
                StackWriter::create(&path(name), 2, 2, 1.0, StackMode::Float32).unwrap();
            for value in [1.0, second] {
                stack.push(&[value, -value, value, 2.0 * value]).unwrap();
            }
            stack.finish().unwrap();
        }
        let text = "data_optics\nloop_\n_rlnOpticsGroup\n_rlnImagePixelSize\n_rlnImageSize\n1 1.0 2\n\n\
                    data_particles\nloop_\n_rlnImageName\n_rlnMicrographName\n1@a.mrcs m1\n2@a.mrcs m2\n";
        fs::write(path("a.star"), text).unwrap();
        let set = ParticleSet::read(&path("a.star"), &ReadOptions::default()).unwrap();
        let mut images = ImageStore::open(&set, false).unwrap();
        assert!(images.image(&set, 1).is_ok());
        let copy = |_: &Path| Ok::<_, DatasetError>(Some(path("copy.mrcs")));
        assert_eq!(images.use_copies(copy).unwrap(), 1);
        assert!(images.image(&set, 0).is_ok());
        let error = images.image(&set, 1).unwrap_err();
        assert_eq!(error.code(), Code::SCRATCH, "{error}");
        fs::copy(path("copy.mrcs"), path("a.mrcs")).unwrap();
        let error = images.image(&set, 1).unwrap_err();
        assert_eq!(error.code(), Code::BAD_IMAGE, "{error}");
    }
}
