//! From options to a run that is ready for its first iteration (spec 01 §0.2, §2; spec 02 §4.0).

pub(crate) mod first_references;
pub mod half_sets;
pub(crate) mod initial_low_pass;
pub mod initial_noise;
pub(crate) mod input_checks;
pub mod references;
pub(crate) mod regions;
pub(crate) mod scratch;
pub mod solvent_masks;
pub(crate) mod starting_poses;
pub(crate) mod unusable_images;

use crate::comm::Ranks;
use crate::dataset::{ImageStore, ParticleSet};
use crate::expectation::ExpectationOptions;
use crate::fourier::shape::Dimensions;
use crate::geometry::{
    Matrix3, prior::LocalSearch, random::CRandom, sampling::Sampling, symmetry::PointGroup,
};
use crate::maximization::{MaximizationOptions, initial};
use crate::model::local_symmetry::LocalSymmetry;
use crate::model::{ClassModel, Model};
use crate::refinement::checkpoint::OriginalSampling;
use crate::refinement::checkpoint::resume;
use crate::refinement::cli::console::{self, Console};
use crate::refinement::cli::phase::Phase;
use crate::refinement::cli::stage_log::Stage;
use crate::refinement::error::RunError;
use crate::refinement::job::{Job, uniform_directions};
use crate::refinement::memory::host_memory;
use crate::refinement::parallel::broadcast::broadcast_map;
use crate::refinement::parallel::workers::{StopSign, agree};
use crate::refinement::schedule::gradient_iterations;
use crate::refinement::schedule::local_search_width;
use crate::refinement::settings::Settings;
use crate::refinement::settings::class_averages;
use crate::refinement::settings::gradient_options;
use crate::refinement::settings::lengths;
use crate::refinement::start_up::first_references::{FirstReferences, FirstRule};
use crate::refinement::start_up::initial_noise::NoiseRule;
use crate::refinement::start_up::input_checks::{
    Input, UNSEEDED, check_columns, check_ctf, drop_corrected_ctf, group_names, read_input,
    warn_all,
};
use crate::refinement::start_up::references::References;
use crate::refinement::start_up::regions::RegionFiles;
use crate::refinement::start_up::solvent_masks::Solvent;
use crate::refinement::state::RunState;
use crate::refinement::steps::external;
use crate::refinement::warnings::at_end;
use crate::refinement::warnings::contrast;
use crate::refinement::warnings::mismatch::Alarms;
use ndarray::Array3;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Read everything a fresh run needs, estimate the noise and low-pass the references. `stop` may stop the run.
/// A collective.
pub fn fresh(
    settings: Settings,
    ranks: &Ranks,
    console: &Console,
    stop: &StopSign,
) -> Result<Job, RunError> {
    agree(
        ranks,
        external::check(&settings.maps).map_err(RunError::from),
    )?;
    // Clocks differ between machines.
    let mut seed = [f64::from(
        settings.random_seed.unwrap_or_else(seconds_since_epoch),
    )];
    ranks.broadcast(0, &mut seed);
    let seed = seed[0] as u32;
    let title = " Reading particles, references and masks ...";
    let phase = Phase::begin(console, Stage::ReadInput, None, title, 0);
    let mut input = agree(
        ranks,
        read_input(settings, ranks.place_on_host().1, console),
    )?;
    drop(phase);
    input.particles = unusable_images::leave_out_unusable(
        input.particles,
        &input.settings,
        ranks,
        console,
        stop,
    )?;
    let mut opened = agree(ranks, open(input, seed, ranks, console))?;
    scratch::copy(
        &mut opened.images,
        &opened.input.settings,
        ranks,
        console,
        stop,
    )?;
    let noise = initial_noise(&mut opened, seed, ranks, console, stop)?;
    let mut job = agree(ranks, first_job(opened, seed, &noise, ranks))?;
    if ranks.leads() {
        job.alarms.first_reference = at_end::first_reference(&job);
    }
    let contrast = match ranks.leads() && job.settings.reference.is_some() {
        true => check_contrast(&job, console, stop),
        false => Ok(None),
    };
    warn_all(console, agree(ranks, contrast)?.as_slice());
    Ok(job)
}

