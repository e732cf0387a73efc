//! Simulated data sets with known truth: exact projections of atoms with CTF, shifts and coloured noise.
//!
//! Every random number is keyed by (seed, particle) or (seed, micrograph): a set does not depend on the number of
//! threads, and a longer set begins with the shorter one.

mod content;
mod existing;
pub mod micrograph;
pub mod phantom;
mod preset;
pub mod projection;
mod tables;
mod truth;

pub use content::Content;
pub use existing::check_free;
pub use preset::Preset;
pub use tables::VIEW;
pub use truth::truth_map;

use crate::dataset::{CtfFields, OpticsGroup};
use crate::errors::{Code, Coded, Message};
use crate::formats::atoms::Atom;
use crate::formats::mrc::{self, MrcError, StackMode, StackWriter};
use crate::formats::star::StarError;
use crate::geometry::{Matrix3, euler, symmetry::PointGroup};
use crate::optics::{Ctf, CtfFlags};
use content::Views;
use micrograph::{Defocus, DefocusSource};
use num_complex::Complex32;
use phantom::HelixBundle;
use projection::{Projector, frequencies, signed};
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// Error of a simulation: on which file or setting, and what to try.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SimulationError(#[from] Message);

impl Coded for SimulationError {
    fn code(&self) -> Code {
        self.0.code
    }
}

impl From<MrcError> for SimulationError {
    fn from(e: MrcError) -> Self {
        Self(Message::of(&e))
    }
}

impl From<StarError> for SimulationError {
    fn from(e: StarError) -> Self {
        Self(Message::of(&e))
    }
}

/// Options of a simulated set.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulationSettings {
    /// Number of images.
    pub particles: usize,
    /// Box, pixels (even).
    pub box_size: usize,
    /// Å per pixel.
    pub pixel_size: f64,
    /// Signal over noise variance inside the particle's circle; 0 = noise only, infinite = no noise (then the images
    /// are not normalised either).
    pub snr: f64,
    /// Gaussian envelope exp(−B s²/4) of the signal, Å².
    pub b_factor: f64,
    /// Standard deviation of the in-plane shift, pixels (cut off at three of it).
    pub shift: f64,
    /// Defocus of the micrographs.
    pub defocus: DefocusSource,
    /// kV.
    pub voltage: f64,
    /// mm.
    pub spherical_aberration: f64,
    /// 0…1.
    pub amplitude_contrast: f64,
    /// Diameter of the particle's circle, Å: signal is measured inside, background normalised outside.
    pub diameter: f64,
    /// Images per micrograph.
    pub particles_per_micrograph: usize,
    /// Seed of everything random.
    pub seed: u64,
    /// Write the stack as float16 (MRC mode 12).
    pub half_precision: bool,
    /// Point group of the phantom.
    pub symmetry: String,
    /// Shape of the phantom.
    pub phantom: HelixBundle,
    /// Preferred viewing directions; 0: particles are seen from everywhere.
    pub views: usize,
    /// Standard deviation of viewing directions around the preferred ones, degrees.
    pub view_spread: f64,
    /// Share of the images that show a contaminant, class K+1.
    pub contaminants: f64,
    /// Share of the images that show nothing, class K+2.
    pub empty: f64,
}

/// Simulated values of one particle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrueParticle {
    /// 0-based micrograph.
    pub micrograph: usize,
    /// Defocus at the particle.
    pub defocus: Defocus,
    /// Pixel coordinates on the micrograph.
    pub coordinates: [f64; 2],
    /// rot, tilt, psi, degrees.
    pub angles: [f64; 3],
    /// Displacement of the particle from the box centre, pixels (origin offsets are its negative).
    pub shift: [f64; 2],
    /// 0-based class: a model, K for contaminants, K+1 for nothing.
    pub class: usize,
    /// 0-based preferred direction that the particle is seen around.
    pub view: Option<usize>,
}

/// Files written and the noise level used.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulated {
    /// `PREFIX.mrcs`.
    pub stack: PathBuf,
    /// `PREFIX.star`.
    pub particles: PathBuf,
    /// `PREFIX_truth.star`: with angles, origins and classes.
    pub truth: PathBuf,
    /// `PREFIX_truthN.mrc`, one per class, contaminants included.
    pub maps: Vec<PathBuf>,
    /// Standard deviation of the noise before images were normalised.
    pub noise_sigma: f64,
}

