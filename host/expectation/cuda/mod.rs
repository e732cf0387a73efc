//! The expectation step on a GPU: every stage in kernels, the same arithmetic as the host engine's (`docs/kernels.md`).
//!
//! A batch goes up as raw images and comes back as one [`gpu::samples::Alignment`] a particle and a few sums per shell.
//! Differences, weights, significant samples and slices never leave the device; only counts do, to size what follows. For
//! them the host waits in the middle of a batch, and for the results at its end.

mod align;
mod batch;
pub mod batch_plan;
mod cache;
mod clock;
mod differences;
mod first_pass;
mod grid;
mod groups;
mod images;
pub mod insertion;
mod intake;
mod layout;
mod listing;
mod local;
mod offsets;
mod on_host;
mod own_orientations;
mod ranked_set;
mod references;
mod rows;
mod searched;
mod second_pass;
mod ties;
mod totals;
pub mod trials;
mod work;

use super::batches::by_optics_group;
use super::orientations::Search;
use super::{
    BatchItem, ExpectationEngine, ExpectationError, ImageIntake, IterationInput, ParticleOutcome,
    StageTimes, WeightedSums,
};
use crate::device::{
    Buffer, Device, DeviceError, DeviceVolume, MatrixProduct, Precision, Staging, Uploader,
};
use crate::errors::{Code, Coded, tell};
use crate::fourier::shape;
use crate::fourier::sums::{DeviceSums, Sums};
use batch_plan::{Demand, Plan};
use cache::ImageCache;
use gpu::slice::VolumeShape;
use images::TransformPlans;
use intake::Intake;
use layout::DeviceLayout;
use offsets::Offsets;
use on_host::OnHost;
use std::sync::Arc;

/// The engine on one device; holds the sums of the iteration under way.
pub struct CudaEngine {
    device: Arc<Device>,
    product: MatrixProduct,
    /// Rounding of the first pass's products.
    precision: Precision,
    transforms: TransformPlans,
    cache: Arc<ImageCache>,
    intake: Arc<Intake>,
    /// Brings long lists of samples and orientations.
    lists: Uploader,
    /// Everything else that passes between host and device in a batch.
    staging: Staging,
    /// Significant samples per particle for which lists have room before their number is known.
    foreseen: usize,
    /// Batches stay as small as they had to be made when the device was full.
    largest_batch: usize,
    iteration: Option<Iteration>,
    /// Sums of the batches of the iteration, volumes apart.
    sums: Option<WeightedSums>,
    /// An iteration that does not fit into the device.
    on_host: Option<OnHost>,
    /// Single particles of the iteration that do not fit into the device, each by itself.
    aside: Option<OnHost>,
    times: StageTimes,
}

/// State of one iteration.
struct Iteration {
    layouts: Vec<Option<DeviceLayout>>,
    /// References of all classes, one after the other; the first one's address is that of all.
    references: Vec<DeviceVolume<[f32; 2]>>,
    /// Those that images are compared with, likewise: the same, or their wanted regions.
    compared: Vec<DeviceVolume<[f32; 2]>>,
    /// Geometry of the references.
    shape: Buffer<VolumeShape>,
    /// Σ (re, im, weight, 0) of all classes, in a gradient iteration of both pseudo-halves.
    volumes: Buffer<[f32; 4]>,
    /// Σw per class and direction.
    direction_weight: Buffer<f64>,
    /// Offset priors, and Σ w·(r + t) per class average.
    offsets: Offsets,
    plan: Plan,
    /// Directions are searched, so that their weights are a prior for the next iteration.
    with_directions: bool,
    /// Geometry of the sums.
    volume_shape: shape::VolumeShape,
}

impl CudaEngine {
    /// An engine on `device` that takes at most `memory` bytes (None: nine tenths of what is free).
    pub fn new(device: Device, memory: Option<usize>) -> Result<Self, DeviceError> {
        let product = MatrixProduct::new(&device);
        Self::with_product(device, product, memory)
    }

    /// As [`Self::new`], with products that the device was opened for before.
    ///
    /// # Errors
    /// As there.
    pub fn with_product(
        device: Device,
        product: MatrixProduct,
        memory: Option<usize>,
    ) -> Result<Self, DeviceError> {
        let (free, _) = device.memory()?;
        device.limit_memory(memory.unwrap_or(usize::MAX).min(free / 10 * 9));
        let device = Arc::new(device);
        let cache = Arc::new(ImageCache::new(&device)?);
        device.spares().add(&cache);
        Ok(Self {
            precision: Precision::Single,
            intake: Arc::new(Intake::new(cache.clone())),
            cache,
            lists: Uploader::new(device.clone())?,
            staging: Staging::new(device.clone()),
            foreseen: listing::foreseen(0, 1),
            device,
            product,
            transforms: TransformPlans::default(),
            largest_batch: usize::MAX,
            iteration: None,
            sums: None,
            on_host: None,
            aside: None,
            times: StageTimes::default(),
        })
    }

    /// The same engine with products of the first pass rounded like this; cross-correlations stay single.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// Bytes that an iteration may plan with. What is on the device already and stays there, such as the sums of the
    /// other half-set, counts; references that are in place are part of the plan, and images give way.
    fn room(&self, input: &IterationInput) -> usize {
        let wanted = input.subtraction.map_or(&[][..], |s| s.wanted);
        let in_place: usize = input
            .references
            .iter()
            .chain(wanted)
            .filter(|r| r.is_on(&self.device))
            .map(|r| 8 * r.shape().voxels())
            .sum();
        self.device.memory_room() + in_place + self.cache.bytes()
    }

