//! Expected accuracies of orientations and offsets: how far a particle can be moved before the model of its image
//! changes noticeably against the noise (spec 01 §4.11, spec 02 §5.2). Image data are not used.

mod on_device;
mod places;

use crate::comm::Ranks;
use crate::dataset::{OpticsGroup, Particle};
use crate::errors::{Code, Coded};
use crate::expectation::slices::ImagePlane;
use crate::expectation::{ExpectationError, ExpectationOptions};
use crate::fourier::reference::{Reference, ReferenceVolume};
use crate::fourier::shape::Dimensions;
use crate::geometry::{Matrix3, euler, random::CRandom};
use crate::model::Model;
use crate::optics::Ctf;
use crate::refinement::error::RunError;
use crate::refinement::parallel::workers::agree;
use gpu::slice::{VolumeShape, slice_value};
use places::{Place, places};
use rayon::prelude::*;
use std::f64::consts::PI;

/// Difference at which an error is noticed, −ln 0.01.
const NOTICEABLE: f64 = 4.60517;
/// Particles that are tried with maps, and with class averages (spec 04 §6).
const TRIALS: [usize; 2] = [100, 10];
/// Classes with a smaller fraction are not tried.
const SMALLEST_CLASS: f64 = 0.01;
/// Accuracies of classes that are not tried (degrees and Å).
const UNKNOWN: f64 = 999.0;
/// The searches end here: degrees, pixels.
const LARGEST: [f64; 2] = [30.0, 10.0];

/// Expected accuracies of one class.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassAccuracy {
    /// Degrees.
    pub rotations: f64,
    /// Å.
    pub translations: f64,
    /// Share of each shell in what makes rotations noticeable; None when no trial found a limit.
    pub orientability: Option<Vec<f64>>,
}

/// Inputs of the estimate.
pub struct AccuracyInput<'a> {
    /// Ranks that divide the classes among them.
    pub ranks: &'a Ranks,
    /// Run options.
    pub options: &'a ExpectationOptions,
    /// Model of this half (of half 1 in gold-standard runs).
    pub model: &'a Model,
    /// One Fourier volume a class.
    pub references: &'a [Reference],
    /// Optics groups.
    pub optics: &'a [OpticsGroup],
    /// Box used per optics group.
    pub sizes: &'a [usize],
    /// Particles in processing order; the first are tried.
    pub particles: &'a [&'a Particle],
    /// Told of trials of particles that are done, with their number.
    pub progress: &'a (dyn Fn(usize) + Sync),
}

/// Returns the number of trials that an estimate with `classes` references and `particles` makes at most.
pub fn trials(dimensions: Dimensions, classes: usize, particles: usize) -> usize {
    classes * particles.min(trials_per_class(dimensions))
}

fn trials_per_class(dimensions: Dimensions) -> usize {
    let [of_maps, of_averages] = TRIALS;
    match dimensions {
        Dimensions::Two => of_averages,
        Dimensions::Three => of_maps,
    }
}

/// Accuracies of each class. Errors on unusable CTF parameters. A collective.
pub fn estimate(input: &AccuracyInput) -> Result<Vec<ClassAccuracy>, RunError> {
    let mut classes = agree(input.ranks, estimate_own(input))?;
    for (k, class) in classes.iter_mut().enumerate() {
        class.broadcast(input.ranks, input.ranks.owner(k));
    }
    Ok(classes)
}

/// Accuracies of the classes that this rank estimates; others are unknown.
fn estimate_own(input: &AccuracyInput) -> Result<Vec<ClassAccuracy>, RunError> {
    let most = trials_per_class(input.model.dimensions());
    let trials = &input.particles[..input.particles.len().min(most)];
    let mut classes = Vec::with_capacity(input.references.len());
    for (k, (class, reference)) in input.model.classes.iter().zip(input.references).enumerate() {
        if !input.ranks.owns(k) || class.fraction < SMALLEST_CLASS || trials.is_empty() {
            classes.push(ClassAccuracy {
                rotations: UNKNOWN,
                translations: UNKNOWN,
                orientability: None,
            });
            continue;
        }
        classes.push(match reference {
            Reference::Host(reference) => on_host(input, reference, trials)?,
            Reference::Device(on_device) => match on_device::estimate(input, on_device, trials) {
                Err(error) if error.code() == Code::DEVICE_FULL => {
                    let reference = reference.to_host().map_err(ExpectationError::from)?;
                    on_host(input, &reference, trials)?
                }
                found => found?,
            },
        });
    }
    Ok(classes)
}