/// Streams of random numbers of a set.
#[derive(Clone, Copy)]
enum Stream {
    Particle = 1,
    Noise = 2,
    Micrograph = 3,
    Calibration = 4,
    Content = 5,
    View = 6,
}

/// Generator of item `index` of a stream, unrelated to all others (SplitMix64 of the three numbers as its seed).
fn random(seed: u64, stream: Stream, index: usize) -> Pcg64 {
    let mix = |x: u64| {
        let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    Pcg64::seed_from_u64(mix(mix(mix(seed) ^ stream as u64) ^ index as u64))
}

/// A set in the making: settings and models with what all images share.
pub struct Simulation<'a> {
    settings: &'a SimulationSettings,
    models: &'a [Vec<Atom>],
    contaminant: Vec<Atom>,
    views: Option<Views>,
    projector: Projector,
    /// Amplitude of the noise per half-complex pixel (white with a rise towards low frequencies).
    noise_amplitude: Vec<f32>,
    /// Pixels inside the particle's circle.
    inside: Vec<bool>,
    optics: OpticsGroup,
    noise_sigma: f64,
}

impl<'a> Simulation<'a> {
    /// Check the settings and measure the noise level that gives the wanted SNR on 20 random views of `models`
    /// (one list of centred atoms per class).
    pub fn new(
        settings: &'a SimulationSettings,
        models: &'a [Vec<Atom>],
    ) -> Result<Self, SimulationError> {
        check(settings, models)?;
        let (n, a) = (settings.box_size, settings.pixel_size);
        let noise_amplitude = frequencies(n, a)
            .map(|(sx, sy)| (1.0 + 2.0 / (1.0 + 3600.0 * (sx * sx + sy * sy))).sqrt() as f32)
            .collect();
        let half = (n / 2) as f64;
        let inside = (0..n * n)
            .map(|i| {
                ((i % n) as f64 - half).hypot((i / n) as f64 - half) * a < 0.5 * settings.diameter
            })
            .collect();
        let group = PointGroup::parse(&settings.symmetry).map_err(|e| Message::of(&e))?;
        let mut simulation = Self {
            settings,
            models,
            contaminant: content::contaminant(&settings.phantom),
            views: Views::new(settings, &group),
            projector: Projector::new(n, a, settings.b_factor),
            noise_amplitude,
            inside,
            optics: tables::optics_group(settings),
            noise_sigma: 1.0,
        };
        if settings.snr > 0.0 {
            simulation.noise_sigma = (simulation.signal_variance()? / settings.snr).sqrt();
        }
        Ok(simulation)
    }

    /// Mean variance of the signal inside the particle's circle.
    fn signal_variance(&self) -> Result<f64, SimulationError> {
        const VIEWS: usize = 20;
        let variances: Result<Vec<f64>, SimulationError> = (0..VIEWS)
            .into_par_iter()
            .map(|view| {
                let mut random = random(self.settings.seed, Stream::Calibration, view);
                let angles = random_angles(&mut random);
                let defocus = self.settings.defocus.draw(&mut random);
                let class = random.random_range(0..self.models.len());
                let transform = self.clean(class, &rotation(angles), [0.0; 2], defocus)?;
                let image = self.projector.image_transform().inverse(&transform);
                Ok(statistics(&image, &self.inside).1.powi(2))
            })
            .collect();
        Ok(variances?.iter().sum::<f64>() / VIEWS as f64)
    }

    /// Standard deviation of the noise before normalisation.
    pub fn noise_sigma(&self) -> f64 {
        self.noise_sigma
    }

    /// Pose, defocus and class of particle `index`.
    pub fn particle(&self, index: usize) -> TrueParticle {
        let s = self.settings;
        let micrograph = index / s.particles_per_micrograph;
        let mut random_mic = random(s.seed, Stream::Micrograph, micrograph);
        let mut random = random(s.seed, Stream::Particle, index);
        let defocus = s.defocus.draw(&mut random_mic).of_particle(&mut random);
        let mut angles = random_angles(&mut random);
        let mut class = random.random_range(0..self.models.len());
        let shift = std::array::from_fn(|_| {
            let g: f64 = StandardNormal.sample(&mut random);
            s.shift * g.clamp(-3.0, 3.0)
        });
        let coordinates = std::array::from_fn(|_| f64::from(random.random_range(100..3900_u32)));
        let mut view = None;
        match (Content::of(s, index), &self.views) {
            (Content::Contaminant, _) => class = self.models.len(),
            (Content::Nothing, _) => class = self.models.len() + 1,
            (Content::Particle, None) => {}
            (Content::Particle, Some(views)) => {
                let (number, drawn) = views.draw(s.seed, index);
                (view, angles) = (Some(number), drawn);
            }
        }
        TrueParticle {
            micrograph,
            defocus,
            coordinates,
            angles,
            shift,
            class,
            view,
        }
    }

