//! Particles without the signal of a part of their structure, as `relion_particle_subtract` makes them (spec 06 §9.1).

mod finished_run;
mod image;
mod revert;

pub use revert::revert;

use super::density::read_mask;
use crate::dataset::examine;
use crate::dataset::particle_checks::norm_fault;
use crate::dataset::{DatasetError, ImageStore, ParticleSet, ReadOptions};
use crate::errors::{Code, Message, wrapping_error};
use crate::formats::mrc::{MrcError, StackMode, StackWriter};
use crate::formats::replace::check_output;
use crate::formats::star::{Document, StarError, Value};
use crate::optics::plausible;
use finished_run::FinishedRun;
use image::{GroupSubtraction, Signal, Subtracted, Wanted};
use ndarray::Array3;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// Images that are worked on at a time.
const BATCH: usize = 512;
/// Particle file that is written.
const TABLE: &str = "particles_subtracted.star";

wrapping_error! {
    /// Error of a subtraction: on which file or particle, why, what to try.
    pub enum SubtractError {
        /// Particles or their images.
        Particles(DatasetError),
        /// A map or an image stack.
        Map(MrcError),
        /// Files of the run.
        Star(StarError),
    }
}

/// Where the new images are centred.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Centre {
    /// Where they were.
    Kept,
    /// The centre of mass of the mask (`--recenter_on_mask`).
    Mask,
    /// Voxels from the centre of the map (`--center_x`, `--center_y`, `--center_z`).
    At([f64; 3]),
}

/// Options of a subtraction.
#[derive(Debug, Clone)]
pub struct SubtractSettings {
    /// Optimiser file of the run.
    pub optimiser: PathBuf,
    /// Folder for the new particles.
    pub folder: PathBuf,
    /// Mask of what is kept; None: nothing is.
    pub mask: Option<PathBuf>,
    /// Particle file other than that of the run.
    pub data: Option<PathBuf>,
    /// Subtract class 1 from all particles.
    pub ignore_class: bool,
    /// New centre.
    pub centre: Centre,
    /// Box of the new images, pixels; None: as it is.
    pub new_box: Option<usize>,
    /// Write 16-bit floats.
    pub half_precision: bool,
}

impl SubtractSettings {
    /// Returns a warning about a new box that is odd.
    fn odd_box(&self) -> Option<String> {
        let odd = self.new_box.filter(|n| n % 2 != 0)?;
        Some(format!(
            "--new_box {odd} is odd, and boxes are even: the new images have {} pixels a side.",
            odd - 1
        ))
    }
}

/// Results of a subtraction.
#[derive(Debug, Clone)]
pub struct SubtractedParticles {
    /// The particle file.
    pub star: PathBuf,
    /// Number of images.
    pub particles: usize,
    /// New centre, voxels from the centre of the map.
    pub centre: Option<[f64; 3]>,
    /// Oddities that were tolerated, for the user.
    pub warnings: Vec<String>,
}

