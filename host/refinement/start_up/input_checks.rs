//! Input of a fresh run other than its images, and the checks that do without them.

use crate::dataset::{OpticsGroup, ParticleSet, ReadOptions};
use crate::errors::{Code, Message};
use crate::fourier::shape::{Dimensions, VolumeShape};
use crate::geometry::{random::CRandom, sampling::Sampling, symmetry::PointGroup};
use crate::model::map_checks;
use crate::optics::{mtf::MtfCorrection, plausible};
use crate::refinement::cli::console::Console;
use crate::refinement::error::RunError;
use crate::refinement::memory::host_plan::{self, HostPlan};
use crate::refinement::settings::class_averages;
use crate::refinement::settings::lengths;
use crate::refinement::settings::local_search;
use crate::refinement::settings::{DEFAULT_OFFSET_RANGE, DEFAULT_OFFSET_STEP, Settings};
use crate::refinement::start_up::first_references;
use crate::refinement::start_up::references::{self, References};
use crate::refinement::start_up::regions::RegionFiles;
use crate::refinement::start_up::solvent_masks::Solvent;
use crate::refinement::start_up::starting_poses;
use std::path::PathBuf;

/// HEALPix order, range and step (pixels) of translations when none is given.
const DEFAULT_ORDER: u32 = 2;

/// Seed that the C library starts from: the first perturbation is drawn before the run's own seed is set.
pub(crate) const UNSEEDED: u32 = 1;

/// Input of a fresh run other than its images.
pub(crate) struct Input {
    pub settings: Settings,
    pub particles: ParticleSet,
    pub references: Vec<References>,
    pub sampling: Sampling,
    pub solvent: Solvent,
    pub regions: RegionFiles,
    /// D, Å.
    pub diameter: f64,
}

/// Read and check them.
///
/// `ranks`: how many processes share the machine's memory.
pub(crate) fn read_input(
    mut settings: Settings,
    ranks: usize,
    console: &Console,
) -> Result<Input, RunError> {
    let particles = ParticleSet::read(
        &settings.particles,
        &ReadOptions {
            pixel_size: settings.pixel_size,
            need_ctf: settings.ctf,
        },
    )?;
    warn_all(console, &particles.warnings);
    if particles.particles.is_empty() {
        return Err(Code::NO_PARTICLES
            .says(format!(
                "{}: the particle table is empty, so there is nothing to refine. Give the file with the particles.",
                settings.particles.display()
            ))
            .into());
    }
    check_columns(&settings, &particles)?;
    drop_corrected_ctf(&mut settings, &particles.optics, console);
    check_ctf(&settings, &particles, console)?;
    warn_all(console, &settings.gradient.warnings(&settings));
    let room = RoomOfRun {
        settings: &settings,
        particles: &particles,
        ranks,
    };
    let references = read_references(&settings, &particles.optics[0], &room)?;
    tell_references(&references, &settings, console);
    let box_size = references[0].box_size();
    let pixel_size = references[0].pixel_size;
    warn_all(
        console,
        local_search::coarse_offsets(&settings, pixel_size).as_slice(),
    );
    lengths::check_resolutions(&settings, box_size, box_size as f64 * pixel_size)?;
    settings.classes = references[0].maps.len();
    let dimensions = references[0].dimensions();
    if dimensions == Dimensions::Two {
        class_averages::check(&settings)?;
        warn_all(console, &class_averages::warnings(&settings));
    }
    if settings.split_random_halves && settings.classes > 1 {
        return Err(Code::CONFLICTING_OPTIONS.says(format!(
            "gold-standard half-sets need a single class, but there are {}. Use --K 1, or leave out --auto_refine \
             and --split_random_halves.",
            settings.classes
        )).into());
    }
    if settings.from_nothing().is_some() {
        settings.initial_low_pass = Some(first_references::resolution(
            &settings, box_size, pixel_size,
        ));
    }
    let diameter = lengths::particle_diameter(&settings, box_size, pixel_size, console)?;
    if settings.from_nothing().is_none() {
        let reference = &references[0].maps[0];
        let beyond = map_checks::sphere(reference, diameter / (2.0 * pixel_size));
        warn_all(console, beyond.as_slice());
    }
    let sampling = sampling(&settings, dimensions, box_size, pixel_size)?;
    // Local searches and fixed orientations have few samples, and are planned as they come.
    let local = settings.skip_align
        || settings.skip_rotate
        || (settings.auto_refine && sampling.healpix_order >= settings.auto_local_healpix_order)
        || settings.sigma_angles.iter().any(|&s| s > 0.0);
    let samples = host_plan::samples(&sampling, settings.classes, !local);
    let halves = 1 + usize::from(settings.split_random_halves);
    let on_host = settings.gpu.is_none();
    HostPlan::new(
        settings.classes,
        halves,
        settings.volume_shapes(dimensions, box_size),
        on_host,
        samples,
    )
    .check(host_plan::free(ranks))?;
    warn_all(
        console,
        &starting_poses::check(&settings, &sampling, &particles)?,
    );
    let (solvent, warnings) =
        Solvent::read(&mut settings, &references[0].maps[0], pixel_size, diameter)?;
    warn_all(console, &warnings);
    let reference = &references[0].maps[0];
    let regions = RegionFiles::read(&mut settings, &particles, reference, pixel_size)?;
    warn_all(console, &regions.warnings);
    Ok(Input {
        settings,
        particles,
        references,
        sampling,
        solvent,
        regions,
        diameter,
    })
}