/// Returns a warning where the contrast of images and reference seems to differ.
fn check_contrast(
    job: &Job,
    console: &Console,
    stop: &StopSign,
) -> Result<Option<String>, RunError> {
    let total = contrast::images(job);
    let title = " Comparing the contrast of images and reference ...";
    let phase = Phase::begin(console, Stage::CheckContrast, None, title, total);
    let found = contrast::check(job, &mut |done| {
        phase.set(done);
        stop.check()
    });
    phase.set(total);
    found
}

/// Input whose particles are those that will be aligned, with half-sets and images.
struct Opened {
    input: Input,
    images: ImageStore,
}

fn open(mut input: Input, seed: u32, ranks: &Ranks, console: &Console) -> Result<Opened, RunError> {
    let Input {
        settings,
        particles,
        ..
    } = &mut input;
    disable_scale_of_one_group(settings, particles, console);
    if settings.split_random_halves {
        let same_image = particles.first_with_same_image();
        let found = half_sets::assign(&mut particles.particles, &same_image, seed)
            .map_err(|why| why.about(settings.particles.display()))?;
        console.say(&found.to_string());
        warn_all(console, &half_sets::warnings(particles, &same_image));
    }
    let images = open_images(particles, settings.preread_images, ranks)?;
    Ok(Opened { input, images })
}

fn first_job(
    opened: Opened,
    seed: u32,
    noise: &[Vec<f64>],
    ranks: &Ranks,
) -> Result<Job, RunError> {
    let Opened { input, images } = opened;
    let Input {
        mut settings,
        particles,
        references,
        sampling,
        solvent,
        regions,
        diameter,
    } = input;
    let (box_size, pixel_size) = (references[0].box_size(), references[0].pixel_size);
    let dimensions = references[0].dimensions();
    let schedule =
        gradient_iterations::schedule(&mut settings, dimensions, particles.particles.len());
    let fudge = gradient_iterations::tau2_fudge(schedule.as_ref(), &settings, 0);
    let members = half_sets::members(&particles.particles, settings.split_random_halves);
    let mut models = Vec::new();
    for (list, reference) in members.iter().zip(references.iter().cycle()) {
        models.push(initial_model(
            &settings, fudge, reference, &particles, list, noise, &sampling,
        )?);
    }
    let mut state = RunState::new(seed);
    state.increment_size = settings.increment_size;
    state.references_ctf_corrected =
        !settings.ctf_uncorrected_reference || settings.from_nothing().is_some();
    state.references_made = settings.from_nothing().is_some();
    state.seeds_due = references[0].generate_seeds;
    let mut job = Job {
        expectation: expectation_options(&settings, diameter, box_size, seed, ranks),
        maximization: maximization_options(&settings, fudge, box_size),
        operators: operators(&settings, dimensions)?,
        fixed_tau2: settings.tau_spectrum.is_some(),
        original_sampling: OriginalSampling::of(&sampling),
        orders: members,
        order_iteration: 1,
        unfiltered: Vec::new(),
        unmasked: Vec::new(),
        alarms: Alarms::default(),
        local_symmetry: local_symmetry(&settings, box_size, pixel_size)?,
        regions: regions.regions,
        fsc_mask: regions.fsc_mask,
        gradient: schedule,
        settings,
        particles,
        images,
        models,
        sampling,
        state,
        solvent,
    };
    gradient_iterations::prepare(&mut job);
    start_local_searches(&mut job);
    Ok(job)
}

