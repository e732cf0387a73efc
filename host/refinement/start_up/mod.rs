//! From options to a run that is ready for its first iteration (spec 01 §0.2, §2; spec 02 §4.0).

mod continued_run;
pub(crate) mod first_references;
pub mod half_sets;
pub(crate) mod initial_low_pass;
pub mod initial_noise;
pub(crate) mod input_checks;
mod new_run;
pub mod references;
pub(crate) mod regions;
pub(crate) mod scratch;
pub mod solvent_masks;
pub(crate) mod starting_poses;
pub(crate) mod unusable_images;

pub use continued_run::resumed;
pub use new_run::fresh;

use crate::comm::Ranks;
use crate::dataset::{ImageStore, ParticleSet};
use crate::expectation::ExpectationOptions;
use crate::fourier::shape::Dimensions;
use crate::geometry::{Matrix3, prior::LocalSearch, sampling::Sampling, symmetry::PointGroup};
use crate::maximization::{MaximizationOptions, gradient::schedule::Schedule};
use crate::model::Model;
use crate::model::local_symmetry::LocalSymmetry;
use crate::refinement::checkpoint::OriginalSampling;
use crate::refinement::cli::console::Console;
use crate::refinement::error::RunError;
use crate::refinement::job::Job;
use crate::refinement::memory::host_memory;
use crate::refinement::schedule::{gradient_iterations, local_search_width};
use crate::refinement::settings::{Settings, gradient_options};
use crate::refinement::start_up::input_checks::group_names;
use crate::refinement::start_up::regions::RegionFiles;
use crate::refinement::start_up::solvent_masks::Solvent;
use crate::refinement::state::RunState;
use crate::refinement::warnings::mismatch::Alarms;
use std::path::{Path, PathBuf};

/// Everything that a run begins with, new or continued.
struct Beginning {
    settings: Settings,
    particles: ParticleSet,
    images: ImageStore,
    models: Vec<Model>,
    sampling: Sampling,
    original_sampling: OriginalSampling,
    order_iteration: usize,
    state: RunState,
    solvent: Solvent,
    regions: RegionFiles,
    /// Å.
    diameter: f64,
    schedule: Option<Schedule>,
    tau2_fudge: f64,
}

impl Beginning {
    /// Returns the run, ready for its next iteration.
    fn job(self, ranks: &Ranks) -> Result<Job, RunError> {
        let (settings, model) = (&self.settings, &self.models[0]);
        let (box_size, pixel_size) = (model.box_size, model.pixel_size);
        let seed = self.state.random_seed;
        let mut job = Job {
            expectation: expectation_options(settings, self.diameter, box_size, seed, ranks),
            maximization: maximization_options(settings, self.tau2_fudge, box_size),
            operators: operators(settings, model.dimensions())?,
            fixed_tau2: settings.tau_spectrum.is_some(),
            local_symmetry: local_symmetry(settings, box_size, pixel_size)?,
            orders: half_sets::members(&self.particles.particles, self.models.len() == 2),
            unfiltered: Vec::new(),
            unmasked: Vec::new(),
            alarms: Alarms::default(),
            regions: self.regions.regions,
            fsc_mask: self.regions.fsc_mask,
            gradient: self.schedule,
            settings: self.settings,
            particles: self.particles,
            images: self.images,
            models: self.models,
            sampling: self.sampling,
            original_sampling: self.original_sampling,
            state: self.state,
            solvent: self.solvent,
            order_iteration: self.order_iteration,
        };
        if job.sampling.only_tilt {
            job.expectation.oversampling = 0;
        }
        gradient_iterations::prepare(&mut job);
        start_local_searches(&mut job);
        Ok(job)
    }
}

/// Number of the last iteration of a classification, or the limit of an auto-refinement.
pub fn last_iteration(settings: &Settings) -> usize {
    const DEFAULT_ITERATIONS: usize = 50;
    if settings.auto_refine {
        return settings.auto_iter_max;
    }
    settings.iterations.unwrap_or(match settings.gradient.on {
        true => gradient_options::DEFAULT_ITERATIONS,
        false => DEFAULT_ITERATIONS,
    })
}

