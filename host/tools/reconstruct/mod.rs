//! A map from particles whose orientations are known, as `relion_reconstruct` makes it (spec 06 §8).

mod ewald;
mod slices;
mod target;

pub use ewald::EwaldSettings;

use crate::comm::memory;
use crate::dataset::examine;
use crate::dataset::{DatasetError, ImageStore, ParticleSet, ReadOptions};
use crate::device::DeviceError;
use crate::errors::{Code, Coded, Message, wrapping_error};
use crate::formats::mrc::{MrcError, write_map};
use crate::formats::replace::check_map_output;
use crate::formats::star::{Document, StarError, Table};
use crate::fourier::masks::for_each_radius;
use crate::fourier::shape::{Dimensions, VolumeShape, gridding_factor};
use crate::fourier::shells::ceil;
use crate::fourier::sums::Sums;
use crate::geometry::symmetry::{PointGroup, SymmetryError};
use crate::maximization::{
    MaximizationError, MaximizationOptions, density_compensation_bytes, volumes,
};
use crate::optics::{CtfFlags, plausible};
use ndarray::Array3;
use std::path::{Path, PathBuf};
use target::{Source, Target};

/// Largest figure of merit: some programs count up to 100.
const MOST_MERIT: f64 = 1000.0;

/// Largest even box of a map, voxels.
const LARGEST_BOX: usize = 4096;

wrapping_error! {
    /// Error of a reconstruction: on which file or particle, why, what to try.
    pub enum ReconstructError {
        /// Particles or their images.
        Particles(DatasetError),
        /// The map.
        Map(MrcError),
        /// The file of the FSC.
        Star(StarError),
        /// The point group.
        Symmetry(SymmetryError),
        /// Weights that cannot be divided by.
        Maximization(MaximizationError),
        /// Cards.
        Device(DeviceError),
    }
}

/// Correction for the microscope.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Correction {
    /// Nothing: images are added as they are.
    None,
    /// The contrast transfer function (`--ctf`).
    Ctf(CtfFlags),
    /// The curvature of the Ewald sphere as well (`--ewald`).
    Ewald(CtfFlags, EwaldSettings),
}

/// Options of a reconstruction.
#[derive(Debug, Clone)]
pub struct ReconstructSettings {
    /// Particle file.
    pub input: PathBuf,
    /// Map to write.
    pub output: PathBuf,
    /// Point group.
    pub symmetry: String,
    /// `--maxres`, Å; None: to the edge of the transform.
    pub resolution: Option<f64>,
    /// Padding factor.
    pub padding: f64,
    /// Half-set (`--subset`).
    pub half: Option<u8>,
    /// `--class`.
    pub class: Option<usize>,
    /// Å per voxel of the map; None: per pixel of the first optics group.
    pub pixel_size: Option<f64>,
    /// `--newbox`, voxels; None: that of the first particle.
    pub box_size: Option<usize>,
    /// CTF and curvature.
    pub correction: Correction,
    /// STAR file with the FSC that weighs shells against noise (`--fsc`).
    pub fsc: Option<PathBuf>,
    /// Multiply by `rlnParticleFigureOfMerit`.
    pub figure_of_merit: bool,
    /// Rounds of density compensation (`--dont_skip_gridding`); None: direct division.
    pub gridding_iterations: Option<usize>,
    /// Shells from which on pixels go to the nearest voxel instead of being interpolated (`--NN`, `--r_min_nn`).
    pub nearest: Option<f64>,
    /// Cards that add up the slices and make the map (`--gpu`, as in `relion_refine`); None: the processor does.
    pub gpu: Option<String>,
}

/// Results of a reconstruction.
#[derive(Debug, Clone)]
pub struct Reconstructed {
    /// Particles in the map.
    pub particles: usize,
    /// Box, voxels.
    pub box_size: usize,
    /// Å per voxel.
    pub pixel_size: f64,
    /// Resolution up to which there is something in it, Å.
    pub resolution: f64,
    /// Oddities that were tolerated, for the user.
    pub warnings: Vec<String>,
    /// Names of the cards that were used.
    pub cards: Vec<String>,
}

