//! The expectation step on a GPU: every stage in kernels, the same arithmetic as the host engine's (`docs/kernels.md`).
//!
//! A batch goes up as raw images and comes back as one [`gpu::samples::Alignment`] a particle and a few sums per shell.
//! Differences, weights, significant samples and slices never leave the device; only counts do, to size what follows. For
//! them the host waits in the middle of a batch, and for the results at its end.

mod batch;
mod cache;
mod clock;
mod differences;
mod first_pass;
mod grid;
mod groups;
mod images;
mod layout;
mod listing;
mod local;
mod offsets;
mod on_host;
mod own_orientations;
pub mod plan;
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
    BatchItem, Criterion, ExpectationEngine, ExpectationError, ImageIntake, IterationInput,
    ParticleOutcome, StageTimes, WeightedSums,
};
use crate::device::{
    Buffer, Device, DeviceError, DeviceVolume, MatrixProduct, Precision, Staging, Uploader,
};
use crate::errors::{Code, Coded, tell};
use crate::fourier::shape;
use crate::fourier::sums::{DeviceSums, Sums};
use batch::BatchContext;
use cache::ImageCache;
use clock::{Clock, Stage};
use gpu::slice::VolumeShape;
use images::TransformPlans;
use layout::DeviceLayout;
use offsets::Offsets;
use on_host::OnHost;
use plan::{Demand, Plan};
use second_pass::{Found, SecondPass};
use std::collections::HashSet;
use std::sync::Arc;

/// The engine on one device; holds the sums of the iteration under way.
pub struct CudaEngine {
    device: Arc<Device>,
    product: MatrixProduct,
    /// Rounding of the first pass's products.
    precision: Precision,
    transforms: TransformPlans,
    cache: Arc<ImageCache>,
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
    /// Geometry of references and sums.
    volume_shape: shape::VolumeShape,
}

