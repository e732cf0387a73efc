//! The expectation step behind one trait: begin an iteration, process batches of particles, take the sums
//! (spec 01 §3–7). `cpu` is the engine on the host, `cuda` the one on a GPU.

mod batches;
pub mod cpu;
pub mod cuda;
mod layout;
mod noise_and_norm;
mod orientations;
mod outcome;
pub mod pixels;
mod priors;
pub mod signal;
pub mod slices;
mod start;
mod subtraction;

use crate::dataset::{OpticsGroup, Particle, Pixels};
use crate::device::{Device, DeviceError};
use crate::errors::{Code, Coded, Message};
use crate::fourier::reference::Reference;
use crate::fourier::sums::Sums;
use crate::geometry::sampling::Sampling;
use crate::model::Model;
use crate::optics::CtfFlags;
pub use priors::NO_OFFSET_PRIOR;
use std::sync::Arc;
pub use subtraction::Subtraction;

/// Error of the expectation step: on which particle, why, what to try.
#[derive(Debug, thiserror::Error)]
pub enum ExpectationError {
    /// A particle cannot be compared with any reference.
    #[error("particle {image}: {message}")]
    Particle {
        /// Kind of trouble.
        code: Code,
        /// `slice@stack` of the particle.
        image: String,
        /// Failed action and remedy.
        message: String,
    },
    /// A device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Anything else.
    #[error(transparent)]
    Invalid(#[from] Message),
}

impl Coded for ExpectationError {
    fn code(&self) -> Code {
        match self {
            Self::Particle { code, .. } => *code,
            Self::Device(error) => error.code(),
            Self::Invalid(message) => message.code,
        }
    }
}

impl ExpectationError {
    /// True when a device had no memory left: less at once may go through.
    pub fn is_full(&self) -> bool {
        matches!(self, ExpectationError::Device(DeviceError::Full { .. }))
    }
}

/// Options that stay the same over the whole run.
#[derive(Debug, Clone)]
pub struct ExpectationOptions {
    /// D, Å.
    pub particle_diameter: f64,
    /// w, pixels.
    pub mask_edge: f64,
    /// Fill the background with its mean rather than with noise.
    pub zero_mask: bool,
    /// Apply the CTF.
    pub ctf: bool,
    /// Flags of the CTF.
    pub ctf_flags: CtfFlags,
    /// Norm correction (`--norm`).
    pub norm: bool,
    /// Scale correction (`--scale`, more than one group).
    pub scale: bool,
    /// q, oversampling order of the second pass.
    pub oversampling: u32,
    /// f of the significance rule.
    pub adaptive_fraction: f64,
    /// `--maxsig`; None = no limit.
    pub max_significant: Option<usize>,
    /// f_σ.
    pub sigma2_fudge: f64,
    /// Only classes are marginalised.
    pub skip_align: bool,
    /// Only translations (and classes) are marginalised.
    pub skip_rotate: bool,
    /// ML instead of MAP: V = 1 in the back-projected sums.
    pub no_map: bool,
    /// Padding factor of the sums beyond that of the references (`--asymmetric_padding`).
    pub more_padding: f64,
    /// `--skip_maximize`: no weighted sums.
    pub skip_maximize: bool,
    /// Seed of the run.
    pub random_seed: u32,
    /// Bytes the engine may use for its batches.
    pub memory_budget: usize,
}

impl ExpectationOptions {
    /// RELION's defaults, with the corrections that its jobs ask for (`--ctf --zero_mask --norm --scale`), for particles of
    /// this diameter (Å).
    pub fn new(particle_diameter: f64) -> Self {
        Self {
            particle_diameter,
            mask_edge: 5.0,
            zero_mask: true,
            ctf: true,
            ctf_flags: CtfFlags::default(),
            norm: true,
            scale: true,
            oversampling: 1,
            adaptive_fraction: 0.999,
            max_significant: None,
            sigma2_fudge: 1.0,
            skip_align: false,
            skip_rotate: false,
            no_map: false,
            more_padding: 0.0,
            skip_maximize: false,
            random_seed: 1,
            memory_budget: 100 << 20,
        }
    }
}

/// How samples are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Criterion {
    /// Posterior weights.
    Likelihood,
    /// Best cross-correlation, weight 1 (`--firstiter_cc`, `--always_cc`).
    CrossCorrelation,
}

