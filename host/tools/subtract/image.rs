//! One image without the signal that is not wanted, moved to its new centre (spec 06 §9.1).

use super::SubtractError;
use super::finished_run::{FinishedRun, RunModel};
use crate::dataset::{OpticsGroup, Particle, ParticleSet};
use crate::errors::{Code, Message};
use crate::expectation::signal::SignalInImages;
use crate::fourier::reference::{ReferenceVolume, prepare};
use crate::fourier::shells::round;
use crate::fourier::window::window_image;
use crate::geometry::euler;
use crate::optics::Ctf;
use ndarray::Array3;

/// Transforms of what is subtracted: per half-set, per class.
pub(super) struct Signal(Vec<Vec<ReferenceVolume>>);

impl Signal {
    /// References without what lies under the mask; without a mask the whole references.
    pub(super) fn new(run: &FinishedRun, keep: Option<&Array3<f64>>) -> Self {
        let volume = |model: &RunModel, map: &Array3<f64>| {
            let unwanted = match keep {
                Some(keep) => map * &keep.mapv(|m| 1.0 - m),
                None => map.clone(),
            };
            prepare(&unwanted, model.padding, model.current_size, None).volume
        };
        let of_model = |model: &RunModel| -> Vec<ReferenceVolume> {
            model.maps.iter().map(|map| volume(model, map)).collect()
        };
        Self(run.models.iter().map(of_model).collect())
    }
}

/// A changed image and the origin that it has now.
pub(super) struct Subtracted {
    /// Pixels, row-major.
    pub pixels: Vec<f32>,
    /// Offset (Å) of a particle that was centred anew.
    pub origin: Option<[f64; 2]>,
}

/// Data that all images of an optics group share.
pub(super) struct GroupSubtraction<'a> {
    run: &'a FinishedRun,
    signal: &'a Signal,
    set: &'a ParticleSet,
    group: &'a OpticsGroup,
    /// How references appear in the images; of every model.
    in_images: Vec<SignalInImages>,
    /// Take the first class whatever the particle's.
    ignore_class: bool,
    /// New centre, voxels from the centre of the map (x, y, z).
    centre: Option<[f64; 3]>,
    /// Box of the new images, pixels.
    pub new_box: usize,
}

/// Options for all images.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// `--ignore_class`.
    pub ignore_class: bool,
    /// New centre, voxels from the centre of the map (x, y, z).
    pub centre: Option<[f64; 3]>,
    /// Box of the new images, pixels; None: as it is.
    pub new_box: Option<usize>,
}

impl<'a> GroupSubtraction<'a> {
    /// For optics group `number` of a set.
    pub(super) fn new(
        run: &'a FinishedRun,
        signal: &'a Signal,
        set: &'a ParticleSet,
        number: usize,
        wanted: Wanted,
    ) -> Result<Self, SubtractError> {
        let group = &set.optics[number];
        let n = group.box_size;
        let new_box = wanted.new_box.unwrap_or(n);
        if new_box > n {
            return Err(Code::BAD_VALUE
                .says(format!(
                    "--new_box is {new_box} pixels, but the images of optics group '{}' have {n}; give no more than that",
                    group.name
                ))
                .into());
        }
        let in_images = |model: &RunModel| {
            let (size, pixel_size) = (model.box_size, model.pixel_size);
            SignalInImages::new(&set.optics, number, size, pixel_size, model.padding)
        };
        let in_images = run.models.iter().map(in_images);
        Ok(Self {
            run,
            signal,
            set,
            group,
            in_images: in_images
                .collect::<Result<_, _>>()
                .map_err(|e| Message::of(&e))?,
            ignore_class: wanted.ignore_class,
            centre: wanted.centre,
            new_box,
        })
    }