impl CudaEngine {
    /// An engine on `device` that takes at most `memory` bytes (None: nine tenths of what is free).
    pub fn new(device: Device, memory: Option<usize>) -> Result<Self, DeviceError> {
        let (free, _) = device.memory()?;
        device.limit_memory(memory.unwrap_or(usize::MAX).min(free / 10 * 9));
        let product = MatrixProduct::new(&device);
        let device = Arc::new(device);
        let cache = Arc::new(ImageCache::new(&device)?);
        device.spares().add(&cache);
        Ok(Self {
            precision: Precision::Single,
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
        let volume_shape = *input.references[0].shape();
        let host_shape = volume_shape.for_kernels();
        let classes = input.references.len();
        let references = references::side_by_side(device, input.references)?;
        let compared = match input.subtraction {
            Some(subtraction) => references::side_by_side(device, subtraction.wanted)?,
            None => references.clone(),
        };
        let volumes = device.zeros(input.volumes() * host_shape.len())?;
        let direction_weight = device.zeros(classes * input.sampling.directions.len().max(1))?;
        Ok(Iteration {
            layouts: input.optics.iter().map(|_| None).collect(),
            references,
            compared,
            shape: device.upload(&[host_shape])?,
            volumes,
            direction_weight,
            offsets: Offsets::new(device, input)?,
            plan,
            with_directions: Search::of(input) != Search::Fixed,
            volume_shape,
        })
    }

    /// Aligns `items` of one optics group; their time is told by stages.
    fn align(
        &mut self,
        input: &IterationInput,
        group: usize,
        items: &[&BatchItem],
    ) -> Result<Vec<ParticleOutcome>, ExpectationError> {
        let device = self.device.clone();
        self.staging.begin()?;
        let mut clock = Clock::new(&device)?;
        let found = self.align_group(input, group, items, &mut clock);
        if found.is_err() {
            // Times can be told when what was queued is done. The error that is known is the one to report.
            let _ = device.synchronise();
        }
        let times = clock.finish();
        match times.and_then(|times| device.read_meter().map(|()| times)) {
            Ok(times) => self.times.add(&times),
            Err(error) if found.is_ok() => return Err(error.into()),
            Err(_) => (),
        }
        found
    }

    fn align_group(
        &mut self,
        input: &IterationInput,
        group: usize,
        items: &[&BatchItem],
        clock: &mut Clock,
    ) -> Result<Vec<ParticleOutcome>, ExpectationError> {
        let iteration = self
            .iteration
            .as_mut()
            .ok_or_else(ExpectationError::not_begun)?;
        if iteration.layouts[group].is_none() {
            let layout = DeviceLayout::new(
                &self.device,
                &mut self.staging,
                &mut self.lists,
                input,
                group,
                iteration,
            )?;
            iteration.layouts[group] = Some(layout);
            clock.end_of(Stage::GetDiff)?;
        }
        let layout = iteration.layouts[group].take().expect("just made");
        let found = self.align_with(input, items, &layout, clock);
        if let Some(iteration) = &mut self.iteration {
            iteration.layouts[group] = Some(layout);
        }
        found
    }

    fn align_with(
        &mut self,
        input: &IterationInput,
        items: &[&BatchItem],
        layout: &DeviceLayout,
        clock: &mut Clock,
    ) -> Result<Vec<ParticleOutcome>, ExpectationError> {
        let Self {
            device,
            product,
            precision,
            transforms,
            cache,
            lists,
            staging,
            foreseen,
            iteration,
            sums,
            ..
        } = self;
        let iteration = iteration.as_ref().ok_or_else(ExpectationError::not_begun)?;
        let sums = sums.as_mut().ok_or_else(ExpectationError::not_begun)?;
        let images =
            images::Prepared::new(device, staging, transforms, cache, input, layout, items)?;
        let batch = BatchContext {
            device,
            input,
            iteration,
            layout,
            items,
            images: &images,
        };
        let pixels = items.len() * totals::slots(input) * layout.count;
        let shares = device.zeros::<[f32; 2]>(pixels)?;
        clock.end_of(Stage::GetImg)?;
        // The single best sample of a cross-correlation needs all the digits there are.
        let precision = match input.criterion {
            Criterion::Likelihood => *precision,
            Criterion::CrossCorrelation => Precision::Single,
        };
        let capacity = second_pass::samples_at_once(input, iteration, layout)
            .min(*foreseen * items.len())
            .max(1);
        let mut first = if Search::of(input) == Search::Global {
            first_pass::global(&batch, (product, precision), capacity, staging, clock)?
        } else {
            own_orientations::first_pass(&batch, lists, capacity, staging, clock)?
        };
        *foreseen = listing::foreseen(first.list.first[items.len()] as usize, items.len());
        let mut groups = first.list.groups.take();
        let second = SecondPass {
            batch,
            first: &first,
            shares: shares.view(),
        };
        let mut parts: Vec<Found> = Vec::new();
        let mut done = 0;
        while done < items.len() {
            let part = second.part(done);
            let end = part.end;
            let grouped = match groups.take() {
                Some(groups) => Ok(groups),
                None => second.group(&part, staging),
            };
            match grouped.and_then(|groups| second.run(part, &groups, staging, clock)) {
                // What is done is done; the rest is tried again.
                Err(error) if error.is_full() && done > 0 => break,
                found => parts.push(found?),
            }
            done = end;
        }
        staging.wait()?;
        let outcomes = parts
            .iter()
            .flat_map(|found| totals::add(&batch, &first, staging, found, sums));
        Ok(outcomes.collect())
    }

    /// Aligns as many of `items` as go through at once; halves their number when the device turns out to be full. One that
    /// does not go through by itself is aligned on the host.
    fn align_some(
        &mut self,
        input: &IterationInput,
        group: usize,
        items: &[&BatchItem],
    ) -> Result<Vec<ParticleOutcome>, ExpectationError> {
        let mut is_last_attempt = false;
        loop {
            let size = items.len().min(self.batch_size());
            match self.align(input, group, &items[..size]) {
                Err(error) if error.is_full() && size == 1 => {
                    if is_last_attempt {
                        return self.align_aside(input, items[0], &error);
                    }
                    // The images of others, and all that can be less.
                    self.give_way(1);
                    is_last_attempt = true;
                }
                Err(error) if error.is_full() && size > 1 => {
                    let half = size / 2;
                    tell(&format!(
                        "WARNING: {error}. Going on with {half} particles at once instead of {size}."
                    ));
                    self.largest_batch = half;
                    // Images that were handed over.
                    let here = items[..size].iter().filter(|item| !item.image.is_empty());
                    self.cache.release(here.copied());
                    self.give_way(size);
                }
                found => return found,
            }
        }
    }

    /// Makes everything less that can be, after a batch of `size` particles has found the device full.
    fn give_way(&mut self, size: usize) {
        self.cache.stop_growing();
        // Work areas of transforms of larger batches.
        self.transforms = TransformPlans::default();
        if let Some(iteration) = &mut self.iteration {
            iteration.plan.batch = size;
            iteration.plan.halve(self.device.peak_memory());
        }
    }

    /// Particles of the iteration under way that are aligned on the host, since the device has no room for one.
    pub fn particles_on_host(&self) -> usize {
        [&self.on_host, &self.aside]
            .into_iter()
            .flatten()
            .map(OnHost::particles)
            .sum()
    }

    /// Aligns a particle on the host because of `reason`, the error of the device; its sums are added to those of the
    /// device at the end of the iteration.
    fn align_aside(
        &mut self,
        input: &IterationInput,
        item: &BatchItem,
        reason: &ExpectationError,
    ) -> Result<Vec<ParticleOutcome>, ExpectationError> {
        let mut host = match self.aside.take() {
            Some(host) => host,
            None => OnHost::begin(
                input,
                "particles of this iteration that do not fit into the device by themselves are",
                reason,
            )?,
        };
        let item = BatchItem {
            particle: item.particle,
            position: item.position,
            image: self.cache.pixels(&self.device, input, item)?,
            name: item.name.clone(),
        };
        let found = host.process_batch(input, &[item]);
        self.aside = Some(host);
        found
    }
}

impl ExpectationEngine for CudaEngine {
    fn begin_iteration(&mut self, input: &IterationInput) -> Result<(), ExpectationError> {
        // The sums of the last iteration free their memory before the new ones take theirs.
        (self.iteration, self.sums) = (None, None);
        (self.on_host, self.aside) = (None, None);
        self.cache.set_in_use(false);
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
        self.transforms = TransformPlans::default();
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

    fn held_images(&self) -> HashSet<usize> {
        match self.on_host {
            Some(_) => HashSet::new(),
            None => self.cache.particles(),
        }
    }

    fn intake(&self) -> Option<Arc<dyn ImageIntake>> {
        match self.on_host {
            Some(_) => None,
            None => Some(self.cache.clone()),
        }
    }

    fn device(&self) -> Option<Arc<Device>> {
        Some(self.device.clone())
    }

    fn take_times(&mut self) -> StageTimes {
        std::mem::take(&mut self.times)
    }
}
