//! The expectation step on a GPU: every stage in kernels, the same arithmetic as the host engine's (`docs/kernels.md`).
//!
//! A batch goes up as raw images and comes back as one [`gpu::samples::Alignment`] a particle and a few sums per shell.
//! Differences, weights, significant samples and slices never leave the device; only counts do, to size what follows.

mod first_pass;
mod images;
mod layout;
mod rows;
mod second_pass;
mod totals;
pub mod trials;

use super::batches::by_optics_group;
use super::orientations::Search;
use super::{
    BatchItem, ExpectationEngine, ExpectationError, IterationInput, ParticleOutcome, StageTimes,
    WeightedSums,
};
use crate::device::{Buffer, Device, DeviceError, DeviceVolume, MatrixProduct, Precision};
use crate::fourier::reference::{self, Reference};
use crate::fourier::sums::{DeviceSums, Sums};
use gpu::slice::VolumeShape;
use layout::DeviceLayout;
use std::sync::Arc;

/// The engine on one device; holds the sums of the iteration under way.
pub struct CudaEngine {
    device: Arc<Device>,
    product: MatrixProduct,
    /// Rounding of the first pass's products.
    precision: Precision,
    /// Bytes of device memory the engine may take.
    memory: usize,
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
    batch: usize,
    /// Geometry of references and sums.
    volume_shape: reference::VolumeShape,
    sums: WeightedSums,
}

impl From<DeviceError> for ExpectationError {
    fn from(error: DeviceError) -> Self {
        ExpectationError::Invalid(error.to_string())
    }
}

impl CudaEngine {
    /// An engine on `device` that takes at most `memory` bytes (None: nine tenths of what is free).
    pub fn new(device: Device, memory: Option<usize>) -> Result<Self, DeviceError> {
        let (free, _) = device.memory()?;
        let product = MatrixProduct::new(&device);
        Ok(Self {
            precision: Precision::Single,
            memory: memory.unwrap_or(usize::MAX).min(free / 10 * 9),
            device: Arc::new(device),
            product,
            iteration: None,
            times: StageTimes::default(),
        })
    }

    /// Whether the engine can do what these options ask for; orientations that are fixed are left to the host.
    pub fn supports(skip_align: bool, skip_rotate: bool, oversampling: u32) -> bool {
        !skip_align && !skip_rotate && oversampling <= 2
    }

    fn begin(&self, input: &IterationInput) -> Result<Iteration, ExpectationError> {
        input.check()?;
        let device = &self.device;
        let first = &input.references[0];
        let volume_shape =
            reference::volume_shape(input.model.box_size, input.model.padding, 2 * first.r_max());
        let host_shape = volume_shape.for_kernels();
        let classes = input.references.len();
        let references = references_on(device, input.references)?;
        let volumes = device.zeros(classes * host_shape.len())?;
        let direction_weight = device.zeros(classes * input.sampling.directions.len().max(1))?;
        let taken = 24 * classes * host_shape.len();
        Ok(Iteration {
            layouts: input.optics.iter().map(|_| None).collect(),
            references,
            shape: device.upload(&[host_shape])?,
            volumes,
            direction_weight,
            batch: self.batch_size_for(input, taken)?,
            volume_shape,
            sums: WeightedSums::empty(input),
        })
    }

    /// Particles a batch, from what one needs in the first pass and in the second.
    fn batch_size_for(
        &self,
        input: &IterationInput,
        taken: usize,
    ) -> Result<usize, ExpectationError> {
        let sampling = input.sampling;
        let shifts = sampling.translations.len();
        let classes = input.model.classes.len();
        let children = sampling.translation_children(input.options.oversampling);
        let area = |f: &dyn Fn(&super::ImageSizes) -> usize| {
            input
                .sizes
                .iter()
                .map(|s| f(s) * f(s) / 2)
                .max()
                .unwrap_or(0)
        };
        let (full, coarse) = (area(&|s| s.full), area(&|s| s.coarse));
        let box_size = input.optics.iter().map(|o| o.box_size).max().unwrap_or(0);
        let global = Search::of(input) == Search::Global;
        let orientations = sampling.directions.len() * sampling.n_psi() * classes;
        let fixed = if global {
            // Slices of the whole grid, and its matrices.
            orientations
                * (coarse * 12
                    + 24 * (1 + sampling.orientation_children(input.options.oversampling)))
        } else {
            0
        } + shifts * (children * full + coarse) * 8;
        // Significant samples are not known beforehand: a twentieth of the grid, at least 2000.
        let samples = if global {
            (orientations * shifts / 20).max(2000)
        } else {
            20_000
        };
        let per_sample =
            16 + 4 * children * sampling.orientation_children(input.options.oversampling);
        let per_image = 24 * box_size * box_size
            + full * (24 + 8 * classes)
            + if global {
                orientations * (shifts + 1) * 4 + shifts * coarse * 8
            } else {
                0
            }
            + samples * (per_sample + 32);
        let available = self.memory.saturating_sub(taken + fixed);
        let batch = available / per_image.max(1);
        if batch == 0 {
            return Err(ExpectationError::Invalid(format!(
                "one particle needs {} MiB of device memory besides {} MiB for references and grids, but only {} MiB may be \
                 used. Use a card with more memory, raise --gpu_memory, coarsen the sampling, lower --pad, or run without --gpu",
                per_image >> 20,
                (taken + fixed) >> 20,
                self.memory >> 20
            )));
        }
        Ok(batch.min(1024))
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
            let layout = DeviceLayout::new(&self.device, input, group, iteration)?;
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
            iteration,
            times,
            ..
        } = self;
        let iteration = iteration.as_mut().ok_or_else(ExpectationError::not_begun)?;
        let mut clock = Clock::new(device);
        let images = images::Prepared::new(device, input, layout, items)?;
        clock.add(&mut times.get_img)?;
        let first = if Search::of(input) == Search::Global {
            first_pass::global(
                device, product, *precision, input, layout, items, &images, &mut clock, times,
            )?
        } else {
            first_pass::own(
                device, input, iteration, layout, items, &images, &mut clock, times,
            )?
        };
        let second =
            second_pass::SecondPass::new(device, input, iteration, layout, items, &images, &first)?;
        clock.add(&mut times.get_diff)?;
        let alignments = second.weigh(device, input, iteration, layout, items, &images, &first)?;
        clock.add(&mut times.convert)?;
        let shares = second.store(device, input, iteration, layout, items, &images, &first)?;
        let outcomes = totals::add(
            input,
            layout,
            items,
            &images,
            &first,
            &alignments,
            &shares,
            &mut iteration.sums,
        );
        clock.add(&mut times.store)?;
        Ok(outcomes)
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
        self.iteration.as_ref().map_or(1, |i| i.batch)
    }

    fn process_batch(
        &mut self,
        input: &IterationInput,
        batch: &[BatchItem],
    ) -> Result<Vec<ParticleOutcome>, ExpectationError> {
        let limit = self.batch_size();
        by_optics_group(input, batch, |group, items| {
            self.align(input, group, &items[..items.len().min(limit)])
        })
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
            sums.direction_weight[k].copy_from_slice(of_class);
        }
        Ok(sums)
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
            Reference::Device(r) if Arc::ptr_eq(r.volume.device(), device) => Some(&r.volume),
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