/// The images, kept in memory from their first use on where there is room.
fn open_images(
    particles: &ParticleSet,
    preread: bool,
    ranks: &Ranks,
) -> Result<ImageStore, RunError> {
    let mut images = ImageStore::open(particles, preread)?;
    // This rank reads its share of the images, and has its part of the machine's memory for them.
    let room = host_memory::image_budget(ranks.place_on_host().1, Path::new("/"));
    images.keep_within(particles, room.saturating_mul(ranks.size()));
    Ok(images)
}

/// Tells where images were found, and of oddities of their stacks.
fn tell_of_images(images: &ImageStore, console: &Console) {
    let notices = images.notices().iter();
    notices.for_each(|text| console.say(&format!(" {text}")));
    input_checks::warn_all(console, images.warnings());
}

fn disable_scale_of_one_group(settings: &mut Settings, set: &ParticleSet, console: &Console) {
    if settings.scale && set.scale_groups.len() <= 1 {
        settings.scale = false;
        console.warn(
            " + WARNING: all particles are in one group, so there is nothing to scale them against: --scale is switched off.",
        );
    }
}

/// Returns the operators of every class's point group, without the identity; class averages have none.
fn operators(settings: &Settings, dimensions: Dimensions) -> Result<Vec<Vec<Matrix3>>, RunError> {
    if dimensions == Dimensions::Two {
        return Ok(vec![Vec::new(); settings.classes]);
    }
    let names = group_names(settings)?;
    (0..settings.classes)
        .map(|class| {
            let name = names.get(class).unwrap_or(&names[0]);
            Ok(PointGroup::parse(name)?.operators().to_vec())
        })
        .collect()
}

fn local_symmetry(
    settings: &Settings,
    box_size: usize,
    pixel_size: f64,
) -> Result<Option<LocalSymmetry>, RunError> {
    let read = |path: &PathBuf| LocalSymmetry::read(path, box_size, pixel_size);
    Ok(settings
        .maps
        .local_symmetry
        .as_ref()
        .map(read)
        .transpose()?)
}

/// Local searches that the options ask for from the beginning: given widths, or an auto-refinement that starts at the
/// order of local searches.
fn start_local_searches(job: &mut Job) {
    let [rot, tilt, psi] = job.settings.sigma_angles;
    let order = job.sampling.healpix_order;
    let automatic = job.automatic_sampling() && order >= job.settings.auto_local_healpix_order;
    if [rot, tilt, psi].iter().all(|&s| s > 0.0)
        || (!automatic && (rot > 0.0 || tilt > 0.0 || psi > 0.0))
    {
        for model in &mut job.models {
            model.local_search = Some(LocalSearch {
                sigma_rot: rot,
                sigma_tilt: tilt,
                sigma_psi: psi,
            });
        }
        job.state.local_searches |= automatic;
    } else if automatic {
        job.state.local_searches = true;
        // Widths of the files of a continued run stay: the first of a relaxed symmetry are not those of the order.
        if job.models.iter().any(|model| model.local_search.is_none()) {
            job.search_locally(local_search_width(order, job.expectation.oversampling));
        }
    }
}

fn expectation_options(
    settings: &Settings,
    diameter: f64,
    box_size: usize,
    seed: u32,
    ranks: &Ranks,
) -> ExpectationOptions {
    let skips = settings.skip_align || settings.skip_rotate;
    ExpectationOptions {
        particle_diameter: diameter,
        mask_edge: settings.mask_edge,
        zero_mask: settings.zero_mask,
        ctf: settings.ctf,
        ctf_flags: settings.ctf_flags,
        norm: settings.norm,
        scale: settings.scale,
        oversampling: if skips { 0 } else { settings.oversampling },
        adaptive_fraction: settings.adaptive_fraction,
        max_significant: settings.max_significant,
        sigma2_fudge: settings.sigma2_fudge,
        skip_align: settings.skip_align,
        skip_rotate: settings.skip_rotate,
        no_map: settings.no_map,
        more_padding: settings.more_padding(),
        skip_maximize: settings.skip_maximize,
        random_seed: seed,
        memory_budget: match settings.deterministic {
            true => host_memory::wanted_budget(box_size),
            false => host_memory::engine_budget(box_size, ranks.place_on_host().1, Path::new("/")),
        },
    }
}

fn maximization_options(
    settings: &Settings,
    tau2_fudge: f64,
    box_size: usize,
) -> MaximizationOptions {
    MaximizationOptions {
        box_size,
        tau2_fudge,
        regularise: !settings.no_map,
        minres_map: settings.minres_map,
        gridding_iterations: settings.gridding_iterations,
    }
}