/// Tells what was done to references, and how many were listed.
fn tell_references(references: &[References], settings: &Settings, console: &Console) {
    for half in references {
        warn_all(console, &half.warnings);
    }
    if let (true, Some(path)) = (references[0].listed, &settings.reference) {
        console.say(&format!(
            " K = {}: one class for each reference of {}",
            references[0].maps.len(),
            path.display()
        ));
    }
}

/// Limits on the references: as many classes as particles, and references that fit into memory.
struct RoomOfRun<'a> {
    settings: &'a Settings,
    particles: &'a ParticleSet,
    /// Processes that share the machine's memory.
    ranks: usize,
}

impl references::Room for RoomOfRun<'_> {
    fn holds_classes(&self, classes: usize) -> Result<(), Message> {
        let count = self.particles.particles.len();
        if classes <= count {
            return Ok(());
        }
        let of = self.settings.particles.display();
        Err(match &self.settings.reference {
            Some(path) if classes != self.settings.classes => Code::REFERENCE_LIST.says(format!(
                "{}: the file holds {classes} references, and each of them is a class, which are more than there are particles \
                 ({count} in {of}). Give a file with fewer references, or one image of a stack as number@{}.",
                path.display(),
                path.display()
            )),
            _ => Code::BAD_VALUE.says(format!(
                "--K {classes} asks for more classes than there are particles ({count} in {of}). Give a smaller number."
            )),
        })
    }

    fn holds_references(&self, classes: usize, dimensions: Dimensions) -> Result<(), Message> {
        let box_size = self.particles.optics[0].box_size;
        let shape = VolumeShape::new(dimensions, box_size, self.settings.padding, 0);
        let maps = HostPlan::new(classes, 1, [shape; 2], false, 0.0);
        maps.check(host_plan::free(self.ranks))
    }
}

pub(crate) fn warn_all(console: &Console, warnings: &[String]) {
    for warning in warnings {
        console.warn(&format!(" + WARNING: {warning}"));
    }
}

/// Checks that files named in columns exist and that their content is supported.
pub(crate) fn check_columns(settings: &Settings, set: &ParticleSet) -> Result<(), RunError> {
    MtfCorrection::new(&set.optics, 0)?;
    if settings.auto_refine && set.has_column("rlnReconstructImageName") {
        return Err(Code::PARTICLE_KIND.says(format!(
            "{}: the column rlnReconstructImageName names other images for the last reconstruction, which this program \
             does not offer. Remove the column, and reconstruct from these images with the final poses by another \
             program.",
            set.source().display()
        )).into());
    }
    Ok(())
}

/// Images that are already CTF corrected switch the CTF off for all.
pub(crate) fn drop_corrected_ctf(
    settings: &mut Settings,
    optics: &[OpticsGroup],
    console: &Console,
) {
    if settings.ctf && optics.iter().any(|group| group.ctf_corrected) {
        settings.ctf = false;
        console.warn(
            " + WARNING: rlnCtfDataAreCtfCorrected says that the images are CTF corrected already: --ctf is switched off.",
        );
    }
}

/// Impossible CTF parameters end the run, improbable ones are told.
pub(crate) fn check_ctf(
    settings: &Settings,
    set: &ParticleSet,
    console: &Console,
) -> Result<(), RunError> {
    warn_all(console, &plausible::check_all(set, settings.ctf)?);
    Ok(())
}