    /// Image of particle `index`, row-major: signal with CTF, plus noise, normalised to mean 0 and standard deviation 1
    /// outside the particle's circle.
    pub fn render(&self, index: usize, truth: &TrueParticle) -> Result<Vec<f32>, SimulationError> {
        let s = self.settings;
        let mut transform = if s.snr > 0.0 && truth.class <= self.models.len() {
            self.clean(
                truth.class,
                &rotation(truth.angles),
                truth.shift,
                truth.defocus,
            )?
        } else {
            vec![Complex32::default(); self.noise_amplitude.len()]
        };
        let noisy = s.snr.is_finite();
        if noisy {
            let mut random = random(s.seed, Stream::Noise, index);
            let white: Vec<f32> = (0..s.box_size * s.box_size)
                .map(|_| StandardNormal.sample(&mut random))
                .collect();
            let noise = self
                .projector
                .image_transform()
                .forward(&white, s.box_size / 2);
            let sigma = self.noise_sigma as f32;
            for ((v, g), amplitude) in transform.iter_mut().zip(&noise).zip(&self.noise_amplitude) {
                *v += g * (sigma * amplitude);
            }
        }
        let image = self.projector.image_transform().inverse(&transform);
        let (mean, sd) = if noisy {
            let outside: Vec<bool> = self.inside.iter().map(|i| !i).collect();
            statistics(&image, &outside)
        } else {
            (0.0, 1.0)
        };
        Ok(image
            .iter()
            .map(|v| ((f64::from(*v) - mean) / sd) as f32)
            .collect())
    }

    /// Centred transform of a noise-free image.
    fn clean(
        &self,
        class: usize,
        rotation: &Matrix3,
        shift: [f64; 2],
        defocus: Defocus,
    ) -> Result<Vec<Complex32>, SimulationError> {
        let fields = CtfFields {
            defocus_u: defocus.u,
            defocus_v: defocus.v,
            defocus_angle: defocus.angle,
            b_factor: 0.0,
            scale: 1.0,
            phase_shift: 0.0,
        };
        let ctf = Ctf::new(&fields, &self.optics, CtfFlags::default())
            .map_err(|e| Message::of(&e).about("CTF of a simulated particle"))?;
        let atoms = self.models.get(class).unwrap_or(&self.contaminant);
        let mut transform = self.projector.transform(atoms, rotation, shift);
        let n = self.settings.box_size;
        let w = n / 2 + 1;
        for (i, v) in transform.iter_mut().enumerate() {
            *v *= ctf.value((i % w) as i32, signed(i / w, n)) as f32;
        }
        Ok(transform)
    }
}

/// Simulate a set of `models` (one list of centred atoms per class) and write `PREFIX.mrcs`, `PREFIX.star`,
/// `PREFIX_truth.star` and `PREFIX_truthN.mrc`. `progress` is called with the number of images done.
pub fn run(
    settings: &SimulationSettings,
    models: &[Vec<Atom>],
    prefix: &Path,
    mut progress: impl FnMut(usize),
) -> Result<Simulated, SimulationError> {
    let simulation = Simulation::new(settings, models)?;
    let with = |suffix: &str| PathBuf::from(format!("{}{suffix}", prefix.display()));
    if let Some(folder) = prefix.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|e| {
            Code::CANNOT_WRITE.says(format!(
                "{}: the output folder cannot be made: {e}; check the permissions of the folder above it",
                folder.display()
            ))
        })?;
    }
    let stack = with(".mrcs");
    let mode = if settings.half_precision {
        StackMode::Float16
    } else {
        StackMode::Float32
    };
    let (n, a) = (settings.box_size, settings.pixel_size);
    let mut writer = StackWriter::create(&stack, n, settings.particles, a, mode)?;
    let mut truths = Vec::with_capacity(settings.particles);
    let chunk = 16 * rayon::current_num_threads();
    for first in (0..settings.particles).step_by(chunk) {
        let last = settings.particles.min(first + chunk);
        let images: Result<Vec<_>, SimulationError> = (first..last)
            .into_par_iter()
            .map(|i| {
                let truth = simulation.particle(i);
                Ok((truth, simulation.render(i, &truth)?))
            })
            .collect();
        for (truth, image) in images? {
            writer.push(&image)?;
            truths.push(truth);
        }
        progress(last);
    }
    writer.finish()?;
    // as the prefix was given: programs look for stacks from the folder they are started in
    let stack_name = stack.display().to_string();
    let (particles, truth) = (with(".star"), with("_truth.star"));
    tables::particles(settings, &stack_name, &truths).write(&particles)?;
    tables::truth(settings, &stack_name, &truths).write(&truth)?;
    let mut maps = Vec::new();
    let contaminant = Some(&simulation.contaminant).filter(|_| settings.contaminants > 0.0);
    for (k, atoms) in models.iter().chain(contaminant).enumerate() {
        let path = with(&format!("_truth{}.mrc", k + 1));
        let map = truth_map(atoms, n, a, settings.b_factor).mapv(|v| v as f32);
        mrc::write_map(&path, map.view(), a)?;
        maps.push(path);
    }
    Ok(Simulated {
        stack,
        particles,
        truth,
        maps,
        noise_sigma: simulation.noise_sigma(),
    })
}

