//! A new run, from its input to its first iteration.

use super::first_references::{self, FirstReferences, FirstRule};
use super::initial_noise::{self, NoiseRule};
use super::input_checks::{Input, read_input, warn_all};
use super::references::References;
use super::{
    Beginning, disable_scale_of_one_group, half_sets, open_images, scratch, tell_of_images,
    unusable_images,
};
use crate::comm::Ranks;
use crate::dataset::{ImageStore, ParticleSet, fingerprints};
use crate::geometry::sampling::Sampling;
use crate::maximization::initial::{self, MapPowers};
use crate::model::{ClassModel, Model};
use crate::refinement::checkpoint::{OriginalSampling, overwritten};
use crate::refinement::cli::console::{self, Console};
use crate::refinement::cli::phase::Phase;
use crate::refinement::cli::stage_log::Stage;
use crate::refinement::error::RunError;
use crate::refinement::job::{Job, uniform_directions};
use crate::refinement::parallel::broadcast::broadcast_map;
use crate::refinement::parallel::workers::{StopSign, agree};
use crate::refinement::schedule::gradient_iterations;
use crate::refinement::settings::Settings;
use crate::refinement::state::RunState;
use crate::refinement::steps::external;
use crate::refinement::warnings::at_end;
use crate::refinement::warnings::contrast;
use ndarray::Array3;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Reads everything that a new run needs, estimates the noise and low-passes the references. `stop` may stop the run.
/// A collective.
///
/// # Errors
/// Any input that cannot be used.
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
    let noise = noise_and_low_pass(&mut opened, seed, ranks, console, stop)?;
    let mut job = agree(ranks, first_job(opened, seed, &noise, ranks))?;
    if ranks.leads() {
        job.alarms.first_reference = at_end::first_reference(&job);
    }
    let contrast = match ranks.leads() && job.settings.reference.is_some() {
        true => contrast::check_showing(&job, console, stop),
        false => Ok(None),
    };
    warn_all(console, agree(ranks, contrast)?.as_slice());
    Ok(job)
}

/// Input whose particles are those that will be aligned, with half-sets and images.
struct Opened {
    input: Input,
    images: ImageStore,
    /// Of the references, pixels.
    box_size: usize,
    /// Of the references, Å.
    pixel_size: f64,
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
    tell_of_images(&images, console);
    overwritten::check_files(settings, 0, "a stack of --i", images.stacks())?;
    overwritten::check_places(settings, 0)?;
    Ok(Opened {
        box_size: input.references[0].box_size(),
        pixel_size: input.references[0].pixel_size,
        input,
        images,
    })
}

/// Noise spectra of the optics groups; meanwhile the references are low-passed, unless they are made from nothing. A
/// collective.
fn noise_and_low_pass(
    opened: &mut Opened,
    seed: u32,
    ranks: &Ranks,
    console: &Console,
    stop: &StopSign,
) -> Result<Vec<Vec<f64>>, RunError> {
    if opened.input.settings.from_nothing().is_some() {
        return initial_noise(opened, seed, ranks, console, stop);
    }
    let settings = opened.input.settings.clone();
    let mut references = std::mem::take(&mut opened.input.references);
    let (noise, ()) = rayon::join(
        || initial_noise(opened, seed, ranks, console, stop),
        || references.iter_mut().for_each(|r| low_pass(r, &settings)),
    );
    opened.input.references = references;
    noise
}

fn first_job(
    opened: Opened,
    seed: u32,
    noise: &[Vec<f64>],
    ranks: &Ranks,
) -> Result<Job, RunError> {
    let Opened { input, images, .. } = opened;
    let Input {
        mut settings,
        particles,
        references,
        sampling,
        solvent,
        regions,
        diameter,
    } = input;
    let dimensions = references[0].dimensions();
    let schedule =
        gradient_iterations::schedule(&mut settings, dimensions, particles.particles.len());
    let tau2_fudge = gradient_iterations::tau2_fudge(schedule.as_ref(), &settings, 0);
    let members = half_sets::members(&particles.particles, settings.split_random_halves);
    let mut powers = MapPowers::default();
    let mut models = Vec::new();
    for (list, reference) in members.iter().zip(references.iter().cycle()) {
        let mut model = initial_model(
            &settings, tau2_fudge, reference, &particles, list, noise, &sampling,
        )?;
        let fixed = settings.tau_spectrum.is_some();
        initial::initialize_spectra(&mut model, list.len(), fixed, &mut powers);
        models.push(model);
    }
    let mut state = RunState::new(seed);
    state.increment_size = settings.increment_size;
    state.references_ctf_corrected =
        !settings.ctf_uncorrected_reference || settings.from_nothing().is_some();
    state.references_made = settings.from_nothing().is_some();
    state.seeds_due = references[0].generate_seeds;
    if ranks.leads() {
        state.inputs = fingerprints::of_set(&particles, &images);
    }
    let beginning = Beginning {
        original_sampling: OriginalSampling::of(&sampling),
        order_iteration: 1,
        settings,
        particles,
        images,
        models,
        sampling,
        state,
        solvent,
        regions,
        diameter,
        schedule,
        tau2_fudge,
    };
    beginning.job(ranks)
}

fn seconds_since_epoch() -> u32 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(1, |d| d.as_secs() as u32)
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
    let shells = opened.box_size / 2 + 1;
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
            *maps = first.finish().into_iter().map(Arc::new).collect();
        }
        for map in maps {
            broadcast_map(ranks, 0, Arc::make_mut(map));
        }
    }
    Ok(spectra)
}

/// References to be made from nothing, if the run starts so.
fn first_references(input: &Input, seed: u32) -> Option<FirstReferences> {
    let settings = &input.settings;
    settings.from_nothing().map(|dimensions| {
        let references = &input.references[0];
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
    let Opened { input, images, .. } = opened;
    let Input {
        settings,
        particles: set,
        ..
    } = input;
    let rule = NoiseRule {
        box_size: opened.box_size,
        pixel_size: opened.pixel_size,
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

/// Filters the maps that a run starts from (`--ini_high`), each once however many classes and half-sets start from it. Not for
/// references from nothing, which have been filtered, and masked.
fn low_pass(references: &mut References, settings: &Settings) {
    let Some(filter) = settings.initial_filter(0, references.pixel_size) else {
        return;
    };
    let mut before: Option<[Arc<Array3<f64>>; 2]> = None;
    for map in &mut references.maps {
        let known = before.take().filter(|[from, _]| Arc::ptr_eq(from, map));
        let [from, filtered] = known.unwrap_or_else(|| [map.clone(), filter.on_host(map).into()]);
        *map = filtered.clone();
        before = Some([from, filtered]);
    }
}

/// The model of one half-set, its spectra still to be made.
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
    let class = |map: Arc<Array3<f64>>| ClassModel {
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
    let classes = references.maps.iter().cloned().map(class).collect();
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
    Ok(model)
}