fn on_host(
    input: &AccuracyInput,
    reference: &ReferenceVolume,
    trials: &[&Particle],
) -> Result<ClassAccuracy, RunError> {
    let found: Vec<Found> = trials
        .par_iter()
        .map(|particle| {
            let found = Trial::new(input, reference, particle)?.search();
            (input.progress)(1);
            Ok(found)
        })
        .collect::<Result<_, RunError>>()?;
    let mut spectrum = vec![0.0; input.model.box_size / 2 + 1];
    for one in found.iter().filter_map(|f| f.spectrum.as_ref()) {
        for (sum, v) in spectrum.iter_mut().zip(one) {
            *sum += v;
        }
    }
    let errors: Vec<[f64; 2]> = found.iter().map(|f| [f.rotation, f.translation]).collect();
    Ok(ClassAccuracy::of(&errors, &spectrum))
}

impl ClassAccuracy {
    /// Give all ranks the accuracies that rank `root` estimated. A collective.
    fn broadcast(&mut self, ranks: &Ranks, root: usize) {
        let mut angles = [self.rotations, self.translations];
        ranks.broadcast(root, &mut angles);
        [self.rotations, self.translations] = angles;
        let mut spectrum = self.orientability.take().unwrap_or_default();
        ranks.broadcast_list(root, &mut spectrum);
        self.orientability = (!spectrum.is_empty()).then_some(spectrum);
    }

    /// From the first noticeable rotation (degrees) and translation (Å) of each trial and the sum of their spectra.
    fn of(errors: &[[f64; 2]], spectrum: &[f64]) -> Self {
        let n = errors.len() as f64;
        let total: f64 = spectrum.iter().sum();
        Self {
            rotations: errors.iter().map(|e| e[0]).sum::<f64>() / n,
            translations: errors.iter().map(|e| e[1]).sum::<f64>() / n,
            orientability: (total > 0.0).then(|| spectrum.iter().map(|v| v / total).collect()),
        }
    }
}

/// First noticeable errors of one particle.
struct Found {
    /// Degrees.
    rotation: f64,
    /// Å.
    translation: f64,
    /// Contribution of each shell at the noticed rotation; None when the search ran out of range.
    spectrum: Option<Vec<f64>>,
}

struct Trial<'a> {
    particle: &'a Particle,
    group: &'a OpticsGroup,
    model: &'a Model,
    reference: &'a ReferenceVolume,
    shape: VolumeShape,
    places: Vec<Place>,
    /// C²/(2σ²) of each of them.
    weights: Vec<f64>,
    slice: Vec<[f32; 2]>,
    /// Uniform draw that picks the angle or axis to be moved.
    choice: f32,
    shells: usize,
}

impl<'a> Trial<'a> {
    fn new(
        input: &AccuracyInput<'a>,
        reference: &'a ReferenceVolume,
        particle: &'a Particle,
    ) -> Result<Self, RunError> {
        let group = &input.optics[particle.optics_group];
        let model = input.model;
        let places = places(input, particle.optics_group);
        let ctf = ctf_of(input, particle)?;
        let mut trial = Self {
            particle,
            group,
            model,
            reference,
            shape: reference.shape.for_kernels(),
            weights: places.iter().map(|p| p.weight(ctf.as_ref())).collect(),
            places,
            slice: Vec::new(),
            choice: choice(input, particle),
            shells: model.box_size / 2 + 1,
        };
        trial.slice = trial.cut(&turned(particle, model.dimensions(), 0.0, 0.0));
        Ok(trial)
    }

    fn search(&self) -> Found {
        let rotation = first_noticeable(rotation_step, LARGEST[0], |error| {
            self.rotated(error).iter().sum()
        });
        let translation =
            first_noticeable(translation_step, LARGEST[1], |error| self.shifted(error));
        Found {
            rotation,
            translation: translation * self.group.pixel_size,
            spectrum: (rotation <= LARGEST[0]).then(|| self.rotated(rotation)),
        }
    }

    /// Difference per shell after a rotation by `error` degrees.
    fn rotated(&self, error: f64) -> Vec<f64> {
        let dimensions = self.model.dimensions();
        let moved = self.cut(&turned(self.particle, dimensions, self.choice, error));
        let mut spectrum = vec![0.0; self.shells];
        let weighted = self.places.iter().zip(&self.weights);
        for (((place, weight), a), b) in weighted.zip(&self.slice).zip(&moved) {
            let (re, im) = (f64::from(a[0] - b[0]), f64::from(a[1] - b[1]));
            spectrum[place.shell] += weight * (re * re + im * im);
        }
        spectrum
    }