fn check(settings: &SimulationSettings, models: &[Vec<Atom>]) -> Result<(), SimulationError> {
    let s = settings;
    let fault = if s.particles == 0 {
        Some("the number of images is 0; give --n".to_string())
    } else if s.box_size < 4 || s.box_size % 2 == 1 {
        Some(format!(
            "box {} px: only even boxes of 4 px and more work; change --box",
            s.box_size
        ))
    } else if !(s.pixel_size > 0.0 && s.pixel_size.is_finite()) {
        Some(format!(
            "pixel size {} Å: must be above 0; change --angpix",
            s.pixel_size
        ))
    } else if s.snr.is_nan() || s.snr < 0.0 {
        Some(format!(
            "signal-to-noise ratio {}: must be 0 (noise only) or above",
            s.snr
        ))
    } else if s.particles_per_micrograph == 0 {
        Some("0 particles per micrograph; change --per_mic".to_string())
    } else if !(s.diameter > 0.0 && s.diameter < s.box_size as f64 * s.pixel_size) {
        Some(format!(
            "particle diameter {} Å does not fit the box of {} Å; change --diameter or --box",
            s.diameter,
            s.box_size as f64 * s.pixel_size
        ))
    } else if let Some(fault) = s.defocus.fault().or_else(|| content_fault(s)) {
        Some(fault)
    } else if models.is_empty() || models.iter().any(Vec::is_empty) {
        return Err(Code::MISSING_OPTION
            .says("no atoms to project; give --model or --phantom")
            .into());
    } else {
        None
    };
    fault.map_or(Ok(()), |f| Err(Code::BAD_VALUE.says(f).into()))
}

fn content_fault(s: &SimulationSettings) -> Option<String> {
    const MOST_VIEWS: usize = 1000;
    let is_share = |share: f64| (0.0..=1.0).contains(&share);
    if !is_share(s.contaminants) || !is_share(s.empty) || !is_share(s.contaminants + s.empty) {
        return Some(format!(
            "shares of {} for contaminants and {} for empty images: each must be 0 to 1, and so must their sum; change --contaminants \
             or --empty",
            s.contaminants, s.empty
        ));
    }
    if s.views > MOST_VIEWS {
        return Some(format!(
            "{} preferred views: at most {MOST_VIEWS} can be told apart; change --views",
            s.views
        ));
    }
    (!(0.0..=90.0).contains(&s.view_spread)).then(|| {
        format!(
            "a spread of {}° around the preferred views: must be 0 to 90; change --view_spread",
            s.view_spread
        )
    })
}

/// Uniformly distributed orientation: rot, tilt, psi in degrees.
fn random_angles(random: &mut Pcg64) -> [f64; 3] {
    [
        random.random_range(-180.0..180.0),
        random.random_range(-1.0_f64..1.0).acos().to_degrees(),
        random.random_range(-180.0..180.0),
    ]
}

fn rotation(angles: [f64; 3]) -> Matrix3 {
    euler::matrix(angles[0], angles[1], angles[2])
}

/// Mean and standard deviation of the pixels that are selected.
fn statistics(image: &[f32], selected: &[bool]) -> (f64, f64) {
    let values = || {
        image
            .iter()
            .zip(selected)
            .filter(|p| *p.1)
            .map(|p| f64::from(*p.0))
    };
    let n = values().count() as f64;
    let mean = values().sum::<f64>() / n;
    let variance = values().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    (mean, variance.sqrt())
}
