//! A batch of particles through all stages, smaller where the device turns out to be full.

use super::batch::BatchContext;
use super::clock::{Clock, Stage};
use super::layout::DeviceLayout;
use super::on_host::OnHost;
use super::second_pass::{self, Found, SecondPass};
use super::{CudaEngine, TransformPlans, first_pass, images, listing, own_orientations, totals};
use crate::device::Precision;
use crate::errors::tell;
use crate::expectation::orientations::Search;
use crate::expectation::{
    BatchItem, Criterion, ExpectationEngine, ExpectationError, IterationInput, ParticleOutcome,
};

impl CudaEngine {
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
                (&self.device, &mut self.staging, &mut self.lists),
                (&self.product, precision_of(input, self.precision)),
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
            intake,
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
        let precision = precision_of(input, *precision);
        let capacity = second_pass::samples_at_once(input, iteration, layout)
            .min(*foreseen * items.len())
            .max(1);
        let mut first = if Search::of(input) == Search::Global {
            first_pass::global(&batch, (product, precision), capacity, staging, clock)?
        } else {
            own_orientations::first_pass(&batch, (intake, lists), capacity, staging, clock)?
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
    pub(super) fn align_some(
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

/// Rounding of the products of an iteration, if the user's choice is `chosen`: the single best sample of a cross-correlation
/// needs all the digits there are.
fn precision_of(input: &IterationInput, chosen: Precision) -> Precision {
    match input.criterion {
        Criterion::Likelihood => chosen,
        Criterion::CrossCorrelation => Precision::Single,
    }
}