    /// Difference after a shift by `error` pixels: |1 − e^{iφ}|² = 2 − 2cos φ.
    fn shifted(&self, error: f64) -> f64 {
        let along_x = shifts_along_x(self.choice);
        let step = 2.0 * PI * error / self.group.box_size as f64;
        self.places
            .iter()
            .zip(&self.weights)
            .zip(&self.slice)
            .map(|((place, weight), a)| {
                let phase = step * f64::from(if along_x { place.x } else { place.y });
                let power = f64::from(a[0]) * f64::from(a[0]) + f64::from(a[1]) * f64::from(a[1]);
                weight * power * (2.0 - 2.0 * phase.cos())
            })
            .sum()
    }

    fn cut(&self, orientation: &Matrix3) -> Vec<[f32; 2]> {
        let plane = image_plane(self.reference.shape.padding, self.group, self.model);
        let axes = plane.axes(orientation);
        let volume: &[[f32; 2]] = bytemuck::cast_slice(&self.reference.data);
        self.places
            .iter()
            .map(|p| slice_value(volume, &self.shape, axes.position(p.x as f32, p.y as f32)))
            .collect()
    }
}

/// Uniform draw that picks the angle or axis to be moved, the same in every iteration.
fn choice(input: &AccuracyInput, particle: &Particle) -> f32 {
    let seed = input.options.random_seed.wrapping_add(particle.id as u32);
    CRandom::new(seed).uniform(0.0, 1.0)
}

/// The orientation of a particle with one angle off by `error` degrees; class averages have only psi.
fn turned(particle: &Particle, dimensions: Dimensions, choice: f32, error: f64) -> Matrix3 {
    let (mut rot, mut tilt, mut psi) = match dimensions {
        Dimensions::Two => (0.0, 0.0, particle.psi),
        Dimensions::Three => (particle.rot, particle.tilt, particle.psi),
    };
    match dimensions {
        Dimensions::Three if choice < 0.3333 => rot += error,
        Dimensions::Three if choice < 0.6667 => tilt += error,
        _ => psi += error,
    }
    euler::matrix(rot, tilt, psi)
}

fn shifts_along_x(choice: f32) -> bool {
    choice < 0.5
}

/// How slices along the orientations of a group's particles lie in a reference.
fn image_plane(padding: f64, group: &OpticsGroup, model: &Model) -> ImagePlane {
    ImagePlane::new(group, model.box_size, model.pixel_size, padding)
}

/// CTF of a particle; None without `--ctf`.
fn ctf_of(input: &AccuracyInput, particle: &Particle) -> Result<Option<Ctf>, RunError> {
    let group = &input.optics[particle.optics_group];
    let ctf = || Ctf::new(&particle.ctf, group, input.options.ctf_flags);
    Ok(input.options.ctf.then(ctf).transpose()?)
}

/// First error of the growing series whose difference is noticeable, or the first one beyond `largest`, untested.
fn first_noticeable(
    step: impl Fn(f64) -> f64,
    largest: f64,
    difference: impl Fn(f64) -> f64,
) -> f64 {
    series(step)
        .find(|&error| error > largest || difference(error) > NOTICEABLE)
        .expect("the series is endless")
}

/// Errors that are tried, one after the other.
fn series(step: impl Fn(f64) -> f64) -> impl Iterator<Item = f64> {
    let mut error = 0.0;
    std::iter::repeat_with(move || {
        error += step(error);
        error
    })
}

fn rotation_step(error: f64) -> f64 {
    match error {
        e if e < 0.2 => 0.05,
        e if e < 1.0 => 0.1,
        e if e < 2.0 => 0.2,
        e if e < 5.0 => 0.5,
        e if e < 10.0 => 1.0,
        e if e < 20.0 => 2.0,
        _ => 5.0,
    }
}

