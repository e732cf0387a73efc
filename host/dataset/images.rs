//! Reading particle images in stack order.

mod on_scratch;
mod stated_pixels;

use super::examine::flaw;
use super::located::locate;
use super::open_stacks::OpenStacks;
use super::scratch::Scratch;
use super::{DatasetError, Particle, ParticleSet, Pixels, power};
use crate::errors::{Code, Message};
use crate::formats::file_name::{Format, ImageName};
use crate::formats::mrc::{MrcError, StackReader};
use stated_pixels::StatedPixels;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Gives out images of particles; keeps stacks open and, where they fit, images in memory.
///
/// Paths are relative to the current folder, as in RELION; what is not there is looked for beside the STAR file.
#[derive(Debug)]
pub struct ImageStore {
    paths: Vec<PathBuf>,
    /// The stack that a path is a copy of, where it is one.
    originals: Vec<Option<PathBuf>>,
    open: OpenStacks,
    /// Stacks of 16-bit floats.
    half: Vec<bool>,
    /// A place for the image of each particle, where images are kept once they were read.
    kept: Option<Vec<OnceLock<Pixels<'static>>>>,
    /// From their first reading on, wherever they go.
    keeps_at_once: bool,
    /// Power (mean square) of the images that were read, by particle.
    powers: Vec<OnceLock<f64>>,
    /// Copies that are read instead of the stacks.
    scratch: Option<Scratch>,
    /// Pixel sizes that the headers state.
    stated: StatedPixels,
    notices: Vec<String>,
    warnings: Vec<String>,
}

impl ImageStore {
    /// Open every stack of the set, checking that each slice exists and that boxes agree with the optics table.
    /// With `keep`, images are kept in memory once they were read.
    pub fn open(set: &ParticleSet, keep: bool) -> Result<Self, DatasetError> {
        let mut store = ImageStore {
            paths: Vec::new(),
            originals: Vec::new(),
            open: OpenStacks::default(),
            half: Vec::new(),
            kept: None,
            keeps_at_once: keep,
            powers: set.particles.iter().map(|_| OnceLock::new()).collect(),
            scratch: None,
            stated: StatedPixels::default(),
            notices: Vec::new(),
            warnings: Vec::new(),
        };
        let particles_of_stack = particles_of_stacks(set);
        for (stack, particles) in particles_of_stack.iter().enumerate() {
            store.add_stack(set, stack, particles)?;
        }
        store.warnings.extend(store.stated.warning());
        if keep {
            store.keep(set);
        }
        Ok(store)
    }

    /// Keep images once they are read, provided that all of them take no more than `bytes`.
    pub fn keep_within(&mut self, set: &ParticleSet, bytes: usize) {
        let bytes_of = |index| self.stored(set, index).0;
        let all: usize = (0..set.particles.len()).map(bytes_of).sum();
        if self.kept.is_none() && all <= bytes {
            self.keep(set);
        }
    }

    fn keep(&mut self, set: &ParticleSet) {
        self.kept = Some(set.particles.iter().map(|_| OnceLock::new()).collect());
    }

    /// Where images were found, for the user.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Oddities that were tolerated, for the user.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Index and power (mean square) of every image that has been read, in the order of the table.
    pub fn powers(&self) -> Vec<(usize, f64)> {
        let powers = self.powers.iter().enumerate();
        powers
            .filter_map(|(index, power)| Some((index, *power.get()?)))
            .collect()
    }

    /// Returns the power (mean square) of an image, which is read unless it was before.
    pub fn power(&self, set: &ParticleSet, index: usize) -> Result<f64, DatasetError> {
        if let Some(power) = self.powers[index].get() {
            return Ok(*power);
        }
        let image = self.image(set, index)?;
        Ok(*self.powers[index].get_or_init(|| power::of_image(&image.single())))
    }

    /// Paths of the stacks that are in use.
    pub fn stacks(&self) -> impl Iterator<Item = &Path> {
        let used = self
            .paths
            .iter()
            .filter(|path| !path.as_os_str().is_empty());
        used.map(PathBuf::as_path)
    }