    /// Subtracts the signal from the image of a particle, and moves and crops it.
    pub(super) fn of(
        &self,
        particle: &Particle,
        image: &[f32],
    ) -> Result<Subtracted, SubtractError> {
        let n = self.group.box_size;
        let half = self.half(particle)?;
        let model = &self.run.models[half];
        let unwanted = self.unwanted(particle, half)?;
        let factor = match self.run.norm && particle.norm > 0.0 {
            true => (model.average_norm / particle.norm) as f32,
            false => 1.0,
        };
        let pixels = image.iter().zip(unwanted);
        let mut pixels: Vec<f32> = pixels.map(|(v, signal)| v * factor - signal).collect();
        let origin = self.centre.map(|centre| {
            let (shift, origin) = self.recentred(particle, model, centre);
            pixels = wrapped(&pixels, n, shift);
            origin
        });
        Ok(Subtracted {
            pixels: window_image(&pixels, n, self.new_box),
            origin,
        })
    }

    /// Index of the model of a particle.
    fn half(&self, particle: &Particle) -> Result<usize, Message> {
        match (self.run.models.len(), particle.half) {
            (1, _) => Ok(0),
            (_, 1 | 2) => Ok(usize::from(particle.half) - 1),
            _ => Err(Code::HALF_SETS.says(format!(
                "{}: the run refined half-sets apart, and the particle is in neither of them (rlnRandomSubset); give the \
                 particles of the run",
                self.set.describe(particle.id)
            ))),
        }
    }

    /// Signal that is subtracted, as an image.
    fn unwanted(&self, particle: &Particle, half: usize) -> Result<Vec<f32>, SubtractError> {
        let model = &self.run.models[half];
        let class = match self.ignore_class || particle.class == 0 {
            true => 1,
            false => particle.class,
        };
        let Some(reference) = self.signal.0[half].get(class - 1) else {
            return Err(Code::RUN_FILES_DIFFER
                .says(format!(
                    "{}: the particle is in class {class} (rlnClassNumber), but the run has {} classes; give the particles of \
                     the run, or --ignore_class",
                    self.set.describe(particle.id),
                    model.maps.len()
                ))
                .into());
        };
        let ctf = match self.run.ctf {
            true => Some(
                Ctf::new(&particle.ctf, self.group, self.run.flags)
                    .map_err(|e| Message::of(&e).about(self.set.describe(particle.id)))?,
            ),
            false => None,
        };
        let scale = match self.run.scale {
            true => model.scale(&self.set.scale_groups[particle.scale_group].name)?,
            false => 1.0,
        };
        Ok(self.in_images[half].image(particle, reference, ctf.as_ref(), scale))
    }

    /// Whole pixels by which the image is moved, and the offset (Å) that is left.
    fn recentred(
        &self,
        particle: &Particle,
        model: &RunModel,
        centre: [f64; 3],
    ) -> ([i64; 2], [f64; 2]) {
        let pixel_size = self.group.pixel_size;
        let a = euler::matrix(particle.rot, particle.tilt, particle.psi);
        let projected = euler::apply(&a, centre.map(|c| c * model.pixel_size / pixel_size));
        let v: [f64; 2] = std::array::from_fn(|i| particle.origin[i] / pixel_size - projected[i]);
        let shift = v.map(round);
        let left = std::array::from_fn(|i| (v[i] - shift[i] as f64) * pixel_size);
        (shift, left)
    }
}

/// Moves an image by whole pixels, out(r) = in(r − shift), what leaves on one side coming in on the other.
fn wrapped(image: &[f32], n: usize, shift: [i64; 2]) -> Vec<f32> {
    let [x_from, y_from]: [Vec<usize>; 2] = shift.map(|s| {
        (0..n as i64)
            .map(|i| (i - s).rem_euclid(n as i64) as usize)
            .collect()
    });
    let rows = y_from.iter().map(|y| &image[y * n..(y + 1) * n]);
    rows.flat_map(|row| x_from.iter().map(move |&x| row[x]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_wrap() {
        let image: Vec<f32> = (0..36).map(|v| v as f32).collect();
        let moved = wrapped(&image, 6, [1, -2]);
        assert_eq!(moved[0], image[2 * 6 + 5]);
        assert_eq!(moved[5 * 6 + 1], image[6]);
        assert_eq!(wrapped(&image, 6, [7, 4]), moved);
    }
}