/// Reconstructs a map and writes it. `progress` is told the number of particles done and of all.
///
/// # Errors
/// Files cannot be read or written; a column is missing; no particle is left; the point group is unknown; values of options
/// make no sense.
pub fn run(
    settings: &ReconstructSettings,
    progress: impl FnMut(usize, usize),
) -> Result<Reconstructed, ReconstructError> {
    settings.check()?;
    let mut inputs = vec![settings.input.as_path()];
    inputs.extend(settings.fsc.as_deref());
    check_map_output(&inputs, &settings.output)?;
    let group = PointGroup::parse(&settings.symmetry)?;
    let set = read_particles(settings)?;
    let mut oddities = set.require_poses("a reconstruction")?;
    let chosen = chosen(settings, &set)?;
    let pixel_size = settings.pixel_size.unwrap_or(set.optics[0].pixel_size);
    let box_size = settings.box_size.unwrap_or_else(|| {
        let first = &set.particles[chosen[0]];
        set.optics[first.optics_group].box_size
    });
    let of_images = set.optics[0].pixel_size;
    oddities.extend(other_pixels(pixel_size, of_images));
    let r_max = settings.largest_shell(box_size, pixel_size, &mut oddities)?;
    let shape = VolumeShape::new(Dimensions::Three, box_size, settings.padding, 2 * r_max);
    if settings.gpu.is_none() {
        check_memory(&shape, settings)?;
    }
    let fsc = match &settings.fsc {
        Some(path) => Some(read_fsc(path, box_size)?),
        None => None,
    };
    oddities.extend(plausible::check_all(
        &set,
        settings.correction != Correction::None,
    )?);
    let images = ImageStore::open(&set, false)?;
    let stacks: Vec<&Path> = images.stacks().collect();
    check_map_output(&stacks, &settings.output)?;
    let source = Source {
        set: &set,
        images: &images,
        figures: match settings.figure_of_merit {
            true => Some(figures(&set)?),
            false => None,
        },
    };
    let mut target = Target::new(settings, shape)?;
    if settings.gpu.is_some() && target.cards().is_empty() {
        check_memory(&shape, settings)?;
    }
    source.add_to(
        &mut target,
        &chosen,
        pixel_size,
        &settings.correction,
        progress,
    )?;
    let cards = target.cards();
    let (mut sums, left_out) = target.into_sums()?;
    let moved = volumes::symmetrise(&mut sums, group.operators())?;
    let map = to_map(sums, fsc.as_deref(), settings)?;
    write_map(&settings.output, map.mapv(|v| v as f32).view(), pixel_size)?;
    let power = examine::power_warning(
        &set,
        images.powers(),
        "The map may show little else: remove them, and reconstruct again.",
    );
    let moved = moved
        .map(|step| format!("the cards have no room for the {step}: it is done on the processor"));
    let warnings = [
        &set.warnings,
        &oddities,
        images.notices(),
        images.warnings(),
        power.as_slice(),
        &left_out,
        moved.as_slice(),
    ];
    Ok(Reconstructed {
        particles: chosen.len(),
        box_size,
        pixel_size,
        // Finer voxels show no more than the images do.
        resolution: (box_size as f64 * pixel_size / r_max as f64).max(2.0 * of_images),
        warnings: warnings.concat(),
        cards,
    })
}

impl ReconstructSettings {
    fn check(&self) -> Result<(), Message> {
        let refuse = |option: &str, value: String, must: &str| {
            Err(Code::BAD_VALUE.says(format!("{option} is {value}, but must be {must}")))
        };
        if !(1.0..=8.0).contains(&self.padding) {
            return refuse("--pad", self.padding.to_string(), "from 1 to 8");
        }
        if let Some(n) = self.box_size
            && (!(8..=LARGEST_BOX).contains(&n) || n % 2 != 0)
        {
            let must = format!("an even number of voxels from 8 to {LARGEST_BOX}");
            return refuse("--newbox", n.to_string(), &must);
        }
        if self.gpu.is_some() && self.nearest.is_some() {
            return Err(Code::UNSUPPORTED_OPTION.says(
                "--NN works on the processor only, as in RELION; leave out --gpu, or interpolate linearly",
            ));
        }
        let Correction::Ewald(_, ewald) = &self.correction else {
            return Ok(());
        };
        if !(1..=90).contains(&ewald.sectors) {
            return refuse("--sectors", ewald.sectors.to_string(), "from 1 to 90");
        }
        if ewald.mask_edge.is_nan() || ewald.mask_edge < 0.0 {
            let edge = ewald.mask_edge.to_string();
            return refuse("--width_mask_edge", edge, "0 or more pixels");
        }
        if ewald.mask_diameter.is_none() && (ewald.masked || ewald.weighted) {
            return Err(Code::MISSING_OPTION.says(
                "--ewald masks the images and weighs their pixels by the diameter of the particle: give it in Å with \
                 --mask_diameter, or turn both off with --skip_mask and --skip_weighting",
            ));
        }
        Ok(())
    }
}