    /// Image of particle `index` (row-major, box² of its optics group), borrowed where images are kept; NaN or all-zero
    /// images are errors naming the particle.
    pub fn image(&self, set: &ParticleSet, index: usize) -> Result<Pixels<'_>, DatasetError> {
        let Some(place) = self.kept.as_ref().map(|places| &places[index]) else {
            return self.read(set, index);
        };
        if let Some(image) = place.get() {
            return Ok(image.borrowed());
        }
        let image = self.read(set, index)?;
        // Another thread that was faster has read the same image.
        Ok(place.get_or_init(|| image).borrowed())
    }

    /// As [`Self::image`], in single precision into `out`.
    pub fn read_into(
        &self,
        set: &ParticleSet,
        index: usize,
        out: &mut [f32],
    ) -> Result<(), DatasetError> {
        let image = self.image(set, index)?;
        let image = image.single();
        if image.len() != out.len() {
            let message = format!(
                "{}: {} pixels do not fit a buffer of {}",
                set.describe(index),
                image.len(),
                out.len()
            );
            return Err(Code::IMAGE_SIZE.says(message).into());
        }
        out.copy_from_slice(&image);
        Ok(())
    }

    /// Find and check one stack that holds the images of `particles`.
    fn add_stack(
        &mut self,
        set: &ParticleSet,
        stack: usize,
        particles: &[usize],
    ) -> Result<(), DatasetError> {
        let Some(&first) = particles.first() else {
            self.paths.push(PathBuf::new());
            self.half.push(false);
            return Ok(());
        };
        let blame = |particle: usize, message: Message| {
            DatasetError::from(message.about(set.describe(particle)))
        };
        let name = ImageName::parse(&set.stacks[stack]);
        match name.format {
            Format::Mrc | Format::MrcStack => {}
            Format::Spider => {
                return Err(blame(
                    first,
                    Code::IMAGE_FORMAT.says(
                        "by its name the image is in SPIDER format; particle images are read from MRC stacks: convert it \
                         to .mrcs, or write `name:mrcs` if it is one",
                    ),
                ));
            }
            Format::Refused(reason) => return Err(blame(first, Code::IMAGE_FORMAT.says(reason))),
        }
        let located = locate(&name.path, set.source()).map_err(|message| blame(first, message))?;
        if located.beside_star_file && self.notices.is_empty() {
            self.notices.push(format!(
                "{} is not in the current folder; images are taken from beside the STAR file ({})",
                name.path,
                located.path.display()
            ));
        }
        self.paths.push(located.path);
        let reader = self
            .open
            .reader(&self.paths, stack)
            .map_err(|e| blame(first, Message::of(&e)))?;
        self.half.push(reader.is_half());
        let (width, height) = reader.shape();
        let group = &set.optics[set.particles[first].optics_group];
        let stated = reader.pixel_size();
        self.stated.compare(&set.stacks[stack], stated, group);
        for &particle in particles {
            let box_size = set.optics[set.particles[particle].optics_group].box_size;
            if (width, height) != (box_size, box_size) {
                return Err(blame(
                    particle,
                    Code::IMAGE_SIZE.says(format!(
                        "the stack holds images of {width} x {height} pixels, its optics group says {box_size} x {box_size}; \
                         correct rlnImageSize or the image name"
                    )),
                ));
            }
            if reader.len() > 1 && ImageName::parse(&set.image_name(particle)).slice.is_none() {
                return Err(blame(
                    particle,
                    Code::NO_SUCH_IMAGE.says(format!(
                        "the name has no number before an @, but the file is a stack of {} images, and nothing says which \
                         of them is meant; names are like 000001@stack.mrcs: correct them, or extract the particles again",
                        reader.len()
                    )),
                ));
            }
            reader
                .check(set.particles[particle].slice)
                .map_err(|e| blame(particle, Message::of(&e)))?;
        }
        if reader.complete_slices() < reader.len() {
            self.warnings.push(format!(
                "{} is cut off: {} of its {} images are complete; those in use are among them",
                set.stacks[stack],
                reader.complete_slices(),
                reader.len()
            ));
        }
        for warning in reader.warnings() {
            self.warnings
                .push(format!("{}: {warning}", set.stacks[stack]));
        }
        Ok(())
    }

    /// Keep images of none but these particles: other ranks read the rest.
    pub fn drop_others(&mut self, particles: &[usize]) {
        let wanted: HashSet<usize> = particles.iter().copied().collect();
        let places = self.kept.iter_mut().flatten().enumerate();
        for (_, place) in places.filter(|(index, _)| !wanted.contains(index)) {
            place.take();
        }
    }

    /// Bytes of the image of particle `index` in its stack, and whether its pixels are 16-bit floats. Pixels of other kinds are
    /// turned into 32-bit floats.
    pub fn stored(&self, set: &ParticleSet, index: usize) -> (usize, bool) {
        let particle = &set.particles[index];
        let half = self.half[particle.stack];
        let pixel = if half { 2 } else { 4 };
        (pixel * pixel_count(set, particle), half)
    }

    /// Writes the image of particle `index` to `out`, which has the bytes of [`Self::stored`] and is aligned to pixels. An image that
    /// is read for the first time is not kept in memory by this (unless all are kept at once), since whoever asks has a place for it
    /// where it stays: new memory for it would cost more than the reading.
    pub fn read_stored(
        &self,
        set: &ParticleSet,
        index: usize,
        out: &mut [u8],
    ) -> Result<(), DatasetError> {
        let keeps = self.keeps_at_once || self.powers[index].get().is_some();
        if keeps && self.kept.is_some() {
            out.copy_from_slice(self.image(set, index)?.bytes());
            return Ok(());
        }
        self.checked(set, index, |reader, slice| {
            Pixels::read_to(reader, slice, out)
        })
        .map(drop)
    }

    /// Read and check the image of particle `index`.
    fn read(&self, set: &ParticleSet, index: usize) -> Result<Pixels<'static>, DatasetError> {
        let count = pixel_count(set, &set.particles[index]);
        self.checked(set, index, |reader, slice| {
            Pixels::read(reader, slice, count)
        })
    }

    /// Checks what `read` reads of the stack and slice of particle `index`.
    fn checked<'p>(
        &self,
        set: &ParticleSet,
        index: usize,
        read: impl FnOnce(&StackReader, usize) -> Result<Pixels<'p>, MrcError>,
    ) -> Result<Pixels<'p>, DatasetError> {
        let particle = &set.particles[index];
        let blame = |message: Message| DatasetError::from(message.about(set.describe(index)));
        let reader = self
            .open
            .reader(&self.paths, particle.stack)
            .map_err(|e| blame(Message::of(&e)))?;
        let pixels = read(&reader, particle.slice).map_err(|e| blame(Message::of(&e)))?;
        match flaw(&pixels, reader.shape().0) {
            None => {
                self.powers[index].get_or_init(|| power::of_image(&pixels.single()));
                Ok(pixels)
            }
            Some(flaw) if self.original_is_good(particle, pixel_count(set, particle)) => {
                Err(blame(Code::SCRATCH.says(format!(
                    "{flaw} in its copy {} on the scratch disk, but not in the stack that was copied: the copy was written to, \
                     or the disk is failing. Remove the copy, or leave out --scratch_dir",
                    self.paths[particle.stack].display()
                ))))
            }
            Some(flaw) => Err(blame(Code::BAD_IMAGE.says(format!(
                "{flaw}; remove this particle from the STAR file, extract it again, or let such particles be left out \
                 (--reject_limit)"
            )))),
        }
    }
}

/// Pixels of the image of a particle, by its optics group.
fn pixel_count(set: &ParticleSet, particle: &Particle) -> usize {
    set.optics[particle.optics_group].box_size.pow(2)
}

/// Returns the particles of each stack in slice order.
fn particles_of_stacks(set: &ParticleSet) -> Vec<Vec<usize>> {
    let mut of_stack = vec![Vec::new(); set.stacks.len()];
    for (index, particle) in set.particles.iter().enumerate() {
        of_stack[particle.stack].push(index);
    }
    for particles in &mut of_stack {
        particles.sort_by_key(|&index| set.particles[index].slice);
    }
    of_stack
}

#[cfg(test)]
mod tests;
