//! The expectation step on a GPU: every stage in kernels, the same arithmetic as the host engine's (`docs/kernels.md`).
//!
//! A batch goes up as raw images and comes back as one [`gpu::samples::Alignment`] a particle and a few sums per shell.
//! Differences, weights, significant samples and slices never leave the device; only counts do, to size what follows.

mod cache;
mod first_pass;
mod images;
mod layout;
pub mod plan;
mod rows;
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
    Buffer, Device, DeviceError, DeviceVolume, MatrixProduct, Precision, Uploader,
};
use crate::fourier::reference::{self, Reference};
use crate::fourier::sums::{DeviceSums, Sums};
use cache::ImageCache;
use gpu::slice::VolumeShape;
use images::TransformPlans;
use layout::DeviceLayout;
use plan::{Demand, Plan};
use second_pass::SecondPass;
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
    /// Batches stay as small as they had to be made when the device was full.
    largest_batch: usize,
    iteration: Option<Iteration>,
    times: StageTimes,
}

/// What lives as long as one iteration.
struct Iteration {
    layouts: Vec<Option<DeviceLayout>>,
    /// References of all classes, one after the other; the first one's address is that of all.
    references: Vec<DeviceVolume<[f32; 2]>>,
    shape: Buffer<VolumeShape>,
    /// Σ (re, im, weight, 0) of all classes.
    volumes: Buffer<[f32; 4]>,
    /// Σw per class and direction.
    direction_weight: Buffer<f64>,
    plan: Plan,
    /// Directions are searched, so that their weights are a prior for the next iteration.
    with_directions: bool,
    /// Geometry of references and sums.
    volume_shape: reference::VolumeShape,
    sums: WeightedSums,
}