impl ReconstructSettings {
    /// Returns the last shell of the map, in a box of so many voxels (of Å), and adds a warning where `--maxres` asks for more.
    fn largest_shell(
        &self,
        box_size: usize,
        pixel_size: f64,
        oddities: &mut Vec<String>,
    ) -> Result<usize, Message> {
        let Some(resolution) = self.resolution else {
            return Ok(box_size / 2);
        };
        let (extent, nyquist) = (box_size as f64 * pixel_size, 2.0 * pixel_size);
        if resolution > extent {
            return Err(Code::BAD_VALUE.says(format!(
                "--maxres {resolution} is beyond the width of the box ({extent:.1} Å), so that nothing would be left of the map. It is in \
                 Å, as 10: give a smaller number."
            )));
        }
        if resolution < 0.999 * nyquist {
            oddities.push(format!(
                "--maxres {resolution} Å is beyond the limit of the pixels of the map ({nyquist:.2} Å), which is taken"
            ));
        }
        let shell = ceil(extent / resolution).max(1);
        Ok((shell as usize).min(box_size / 2))
    }
}

/// Voxels of a map that are finer or coarser than the pixels of the images by more than this factor are hardly meant.
const USUAL_RESAMPLING: f64 = 4.0;

/// Returns a warning about a map with other pixels (Å) than the images have.
fn other_pixels(of_map: f64, of_images: f64) -> Option<String> {
    let factor = (of_map / of_images).max(of_images / of_map);
    (factor > USUAL_RESAMPLING).then(|| {
        format!("the voxels of the map have {of_map} Å (--angpix), but the pixels of the images {of_images} Å: is that meant?")
    })
}

/// Reads the particles. The pixel size of the map is that of the images only where their file does not tell theirs.
fn read_particles(settings: &ReconstructSettings) -> Result<ParticleSet, DatasetError> {
    let read = |pixel_size| {
        let options = ReadOptions {
            pixel_size,
            need_ctf: settings.correction != Correction::None,
        };
        ParticleSet::read(&settings.input, &options)
    };
    match read(None) {
        Err(error) if error.code() == Code::PIXEL_SIZE && settings.pixel_size.is_some() => {
            read(settings.pixel_size)
        }
        read => read,
    }
}

/// Returns the particles of the half-set and class that are asked for.
fn chosen(settings: &ReconstructSettings, set: &ParticleSet) -> Result<Vec<usize>, Message> {
    if settings.half.is_some() {
        set.require("--subset", "rlnRandomSubset", Code::STAR_CONTENT)?;
    }
    if settings.class.is_some() {
        set.require("--class", "rlnClassNumber", Code::STAR_CONTENT)?;
    }
    let particles = set.particles.iter().enumerate();
    let chosen: Vec<usize> = particles
        .filter(|(_, p)| settings.half.is_none_or(|half| p.half == half))
        .filter(|(_, p)| settings.class.is_none_or(|class| p.class == class))
        .map(|(index, _)| index)
        .collect();
    match chosen.is_empty() {
        false => Ok(chosen),
        true => Err(Code::NO_PARTICLES.says(format!(
            "{}: none of the {} particles is in the half-set and class of --subset and --class; look at rlnRandomSubset and \
             rlnClassNumber",
            settings.input.display(),
            set.particles.len()
        ))),
    }
}

/// Refuses sums that do not fit the memory that is free.
fn check_memory(shape: &VolumeShape, settings: &ReconstructSettings) -> Result<(), Message> {
    refuse_beyond(memory::free(1, Path::new("/")), shape, settings)
}