/// Which classes a particle is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassSelection {
    /// All.
    All,
    /// Only the first (CC iteration before seeds are generated).
    First,
    /// One class drawn from seed + position (seed generation, spec 01 §2.5).
    RandomPerParticle,
}

/// Image sizes of an optics group in this iteration (spec 01 §1.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageSizes {
    /// n_g: weighted sums, and the second pass unless `--strict_highres_exp`.
    pub full: usize,
    /// Box used for probabilities in the second pass.
    pub fine: usize,
    /// c_g: first pass.
    pub coarse: usize,
}

/// Everything an engine needs to know about one iteration (of one half-set).
pub struct IterationInput<'a> {
    /// Run options.
    pub options: &'a ExpectationOptions,
    /// Model of this half.
    pub model: &'a Model,
    /// One Fourier volume a class, all in one place.
    pub references: &'a [Reference],
    /// Optics groups of the data set.
    pub optics: &'a [OpticsGroup],
    /// Sizes per optics group.
    pub sizes: &'a [ImageSizes],
    /// Perturbed sampling of this iteration.
    pub sampling: &'a Sampling,
    /// Comparison rule.
    pub criterion: Criterion,
    /// Classes visited.
    pub classes: ClassSelection,
    /// References are CTF-amplitude corrected (C is applied to slices).
    pub references_ctf_corrected: bool,
    /// Use current angles as prior centres (true local searches) rather than the prior columns.
    pub priors_from_current: bool,
    /// Gradient iteration: what is back-projected are residuals, image − CTF·projection, those of the particles of each
    /// pseudo-half into sums of their own (spec 05 §5).
    pub gradient: bool,
    /// Images are compared without the signal of an unwanted region.
    pub subtraction: Option<Subtraction<'a>>,
}

/// One particle handed to the engine.
pub struct BatchItem<'a> {
    /// Metadata.
    pub particle: &'a Particle,
    /// Position in the processing order (0-based, global), for seed generation.
    pub position: usize,
    /// Image, row-major, box² of its optics group; no pixels where the engine has kept or taken it.
    pub image: Pixels<'a>,
    /// `slice@stack`, for messages.
    pub name: String,
}

/// Results of the expectation step for one particle (spec 01 §7.6).
#[derive(Debug, Clone, PartialEq)]
pub struct ParticleOutcome {
    /// Degrees.
    pub rot: f64,
    /// Degrees.
    pub tilt: f64,
    /// Degrees.
    pub psi: f64,
    /// Å.
    pub origin: [f64; 2],
    /// 1-based.
    pub class: usize,
    /// New norm correction.
    pub norm: f64,
    /// Likelihood contribution.
    pub log_likelihood: f64,
    /// Pmax.
    pub max_probability: f64,
    /// Significant coarse samples.
    pub significant_samples: usize,
}

/// The sums of one half-set over an iteration (spec 01 §7).
pub struct WeightedSums {
    /// One a class, where the engine summed them; in a gradient iteration those of pseudo-half 1 for every class, then those of
    /// pseudo-half 2.
    pub backprojections: Vec<Sums>,
    /// Σw per class.
    pub class_weight: Vec<f64>,
    /// Σw per class and coarse direction.
    pub direction_weight: Vec<Vec<f64>>,
    /// Σw·(r + t) per class, x and y, Å; the offset priors of class averages follow from it (spec 04 §7).
    pub class_offset: Vec<[f64; 2]>,
    /// Noise numerators per optics group and model shell.
    pub noise: Vec<Vec<f64>>,
    /// Σw per optics group.
    pub noise_weight: Vec<f64>,
    /// Σ CTF² per shell for premultiplied optics groups.
    pub ctf2: Vec<Vec<f64>>,
    /// Σ XA per scale group.
    pub scale_xa: Vec<f64>,
    /// Σ AA per scale group.
    pub scale_aa: Vec<f64>,
    /// Σw Re(conj(sCA)·F) and Σw|sCA|² over all classes and shells but the first: their quotient is the strength of the
    /// references in the images.
    pub signal: [f64; 2],
    /// Σ ν.
    pub norm: f64,
    /// Numerator of σ_o², Å².
    pub sigma2_offset: f64,
    /// Σ log-likelihood (CC: Σ of best correlations).
    pub log_likelihood: f64,
    /// Σ Pmax.
    pub max_probability: f64,
    /// Particles processed.
    pub particles: usize,
}