fn translation_step(error: f64) -> f64 {
    match error {
        e if e < 1.0 => 0.1,
        e if e < 2.0 => 0.2,
        e if e < 5.0 => 0.5,
        e if e < 10.0 => 1.0,
        _ => 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::star::Document;
    use crate::fourier::reference::prepare;
    use crate::refinement::checkpoint::resume;
    use crate::refinement::schedule::image_size::{self, SizeRule};
    use crate::refinement::schedule::replay::golden;
    use crate::refinement::start_up::half_sets;
    use std::path::Path;

    /// Steps are added in double precision as the reference program does, where ten steps of 0.1 are less than 1: every
    /// later trial lies 0.1 higher, and a search that finds nothing ends at 30.1° or 10.1 pixels.
    #[test]
    fn searches_that_find_nothing_end_just_out_of_range() {
        let never = |_: f64| 0.0;
        assert!((first_noticeable(rotation_step, 30.0, never) - 30.1).abs() < 1e-9);
        assert!((first_noticeable(translation_step, 10.0, never) - 10.1).abs() < 1e-9);
    }

    #[test]
    fn the_first_noticeable_error_is_a_trial_value() {
        let found = first_noticeable(rotation_step, 30.0, |e| if e > 0.3 { 5.0 } else { 0.0 });
        assert!(
            (found - 0.4).abs() < 1e-9 || (found - 0.3).abs() < 1e-9,
            "{found}"
        );
        let found = first_noticeable(translation_step, 10.0, |_| 5.0);
        assert_eq!(found, 0.1);
    }

    /// Accuracies of the iteration after `iteration` of a reference run, from the files of `iteration` alone.
    fn next_accuracies(folder: &Path, iteration: usize) -> ClassAccuracy {
        let file = folder.join(format!("run_it{iteration:03}_optimiser.star"));
        let run = resume::read_optimiser(&file).unwrap();
        let model = &run.models[0];
        let current_size = image_size::current_size(&SizeRule {
            box_size: model.box_size,
            pixel_size: model.pixel_size,
            resolution: model.current_resolution,
            average_pmax: model.average_pmax,
            high_fsc_at_limit: run.state.high_fsc_at_limit,
            increment: run.state.increment_size,
            use_all_data: false,
        });
        let reference = prepare(&model.classes[0].map, model.padding, current_size, None);
        let particles = &run.particles.particles;
        let halves = run.models.len() == 2;
        let order = half_sets::processing_order(particles, halves, run.state.random_seed, 1);
        let particles: Vec<&Particle> = order[0].iter().map(|&i| &particles[i]).collect();
        let options = ExpectationOptions {
            ctf_flags: run.settings.ctf_flags,
            random_seed: run.state.random_seed,
            memory_budget: 0,
            ..ExpectationOptions::new(170.0)
        };
        let input = AccuracyInput {
            options: &options,
            model,
            ranks: &Ranks::single(),
            references: &[Reference::Host(reference.volume)],
            optics: &run.particles.optics,
            sizes: &[current_size],
            particles: &particles,
            progress: &|_| (),
        };
        estimate(&input).unwrap().remove(0)
    }

    fn compare_with_reference_run(name: &str, iterations: &[usize]) {
        let Some(folder) = golden(name) else { return };
        for &iteration in iterations {
            let found = next_accuracies(&folder, iteration);
            let next = format!("run_it{:03}", iteration + 1);
            let optimiser = folder.join(format!("{next}_optimiser.star"));
            let optimiser = Document::read(&optimiser).unwrap();
            let table = optimiser.require("optimiser_general").unwrap();
            let rotations = table.real(0, "rlnOverallAccuracyRotations").unwrap();
            let translations = table
                .real(0, "rlnOverallAccuracyTranslationsAngst")
                .unwrap();
            assert!(
                (found.rotations - rotations).abs() < 1e-5,
                "{next}: {} degrees, in the file {rotations}",
                found.rotations
            );
            assert!(
                (found.translations - translations).abs() < 1e-5,
                "{next}: {} Å, in the file {translations}",
                found.translations
            );
            let models = ["model", "half1_model"].map(|m| folder.join(format!("{next}_{m}.star")));
            let model = models.iter().find(|m| m.is_file()).unwrap();
            let model = Document::read(model).unwrap();
            let column = model.require("model_class_1").unwrap();
            let column = column
                .real_column("rlnSpectralOrientabilityContribution")
                .unwrap();
            for (shell, (ours, theirs)) in
                found.orientability.unwrap().iter().zip(column).enumerate()
            {
                assert!(
                    (ours - theirs).abs() < 2e-6,
                    "{next}, shell {shell}: orientability {ours}, in the file {theirs}"
                );
            }
        }
    }

    #[test]
    fn accuracies_of_a_classification_are_those_of_its_reference_run() {
        compare_with_reference_run("class3d_k1_noperturb", &[1, 2]);
    }

    #[test]
    fn accuracies_of_a_refinement_are_those_of_its_reference_run() {
        compare_with_reference_run("refine3d_c4", &[10]);
    }
}