/// As [`check_memory`], where so many bytes are free.
fn refuse_beyond(
    free: Option<usize>,
    shape: &VolumeShape,
    settings: &ReconstructSettings,
) -> Result<(), Message> {
    let gridding = settings.gridding_iterations.is_some();
    // Data and weight in double precision; the map is made when they shrink.
    let mut needed = 24 * shape.voxels();
    if gridding {
        needed += density_compensation_bytes(shape);
    }
    let Some(free) = free.filter(|free| needed > *free) else {
        return Ok(());
    };
    let gib = |bytes: usize| bytes as f64 / f64::from(1 << 30);
    let (arrays, advice) = match gridding {
        true => (
            " and the arrays of --dont_skip_gridding",
            "Leave out --dont_skip_gridding, give",
        ),
        false => ("", "Give"),
    };
    Err(Code::OUT_OF_MEMORY.says(format!(
        "the sums of a map of {} voxels per side{arrays} take {:.1} GiB, and {:.1} GiB of memory are free. {advice} --pad 1, a lower \
         --maxres or a smaller --newbox, or take a machine with more memory",
        shape.box_size,
        gib(needed),
        gib(free)
    )))
}

/// Returns the map of the symmetrised sums, weighed by an FSC where there is one.
fn to_map(
    sums: Sums,
    fsc: Option<&[f64]>,
    settings: &ReconstructSettings,
) -> Result<Array3<f64>, ReconstructError> {
    let shape = *sums.shape();
    let options = MaximizationOptions {
        box_size: shape.box_size,
        tau2_fudge: 1.0,
        regularise: fsc.is_some(),
        minres_map: 0,
        gridding_iterations: settings.gridding_iterations,
    };
    let mut map = volumes::map_of(sums, fsc, &options)?;
    if settings.nearest == Some(0.0) {
        // Without any linear interpolation the correction is sinc, not sinc² (spec 02 §2.4 step 6).
        for_each_radius(&mut map, |r, v| {
            *v *= gridding_factor(r, shape.box_size, shape.padding).sqrt();
        });
    }
    Ok(map)
}

/// Reads the figures of merit, which images are multiplied by.
fn figures(set: &ParticleSet) -> Result<Vec<f64>, ReconstructError> {
    let figures = set.real_column("rlnParticleFigureOfMerit")?;
    let possible = |figure: &f64| (0.0..=MOST_MERIT).contains(figure);
    match figures.iter().position(|figure| !possible(figure)) {
        None => Ok(figures),
        Some(index) => Err(Code::STAR_VALUE
            .says(format!(
                "its rlnParticleFigureOfMerit is {}, which --fom_weighting would multiply the image by: it lies between 0 and about 1. \
                 Correct it, or leave the option out",
                figures[index]
            ))
            .about(set.describe(index))
            .into()),
    }
}

/// Reads FSC values per shell 0…N/2; shells that the file does not name count as 0.
fn read_fsc(path: &Path, box_size: usize) -> Result<Vec<f64>, ReconstructError> {
    const LABELS: [&str; 2] = ["rlnSpectralIndex", "rlnGoldStandardFsc"];
    let document = Document::read(path)?;
    let holds = |table: &&Table| LABELS.iter().all(|label| table.has(label));
    let Some(table) = document.tables.iter().find(holds) else {
        return Err(Code::STAR_CONTENT
            .says(format!(
                "{}: no table has both rlnSpectralIndex and rlnGoldStandardFsc, which --fsc needs; give the _model.star file of \
                 a half-set",
                path.display()
            ))
            .into());
    };
    let mut curve = vec![0.0; box_size / 2 + 1];
    let shells = table.integer_column(LABELS[0])?;
    for (row, (shell, fsc)) in shells
        .into_iter()
        .zip(table.real_column(LABELS[1])?)
        .enumerate()
    {
        let known = usize::try_from(shell).ok().and_then(|s| curve.get_mut(s));
        let Some(place) = known else {
            return Err(Code::STAR_VALUE
                .says(format!(
                    "{}, {}: there is no shell {shell} in a map of {box_size} voxels a side; the FSC is that of another box",
                    path.display(),
                    table.place(row, LABELS[0])
                ))
                .into());
        };
        if !(-1.001..=1.001).contains(&fsc) {
            return Err(Code::STAR_VALUE
                .says(format!(
                    "{}, {}: the FSC is {fsc}, but correlations lie between -1 and 1; give the _model.star file of a half-set",
                    path.display(),
                    table.place(row, LABELS[1])
                ))
                .into());
        }
        *place = fsc;
    }
    Ok(curve)
}

#[cfg(test)]
mod tests;