/// Seconds spent per stage, under the names of the paper's Table 2.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StageTimes {
    /// getImg: images, transforms, CTF.
    pub get_img: f64,
    /// getDiff: projections and squared differences.
    pub get_diff: f64,
    /// convert: differences to weights.
    pub convert: f64,
    /// store: weighted sums.
    pub store: f64,
}

impl StageTimes {
    /// Add the times of another engine.
    pub fn add(&mut self, other: &StageTimes) {
        self.get_img += other.get_img;
        self.get_diff += other.get_diff;
        self.convert += other.convert;
        self.store += other.store;
    }

    /// The times divided by a number: the mean of that many engines that worked at the same time.
    pub fn divided_by(self, engines: usize) -> Self {
        let n = engines.max(1) as f64;
        Self {
            get_img: self.get_img / n,
            get_diff: self.get_diff / n,
            convert: self.convert / n,
            store: self.store / n,
        }
    }
}

/// An image as it lies in its stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredImage {
    /// Id of the particle.
    pub particle: usize,
    /// Bytes of its pixels.
    pub bytes: usize,
    /// They are 16-bit floats, else 32-bit ones.
    pub half: bool,
}

/// Makes a batch ready for an engine, while the engine computes with the one before it.
pub trait ImageIntake: Send + Sync {
    /// Returns which of some particles (by their ids) have images that the engine has kept: they may be handed over without the image
    /// until the end of the iteration.
    fn holds(&self, particles: &[usize]) -> Vec<bool>;
    /// Takes the images of a batch that is to be processed next; what was taken leaves no pixels behind.
    fn take(&self, items: &mut [BatchItem]) -> Result<(), ExpectationError>;
    /// Has `read` write the pixels of each of the images, by its number, to where the engine takes them from: they need not be
    /// handed over then. False where there is no room for all of them.
    fn read(
        &self,
        images: &[StoredImage],
        read: &(dyn Fn(usize, &mut [u8]) + Sync),
    ) -> Result<bool, ExpectationError>;
    /// Lists what the batch is compared with.
    fn foresee(&self, input: &IterationInput, items: &[BatchItem]);
}

/// An implementation of the expectation step.
pub trait ExpectationEngine {
    /// Prepare for an iteration: zero the sums, plan batches.
    fn begin_iteration(&mut self, input: &IterationInput) -> Result<(), ExpectationError>;
    /// Largest number of particles worth handing over at once.
    fn batch_size(&self) -> usize;
    /// Align a batch and add it to the sums; outcomes in the order of the items.
    fn process_batch(
        &mut self,
        input: &IterationInput,
        batch: &[BatchItem],
    ) -> Result<Vec<ParticleOutcome>, ExpectationError>;
    /// True when `bytes` of something else on the device would make the batches of an iteration like this one much
    /// smaller, or impossible.
    fn is_crowded_by(&self, _input: &IterationInput, _bytes: usize) -> bool {
        false
    }
    /// Hand over the sums and leave the iteration.
    fn take_sums(&mut self) -> Result<WeightedSums, ExpectationError>;
    /// Where images of a batch may be brought before it is processed; None: they are handed over with it.
    fn intake(&self) -> Option<Arc<dyn ImageIntake>> {
        None
    }
    /// The device on which references are wanted and sums are handed over; None: the host.
    fn device(&self) -> Option<Arc<Device>> {
        None
    }
    /// Stage times since the last call.
    fn take_times(&mut self) -> StageTimes;
}