/// Subtracts the projections of what lies outside a mask from particles, and writes the new images and their particle file
/// (`particles_subtracted.star`). `progress` is told the number of images done and of all.
///
/// # Errors
/// Files cannot be read or written, do not belong together, or are of a kind that is not subtracted from.
pub fn run(
    settings: &SubtractSettings,
    mut progress: impl FnMut(usize, usize),
) -> Result<SubtractedParticles, SubtractError> {
    let run = FinishedRun::read(&settings.optimiser)?;
    let mut warnings = Vec::new();
    let mask = match &settings.mask {
        Some(path) => Some(keep_mask(path, &run, &mut warnings)?),
        None => None,
    };
    let wanted = Wanted {
        ignore_class: settings.ignore_class,
        centre: centre(settings, mask.as_ref(), run.models[0].box_size)?,
        // Boxes are even.
        new_box: settings.new_box.map(|n| n - n % 2),
    };
    warnings.extend(settings.odd_box());
    let data = settings.data.as_ref().unwrap_or(&run.data);
    let options = ReadOptions {
        pixel_size: None,
        need_ctf: run.ctf,
    };
    let set = ParticleSet::read(data, &options)?;
    warnings.extend(set.require_poses("a subtraction")?);
    check_norms(&set, &run)?;
    warnings.extend(plausible::check_all(&set, run.ctf)?);
    let images = ImageStore::open(&set, false)?;
    let of_images = images.notices().iter().chain(images.warnings());
    warnings.extend(set.warnings.iter().chain(of_images).cloned());
    let signal = Signal::new(&run, mask.as_ref());
    let folder = settings.folder.join("Particles");
    std::fs::create_dir_all(&folder).map_err(|e| {
        Code::CANNOT_WRITE.says(format!("cannot make the folder {}: {e}", folder.display()))
    })?;
    let stack_of = |group: usize| folder.join(format!("subtracted_opticsgroup{}.mrcs", group + 1));
    let mut sources: Vec<&Path> = images.stacks().collect();
    sources.extend([data.as_path(), &settings.optimiser]);
    // All of them before the first is written.
    for name in (0..set.optics.len()).map(stack_of) {
        check_output(&sources, &name)?;
    }
    check_output(&sources, &settings.folder.join(TABLE))?;
    let mut made = NewParticles::new(&set, &settings.folder);
    for group in 0..set.optics.len() {
        let of_group = |p: &&crate::dataset::Particle| p.optics_group == group;
        let members: Vec<usize> = set
            .particles
            .iter()
            .filter(of_group)
            .map(|p| p.id)
            .collect();
        if members.is_empty() {
            continue;
        }
        let subtraction = GroupSubtraction::new(&run, &signal, &set, group, wanted)?;
        let name = stack_of(group);
        let mode = match settings.half_precision {
            true => StackMode::Float16,
            false => StackMode::Float32,
        };
        let pixel_size = set.optics[group].pixel_size;
        let mut stack =
            StackWriter::create(&name, subtraction.new_box, members.len(), pixel_size, mode)?;
        let mut number = 0;
        for batch in members.chunks(BATCH) {
            let subtracted: Vec<Subtracted> = batch
                .par_iter()
                .map(|&index| {
                    let image = images.image(&set, index)?;
                    subtraction.of(&set.particles[index], &image.single())
                })
                .collect::<Result<_, SubtractError>>()?;
            for (&index, image) in batch.iter().zip(&subtracted) {
                stack.push(&image.pixels)?;
                number += 1;
                made.set(
                    index,
                    &format!("{number:08}@{}", name.display()),
                    image.origin,
                );
            }
            made.done += batch.len();
            progress(made.done, set.particles.len());
        }
        stack.finish()?;
    }
    let star = made.write(wanted)?;
    warnings.extend(examine::power_warning(
        &set,
        images.powers(),
        "Remove them before these particles are refined.",
    ));
    Ok(SubtractedParticles {
        star,
        particles: set.particles.len(),
        centre: wanted.centre,
        warnings,
    })
}

/// Refuses particles whose images would be divided by an absurd number.
fn check_norms(set: &ParticleSet, run: &FinishedRun) -> Result<(), Message> {
    // One of 0 or less stands for none.
    let mut divided = set.particles.iter().filter(|p| run.norm && p.norm > 0.0);
    let fault = divided.find_map(|p| Some((p.id, norm_fault(p.norm)?)));
    fault.map_or(Ok(()), |(index, fault)| {
        let message = Code::PARTICLE_VALUE.says(fault);
        Err(message.about(set.describe(index)))
    })
}