impl CudaEngine {
    /// An engine on `device` that takes at most `memory` bytes (None: nine tenths of what is free).
    pub fn new(device: Device, memory: Option<usize>) -> Result<Self, DeviceError> {
        let (free, _) = device.memory()?;
        device.limit_memory(memory.unwrap_or(usize::MAX).min(free / 10 * 9));
        let product = MatrixProduct::new(&device);
        let device = Arc::new(device);
        Ok(Self {
            precision: Precision::Single,
            cache: Arc::new(ImageCache::new(&device)?),
            lists: Uploader::new(device.clone())?,
            device,
            product,
            transforms: TransformPlans::default(),
            largest_batch: usize::MAX,
            iteration: None,
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
        let in_place: usize = input
            .references
            .iter()
            .filter(|r| r.is_on(&self.device))
            .map(|r| 8 * r.voxels())
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
        let first = &input.references[0];
        let volume_shape =
            reference::volume_shape(input.model.box_size, input.model.padding, 2 * first.r_max());
        let host_shape = volume_shape.for_kernels();
        let classes = input.references.len();
        let references = references_on(device, input.references)?;
        let volumes = device.zeros(classes * host_shape.len())?;
        let direction_weight = device.zeros(classes * input.sampling.directions.len().max(1))?;
        Ok(Iteration {
            layouts: input.optics.iter().map(|_| None).collect(),
            references,
            shape: device.upload(&[host_shape])?,
            volumes,
            direction_weight,
            plan,
            with_directions: Search::of(input) != Search::Fixed,
            volume_shape,
            sums: WeightedSums::empty(input),
        })
    }

    fn align(
        &mut self,
        input: &IterationInput,
        group: usize,
        items: &[&BatchItem],
    ) -> Result<Vec<ParticleOutcome>, ExpectationError> {
        let iteration = self
            .iteration
            .as_mut()
            .ok_or_else(ExpectationError::not_begun)?;
        if iteration.layouts[group].is_none() {
            let layout = DeviceLayout::new(&self.device, &mut self.lists, input, group, iteration)?;
            iteration.layouts[group] = Some(layout);
        }
        let layout = iteration.layouts[group].take().expect("just made");
        let found = self.align_with(input, items, &layout);
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
    ) -> Result<Vec<ParticleOutcome>, ExpectationError> {
        let Self {
            device,
            product,
            precision,
            transforms,
            cache,
            lists,
            iteration,
            times,
            ..
        } = self;
        let iteration = iteration.as_mut().ok_or_else(ExpectationError::not_begun)?;
        let mut clock = Clock::new(device);
        let images = images::Prepared::new(device, transforms, cache, input, layout, items)?;
        let pixels = items.len() * input.references.len() * layout.count;
        let shares = device.zeros::<[f32; 2]>(pixels)?;
        clock.add(&mut times.get_img)?;
        // The single best sample of a cross-correlation needs all the digits there are.
        let precision = match input.criterion {
            Criterion::Likelihood => *precision,
            Criterion::CrossCorrelation => Precision::Single,
        };
        let first = if Search::of(input) == Search::Global {
            first_pass::global(
                device, product, precision, input, iteration, layout, items, &images, &mut clock,
                times,
            )?
        } else {
            first_pass::own(
                device, lists, input, iteration, layout, items, &images, &mut clock, times,
            )?
        };
        let mut outcomes = Vec::with_capacity(items.len());
        while outcomes.len() < items.len() {
            let second = SecondPass {
                device,
                input,
                iteration,
                layout,
                images: &images,
                first: &first,
                shares: shares.pointer(),
            };
            let part = second.part(outcomes.len());
            let found = match second.run(part.clone(), &mut clock, times) {
                // What is done is done; the rest is tried again.
                Err(error) if error.is_full() && part.start > 0 => break,
                found => found?,
            };
            outcomes.extend(totals::add(
                input,
                layout,
                items,
                &images,
                &first,
                part,
                &found,
                &mut iteration.sums,
            ));
            clock.add(&mut times.store)?;
        }
        Ok(outcomes)
    }

    /// Aligns as many of `items` as go through at once; halves their number when the device turns out to be full.
    fn align_some(
        &mut self,
        input: &IterationInput,
        group: usize,
        items: &[&BatchItem],
    ) -> Result<Vec<ParticleOutcome>, ExpectationError> {
        loop {
            let size = items.len().min(self.batch_size());
            match self.align(input, group, &items[..size]) {
                Err(error) if error.is_full() && size > 1 => {
                    let half = size / 2;
                    eprintln!(
                        "WARNING: {error}. Going on with {half} particles at once instead of {size}."
                    );
                    self.largest_batch = half;
                    self.cache.stop_growing();
                    // Images that were handed over, and work areas of transforms of larger batches.
                    let here = items[..size].iter().filter(|item| !item.image.is_empty());
                    self.cache.release(here.copied());
                    self.transforms = TransformPlans::default();
                    if let Some(iteration) = &mut self.iteration {
                        iteration.plan.batch = size;
                        iteration.plan.halve(self.device.peak_memory());
                    }
                }
                found => return found,
            }
        }
    }
}

impl ExpectationEngine for CudaEngine {
    fn begin_iteration(&mut self, input: &IterationInput) -> Result<(), ExpectationError> {
        // The sums of the last iteration free their memory before the new ones take theirs.
        self.iteration = None;
        self.iteration = Some(self.begin(input)?);
        Ok(())
    }

    fn batch_size(&self) -> usize {
        self.iteration.as_ref().map_or(1, |i| i.plan.batch)
    }

    fn process_batch(
        &mut self,
        input: &IterationInput,
        batch: &[BatchItem],
    ) -> Result<Vec<ParticleOutcome>, ExpectationError> {
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
        let iteration = self
            .iteration
            .take()
            .ok_or_else(ExpectationError::not_begun)?;
        let mut sums = iteration.sums;
        let classes = sums.class_weight.len();
        sums.backprojections = DeviceVolume::split(&self.device, iteration.volumes, classes)
            .into_iter()
            .map(|volume| {
                Sums::Device(DeviceSums {
                    volume,
                    shape: iteration.volume_shape,
                })
            })
            .collect();
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
        Ok(sums)
    }

    fn held_images(&self) -> HashSet<usize> {
        self.cache.particles()
    }

    fn intake(&self) -> Option<Arc<dyn ImageIntake>> {
        Some(self.cache.clone())
    }

    fn device(&self) -> Option<Arc<Device>> {
        Some(self.device.clone())
    }

    fn take_times(&mut self) -> StageTimes {
        std::mem::take(&mut self.times)
    }
}

/// The references of all classes one after the other on `device`: where they are, or copies.
fn references_on(
    device: &Arc<Device>,
    references: &[Reference],
) -> Result<Vec<DeviceVolume<[f32; 2]>>, DeviceError> {
    let in_place: Vec<_> = references
        .iter()
        .filter_map(|reference| match reference {
            Reference::Device(r) if reference.is_on(device) => Some(&r.volume),
            _ => None,
        })
        .collect();
    if in_place.len() == references.len()
        && in_place
            .windows(2)
            .all(|pair| pair[0].is_followed_by(pair[1]))
    {
        return Ok(in_place.into_iter().cloned().collect());
    }
    let voxels = references[0].voxels();
    // SAFETY: filled below.
    let array = unsafe { device.buffer(voxels * references.len())? };
    let mut volumes = DeviceVolume::split(device, array, references.len());
    for (volume, reference) in volumes.iter_mut().zip(references) {
        match reference {
            Reference::Host(r) => volume.write(0, bytemuck::cast_slice(&r.data))?,
            Reference::Device(r) => volume.copy_from(&r.volume)?,
        }
    }
    Ok(volumes)
}

/// Time between stages; waits for the device, so that a stage is not charged with the work of another.
struct Clock<'a> {
    device: &'a Device,
    since: std::time::Instant,
}

impl<'a> Clock<'a> {
    fn new(device: &'a Device) -> Self {
        Self {
            device,
            since: std::time::Instant::now(),
        }
    }

    fn add(&mut self, to: &mut f64) -> Result<(), DeviceError> {
        self.device.synchronise()?;
        *to += self.since.elapsed().as_secs_f64();
        self.since = std::time::Instant::now();
        Ok(())
    }
}