    fn begin(&mut self, input: &IterationInput) -> Result<Iteration, ExpectationError> {
        input.check()?;
        let device = &self.device;
        let demand = Demand::of(input);
        let limit = self.room(input);
        let mut plan = Plan::new(&demand, limit)?;
        self.cache.allow(plan.left_for_images(&demand, limit));
        plan.batch = plan.batch.min(self.largest_batch);
        let of_references = input.references[0].shape().for_kernels();
        let volume_shape = input.sums_shape();
        let classes = input.references.len();
        let references = references::side_by_side(device, input.references)?;
        let compared = match input.subtraction {
            Some(subtraction) => references::side_by_side(device, subtraction.wanted)?,
            None => references.clone(),
        };
        let volumes = device.zeros(input.volumes() * volume_shape.voxels())?;
        let direction_weight = device.zeros(classes * input.sampling.directions.len().max(1))?;
        Ok(Iteration {
            layouts: input.optics.iter().map(|_| None).collect(),
            references,
            compared,
            shape: device.upload(&[of_references])?,
            volumes,
            direction_weight,
            offsets: Offsets::new(device, input)?,
            plan,
            with_directions: Search::of(input) != Search::Fixed,
            volume_shape,
        })
    }

    /// Particles of the iteration under way that are aligned on the host, since the device has no room for one.
    pub fn particles_on_host(&self) -> usize {
        [&self.on_host, &self.aside]
            .into_iter()
            .flatten()
            .map(OnHost::particles)
            .sum()
    }
}

impl ExpectationEngine for CudaEngine {
    fn begin_iteration(&mut self, input: &IterationInput) -> Result<(), ExpectationError> {
        // The sums of the last iteration free their memory before the new ones take theirs.
        (self.iteration, self.sums) = (None, None);
        (self.on_host, self.aside) = (None, None);
        self.cache.set_in_use(false);
        self.intake.clear();
        match self.begin(input) {
            Err(error) if error.code() == Code::DEVICE_FULL => {
                let what = "the expectation step of this iteration is";
                self.on_host = Some(OnHost::begin(input, what, &error)?);
            }
            begun => {
                self.iteration = Some(begun?);
                self.sums = Some(WeightedSums::empty(input));
                self.cache.set_in_use(true);
            }
        }
        Ok(())
    }

    fn batch_size(&self) -> usize {
        match &self.on_host {
            Some(host) => host.batch_size(),
            None => self.iteration.as_ref().map_or(1, |i| i.plan.batch),
        }
    }

    fn process_batch(
        &mut self,
        input: &IterationInput,
        batch: &[BatchItem],
    ) -> Result<Vec<ParticleOutcome>, ExpectationError> {
        if let Some(host) = &mut self.on_host {
            return host.process_batch(input, batch);
        }
        let outcomes = by_optics_group(input, batch, |group, items| {
            self.align_some(input, group, items)
        })?;
        self.cache.release(batch.iter());
        Ok(outcomes)
    }

    fn is_crowded_by(&self, input: &IterationInput, bytes: usize) -> bool {
        // The bytes are there now, so they are not part of the room.
        Plan::is_crowded(&Demand::of(input), self.room(input) + bytes, bytes)
    }

    fn take_sums(&mut self) -> Result<WeightedSums, ExpectationError> {
        // What was kept from batch to batch gives way to the maximisation.
        self.transforms.give_way();
        self.cache.set_in_use(false);
        if let Some(host) = self.on_host.take() {
            return host.finish();
        }
        let iteration = self
            .iteration
            .take()
            .ok_or_else(ExpectationError::not_begun)?;
        let mut sums = self.sums.take().ok_or_else(ExpectationError::not_begun)?;
        let classes = sums.class_weight.len();
        let volumes = iteration.volumes.len() / iteration.volume_shape.voxels();
        sums.backprojections = DeviceVolume::split(&self.device, iteration.volumes, volumes)
            .into_iter()
            .map(|volume| {
                Sums::Device(DeviceSums {
                    volume,
                    shape: iteration.volume_shape,
                })
            })
            .collect();
        let offsets = iteration.offsets.sums();
        if !offsets.is_empty() {
            sums.class_offset = self.device.download(offsets, offsets.len())?;
        }
        let directions = sums.direction_weight[0].len();
        let weights = self
            .device
            .download(&iteration.direction_weight, classes * directions)?;
        for (k, of_class) in weights.chunks_exact(directions.max(1)).enumerate() {
            sums.class_weight[k] = of_class.iter().sum();
            if iteration.with_directions {
                sums.direction_weight[k].copy_from_slice(of_class);
            }
        }
        if let Some(host) = self.aside.take() {
            tell(&format!(
                "WARNING: {} particles of this iteration were aligned on the host, since the device has no room for one.",
                host.particles()
            ));
            let mut aside = host.finish()?;
            sums.add_spectra_and_totals(&mut aside);
            for (own, other) in sums.backprojections.iter_mut().zip(&aside.backprojections) {
                own.add(other)?;
            }
        }
        Ok(sums)
    }

    fn intake(&self) -> Option<Arc<dyn ImageIntake>> {
        match self.on_host {
            Some(_) => None,
            None => Some(self.intake.clone()),
        }
    }

    fn device(&self) -> Option<Arc<Device>> {
        Some(self.device.clone())
    }

    fn take_times(&mut self) -> StageTimes {
        std::mem::take(&mut self.times)
    }
}