/// Reads the mask of what is kept; it has the box of the maps.
fn keep_mask(
    path: &Path,
    run: &FinishedRun,
    warnings: &mut Vec<String>,
) -> Result<Array3<f64>, SubtractError> {
    let mut mask = read_mask(path)?;
    let (n, found) = (run.models[0].box_size, mask.map.data.dim().0);
    if found != n {
        return Err(Code::MAP_SHAPE
            .says(format!(
                "{}: the mask has {found} voxels a side, the references have {n}; make the mask from a map of the run",
                path.display()
            ))
            .into());
    }
    mask.check_inside(path, run.models[0].pixel_size);
    warnings.append(&mut mask.warnings);
    Ok(mask.map.data.mapv(f64::from))
}

/// Returns the new centre, voxels from the centre of the map (x, y, z), which has so many voxels a side.
fn centre(
    settings: &SubtractSettings,
    mask: Option<&Array3<f64>>,
    side: usize,
) -> Result<Option<[f64; 3]>, Message> {
    match (settings.centre, mask) {
        (Centre::Kept, _) => Ok(None),
        (Centre::At(centre), _) if centre.iter().any(|c| c.abs() > side as f64 / 2.0) => {
            let [x, y, z] = centre;
            Err(Code::BAD_VALUE.says(format!(
                "the new centre ({x}, {y}, {z}) of --center_x, --center_y and --center_z lies outside the map of {side} voxels a \
                 side: it is in voxels from the centre of the map. Give smaller numbers."
            )))
        }
        (Centre::At(centre), _) => Ok(Some(centre)),
        (Centre::Mask, Some(mask)) => {
            let (mut moment, mut all) = ([0.0; 3], 0.0);
            let middle = (mask.dim().0 / 2) as f64;
            for ((z, y, x), value) in mask.indexed_iter() {
                all += value;
                for (moment, i) in moment.iter_mut().zip([x, y, z]) {
                    *moment += value * (i as f64 - middle);
                }
            }
            Ok(Some(moment.map(|m| m / all)))
        }
        (Centre::Mask, None) => Err(Code::CONFLICTING_OPTIONS.says(
            "--recenter_on_mask centres the images on the mask, and there is none; give --mask, or --center_x, --center_y and \
             --center_z",
        )),
    }
}

/// The table of the new particles.
struct NewParticles<'a> {
    set: &'a ParticleSet,
    folder: &'a Path,
    /// Name and offset of every image.
    images: Vec<(String, Option<[f64; 2]>)>,
    done: usize,
}

impl<'a> NewParticles<'a> {
    fn new(set: &'a ParticleSet, folder: &'a Path) -> Self {
        Self {
            set,
            folder,
            images: vec![(String::new(), None); set.particles.len()],
            done: 0,
        }
    }

    fn set(&mut self, index: usize, name: &str, origin: Option<[f64; 2]>) {
        self.images[index] = (name.to_owned(), origin);
    }

    /// Writes `particles_subtracted.star`: all columns, the new images and the names of the old ones.
    fn write(&self, wanted: Wanted) -> Result<PathBuf, SubtractError> {
        let (mut optics, mut particles) = self.set.tables();
        for (row, (name, origin)) in self.images.iter().enumerate() {
            let old = particles.text(row, "rlnImageName")?.to_owned();
            particles.set(row, "rlnImageOriginalName", Value::Text(old));
            particles.set(row, "rlnImageName", Value::Text(name.clone()));
            for (label, value) in ["rlnOriginXAngst", "rlnOriginYAngst"]
                .iter()
                .zip(origin.iter().flatten())
            {
                particles.set(row, label, Value::Real(*value));
            }
        }
        if wanted.centre.is_some() {
            for label in [
                "rlnOriginXPriorAngst",
                "rlnOriginYPriorAngst",
                "rlnOriginZPriorAngst",
            ] {
                particles.remove_column(label);
            }
        }
        if let Some(new_box) = wanted.new_box {
            for row in 0..optics.len() {
                optics.set(row, "rlnImageSize", Value::Integer(new_box as i64));
            }
        }
        let path = self.folder.join(TABLE);
        let document = Document {
            tables: vec![optics, particles],
            ..Document::default()
        };
        document.write(&path)?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests;