/// References of each half: the same for both, unless the file name says `half1` or `half2` in a gold-standard run.
fn read_references(
    settings: &Settings,
    group: &OpticsGroup,
    room: &RoomOfRun,
) -> Result<Vec<References>, RunError> {
    let mut own = settings.clone();
    let name = settings
        .reference
        .as_ref()
        .map(|path| path.to_string_lossy().into_owned())
        .unwrap_or_default();
    let tagged = name.contains("half1") || name.contains("half2");
    if !(settings.split_random_halves && tagged) {
        return Ok(vec![references::read(settings, group, room)?]);
    }
    let mut both = Vec::new();
    for (tag, other) in [("half1", "half2"), ("half2", "half1")] {
        own.reference = Some(PathBuf::from(name.replace(other, tag)));
        both.push(references::read(&own, group, room)?);
    }
    if both[0].box_size() != both[1].box_size() {
        return Err(Code::REFERENCE_LIST.says(format!(
            "the references of the two halves have boxes of {} and {} pixels ({name} and its counterpart). They must be equal: give two half maps of one run.",
            both[0].box_size(),
            both[1].box_size()
        )).into());
    }
    Ok(both)
}

/// Names of the point groups, one a class.
pub(crate) fn group_names(settings: &Settings) -> Result<Vec<String>, RunError> {
    let names: Vec<String> = settings
        .symmetry
        .split(',')
        .map(|name| name.trim().to_string())
        .collect();
    if names.len() > 1 && names.len() != settings.classes {
        return Err(Code::CONFLICTING_OPTIONS.says(format!(
            "--sym {} names {} point groups, but --K is {}. Give one point group for all classes, or one for each.",
            settings.symmetry,
            names.len(),
            settings.classes
        )).into());
    }
    Ok(names)
}

/// The grid at the start; classes of different symmetry are searched without any.
pub(crate) fn sampling(
    settings: &Settings,
    dimensions: Dimensions,
    box_size: usize,
    pixel_size: f64,
) -> Result<Sampling, RunError> {
    let range = settings.offset_range.unwrap_or(DEFAULT_OFFSET_RANGE);
    let step = settings.offset_step.unwrap_or(DEFAULT_OFFSET_STEP);
    lengths::check_offsets([range, step], box_size)?;
    let names = group_names(settings)?;
    let symmetry = PointGroup::parse(if names.len() > 1 { "C1" } else { &names[0] })?;
    let order = settings.healpix_order.unwrap_or(DEFAULT_ORDER);
    let psi_step = settings.psi_step.unwrap_or(-1.0);
    let (range, step) = (range * pixel_size, step * pixel_size);
    let perturbation = match settings.skip_align || settings.skip_rotate {
        true => 0.0,
        false => settings.perturbation,
    };
    let mut sampling = match dimensions {
        Dimensions::Two => Sampling::in_plane(order, psi_step, range, step, perturbation),
        Dimensions::Three => Sampling::new(
            order,
            psi_step,
            symmetry,
            settings.limit_tilt,
            range,
            step,
            perturbation,
        ),
    };
    if let (Dimensions::Three, Some(name)) = (dimensions, &settings.relaxed_symmetry) {
        sampling = sampling.relaxing(PointGroup::parse(name)?);
    }
    if settings.only_sample_tilt {
        if dimensions == Dimensions::Two {
            return Err(Code::CONFLICTING_OPTIONS
                .says(
                    "--only_sample_tilt searches the tilt of a map, and the references are class averages, which have none. Give a map \
                     with --ref, or leave the option out.",
                )
                .into());
        }
        sampling = sampling.of_tilts();
    }
    if sampling.directions.is_empty() {
        let (limit, symmetry) = (settings.limit_tilt, &settings.symmetry);
        // Limits beyond 90° are none.
        let text = match limit.abs() > 90.0 {
            true => format!(
                "no viewing direction is left: none of HEALPix order {} lies in the asymmetric unit of --sym {symmetry}. Give a larger \
                 --healpix_order.",
                sampling.healpix_order
            ),
            false => format!(
                "no viewing direction is left: --limit_tilt {limit} and --sym {symmetry} exclude all of them. Leave out --limit_tilt, or \
                 widen it."
            ),
        };
        return Err(Code::NO_ORIENTATIONS.says(text).into());
    }
    sampling.perturb(&mut CRandom::new(UNSEEDED));
    Ok(sampling)
}