/// A run as its optimiser file left it. Its notices are the caller's to print.
pub fn resumed(
    resumed: resume::Resumed,
    ranks: &Ranks,
    console: &Console,
) -> Result<Job, RunError> {
    let resume::Resumed {
        mut settings,
        state,
        particles,
        models,
        mut sampling,
        original_sampling,
        order_iteration,
        exact,
        ..
    } = resumed;
    if sampling.in_plane {
        class_averages::check(&settings)?;
    }
    external::check(&settings.maps)?;
    check_columns(&settings, &particles)?;
    drop_corrected_ctf(&mut settings, &particles.optics, console);
    check_ctf(&settings, &particles, console)?;
    let (box_size, pixel_size) = (models[0].box_size, models[0].pixel_size);
    lengths::check_resolutions(&settings, box_size as f64 * pixel_size)?;
    let diameter = lengths::particle_diameter(&settings, box_size, pixel_size, console)?;
    disable_scale_of_one_group(&mut settings, &particles, console);
    let images = open_images(&particles, settings.preread_images, ranks)?;
    let (solvent, warnings) = Solvent::read(
        &mut settings,
        &models[0].classes[0].map,
        pixel_size,
        diameter,
    )?;
    warn_all(console, &warnings);
    let reference = &models[0].classes[0].map;
    let regions = RegionFiles::read(&mut settings, &particles, reference, pixel_size)?;
    warn_all(console, &regions.warnings);
    if models.len() == 2 {
        let same_image = particles.first_with_same_image();
        warn_all(console, &half_sets::warnings(&particles, &same_image));
    }
    if !exact {
        sampling.perturbation = 0.0;
        sampling.perturb(&mut CRandom::new(UNSEEDED));
    }
    let seed = state.random_seed;
    let dimensions = models[0].dimensions();
    let schedule =
        gradient_iterations::schedule(&mut settings, dimensions, particles.particles.len());
    let fudge = gradient_iterations::tau2_fudge(schedule.as_ref(), &settings, state.iteration);
    let mut job = Job {
        expectation: expectation_options(&settings, diameter, box_size, seed, ranks),
        maximization: maximization_options(&settings, fudge, box_size),
        operators: operators(&settings, dimensions)?,
        fixed_tau2: settings.tau_spectrum.is_some(),
        orders: half_sets::members(&particles.particles, models.len() == 2),
        unfiltered: Vec::new(),
        unmasked: Vec::new(),
        alarms: Alarms::default(),
        local_symmetry: local_symmetry(&settings, box_size, pixel_size)?,
        regions: regions.regions,
        fsc_mask: regions.fsc_mask,
        gradient: schedule,
        settings,
        particles,
        images,
        models,
        sampling,
        original_sampling,
        state,
        solvent,
        order_iteration,
    };
    gradient_iterations::prepare(&mut job);
    start_local_searches(&mut job);
    Ok(job)
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

fn seconds_since_epoch() -> u32 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(1, |d| d.as_secs() as u32)
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

/// Noise spectra of the optics groups, and references where they are made from nothing. The first rank works them out. A
/// collective.
fn initial_noise(
    opened: &mut Opened,
    seed: u32,
    ranks: &Ranks,
    console: &Console,
    stop: &StopSign,
) -> Result<Vec<Vec<f64>>, RunError> {
    let shells = opened.input.references[0].box_size() / 2 + 1;
    let mut first = first_references(&opened.input, seed);
    let estimated = match ranks.leads() {
        true => estimate_noise(opened, first.as_mut(), console, stop),
        false => Ok(vec![vec![0.0; shells]; opened.input.particles.optics.len()]),
    };
    let mut spectra = agree(ranks, estimated)?;
    for spectrum in &mut spectra {
        ranks.broadcast(0, spectrum);
    }
    if let Some(first) = first {
        let maps = &mut opened.input.references[0].maps;
        if ranks.leads() {
            *maps = first.finish();
        }
        for map in maps {
            broadcast_map(ranks, 0, map);
        }
    }
    Ok(spectra)
}

/// References to be made from nothing, if the run starts so.
fn first_references(input: &Input, seed: u32) -> Option<FirstReferences> {
    let (settings, references) = (&input.settings, &input.references[0]);
    settings.from_nothing().map(|dimensions| {
        let (box_size, pixel_size) = (references.box_size(), references.pixel_size);
        FirstReferences::new(FirstRule {
            dimensions,
            classes: settings.classes,
            box_size,
            pixel_size,
            padding: settings.padding,
            resolution: first_references::resolution(settings, box_size, pixel_size),
            particle_diameter: input.diameter,
            mask_edge: settings.mask_edge,
            ctf: settings.ctf.then_some(settings.ctf_flags),
            blobs: settings.initial_blobs,
            seed,
        })
    })
}

fn estimate_noise(
    opened: &Opened,
    first: Option<&mut FirstReferences>,
    console: &Console,
    stop: &StopSign,
) -> Result<Vec<Vec<f64>>, RunError> {
    let Opened { input, images } = opened;
    let Input {
        settings,
        particles: set,
        references,
        ..
    } = input;
    let rule = NoiseRule {
        box_size: references[0].box_size(),
        pixel_size: references[0].pixel_size,
        particle_diameter: input.diameter,
        mask_edge: settings.mask_edge,
        zero_mask: settings.zero_mask,
        check_norm: settings.check_norm,
        particles: settings.noise_particles,
    };
    let given = match &settings.sigma_spectrum {
        Some(path) => {
            let spectrum =
                initial_noise::read_spectrum(path, "rlnSigma2Noise", rule.box_size / 2 + 1)?;
            Some(vec![spectrum; set.optics.len()])
        }
        None => None,
    };
    if let (Some(spectra), None) = (&given, &first) {
        return Ok(spectra.clone());
    }
    console.say(&console::estimating_noise(rule.particles));
    let order = half_sets::members(&set.particles, settings.split_random_halves).concat();
    let mut first = first;
    let mut see = |seen: initial_noise::Seen| match &mut first {
        Some(first) => first.add(set, &seen),
        None => Ok(()),
    };
    let looks = 2 * order.len().min(rule.particles * set.optics.len());
    let title = " Reading images for the noise spectra ...";
    let phase = Phase::begin(console, Stage::InitialNoise, None, title, looks);
    let mut poll = |looks: usize| {
        phase.set(looks);
        stop.check()
    };
    let estimate = initial_noise::estimate(set, images, &order, &rule, &mut poll, &mut see)?;
    phase.set(looks);
    drop(phase);
    if let Some(spectra) = given {
        return Ok(spectra);
    }
    warn_all(console, &estimate.warnings);
    for (group, spectrum) in set.optics.iter().zip(&estimate.spectra) {
        if spectrum.iter().all(|&v| v <= 0.0) {
            console.warn(&format!(
                " + WARNING: optics group {} has no particles, hence no noise spectrum.",
                group.name
            ));
        }
    }
    Ok(estimate.spectra)
}

fn initial_model(
    settings: &Settings,
    tau2_fudge: f64,
    references: &References,
    set: &ParticleSet,
    members: &[usize],
    noise: &[Vec<f64>],
    sampling: &Sampling,
) -> Result<Model, RunError> {
    let box_size = references.box_size();
    let shells = box_size / 2 + 1;
    let fixed_tau2 = initial_noise::fixed_tau2(settings, shells)?;
    let k = references.maps.len();
    // References from nothing have been filtered, and masked.
    let filter = settings.initial_filter(0, references.pixel_size);
    let filter = filter.filter(|_| settings.from_nothing().is_none());
    let filtered = |map: &Array3<f64>| match filter {
        Some(filter) => filter.on_host(map),
        None => map.clone(),
    };
    let class = |map: Array3<f64>| ClassModel {
        map,
        fraction: 1.0 / k as f64,
        tau2: fixed_tau2.clone().unwrap_or_else(|| vec![0.0; shells]),
        sigma2: vec![0.0; shells],
        ssnr: vec![0.0; shells],
        coverage: vec![0.0; shells],
        fsc: vec![0.0; shells],
        orientability: None,
        direction_prior: Vec::new(),
        offset_prior: [0.0; 2],
        accuracy_rotations: 0.0,
        accuracy_translations: 0.0,
        moments: None,
    };
    let classes = if references.generate_seeds {
        vec![class(filtered(&references.maps[0])); k]
    } else {
        references.maps.iter().map(|m| class(filtered(m))).collect()
    };
    let mut group_particles = vec![0; set.scale_groups.len()];
    for &i in members {
        group_particles[set.particles[i].scale_group] += 1;
    }
    let mut model = Model {
        box_size,
        pixel_size: references.pixel_size,
        padding: settings.padding,
        tau2_fudge,
        classes,
        noise: noise.to_vec(),
        scales: vec![1.0; set.scale_groups.len()],
        group_particles,
        average_norm: 1.0,
        sigma2_offset: settings.initial_sigma_offset.powi(2),
        average_pmax: 0.0,
        log_likelihood: 0.0,
        current_resolution: 0.0,
        current_size: 0,
        local_search: None,
    };
    uniform_directions(&mut model, sampling.directions.len());
    initial::initialize_spectra(&mut model, members.len(), fixed_tau2.is_some());
    Ok(model)
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
