//! Back-projection of all particles: on the processor, or on cards.

use super::slices::GroupSlices;
use super::{Correction, ReconstructError, ReconstructSettings};
use crate::dataset::{ImageStore, ParticleSet};
use crate::device::map::{left_out, names, open_cards};
use crate::device::{Device, DeviceError};
use crate::expectation::cpu::{Inserter, SumSlice};
use crate::expectation::cuda::insertion;
use crate::fourier::backprojection::BackProjection;
use crate::fourier::shape::VolumeShape;
use crate::fourier::sums::{DeviceSums, Sums};
use rayon::prelude::*;

/// Arrays on a card, for the user.
const ARRAYS: &str = "the sums of the map";

/// Sums that slices are added to.
pub(super) struct Target {
    shape: VolumeShape,
    /// On cards: batches go to them in turn.
    cards: Vec<DeviceSums>,
    /// On the processor: where no cards are asked for, or those that were are full.
    host: Option<BackProjection>,
    /// Padded voxels from which on pixels go to the nearest voxel.
    nearest: Option<f64>,
    /// For the user.
    warnings: Vec<String>,
}

impl Target {
    /// Zeroed sums where the settings want them.
    ///
    /// # Errors
    /// A card is not there or fails.
    pub(super) fn new(
        settings: &ReconstructSettings,
        shape: VolumeShape,
    ) -> Result<Self, DeviceError> {
        let mut target = Self {
            shape,
            cards: Vec::new(),
            host: None,
            nearest: settings
                .nearest
                .map(|shells| (shells * shape.padding).round()),
            warnings: Vec::new(),
        };
        let Some(list) = &settings.gpu else {
            return Ok(target);
        };
        for card in open_cards(list)? {
            match insertion::zeroed_sums(&card, shape) {
                Err(error) if error.is_full() => target.warnings.push(left_out(&card, ARRAYS)),
                sums => target.cards.push(sums?),
            }
        }
        Ok(target)
    }

    /// Numbers and names of the cards.
    pub(super) fn cards(&self) -> Vec<String> {
        names(self.cards.iter().map(device))
    }

    /// Adds slices (of boxes of `size` pixels) to the sums of a card, whose turn `number` tells. A full card leaves its sums to the
    /// processor and takes no part any more. Returns false, without adding the slices, where no card is left.
    fn add_on_card(
        &mut self,
        number: usize,
        size: usize,
        slices: &[SumSlice],
    ) -> Result<bool, DeviceError> {
        while !self.cards.is_empty() {
            let turn = number % self.cards.len();
            match insertion::insert_slices(&mut self.cards[turn], size, slices) {
                Err(error) if error.is_full() => {
                    let full = self.cards.remove(turn);
                    self.warnings.push(left_out(device(&full), ARRAYS));
                    let sums = full.to_host()?;
                    match &mut self.host {
                        Some(host) => host.add(&sums),
                        None => self.host = Some(sums),
                    }
                }
                done => return done.map(|()| true),
            }
        }
        Ok(false)
    }

    /// The sums of all cards and those of the processor together, and warnings about cards that were left out.
    ///
    /// # Errors
    /// A card fails.
    pub(super) fn into_sums(self) -> Result<(Sums, Vec<String>), DeviceError> {
        let cards = self.cards.into_iter().map(Sums::Device);
        let mut parts = cards.chain(self.host.map(Sums::Host));
        let Some(mut total) = parts.next() else {
            return Ok((BackProjection::zeros(self.shape).into(), self.warnings));
        };
        for sums in parts {
            total.add(&sums)?;
        }
        Ok((total, self.warnings))
    }
}

fn device(sums: &DeviceSums) -> &Device {
    sums.volume.device()
}

/// Particles, their images and how much each of them counts.
pub(super) struct Source<'a> {
    pub set: &'a ParticleSet,
    pub images: &'a ImageStore,
    /// Figures of merit, by particle.
    pub figures: Option<Vec<f64>>,
}

impl Source<'_> {
    /// Adds particles, group by group, in batches. `progress` is told the number of particles done and of all.
    ///
    /// # Errors
    /// Images cannot be read or used; a card is full or fails.
    pub(super) fn add_to(
        &self,
        target: &mut Target,
        chosen: &[usize],
        pixel_size: f64,
        correction: &Correction,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<(), ReconstructError> {
        let mut before = 0;
        for group in 0..self.set.optics.len() {
            let of_group = |&&index: &&usize| self.set.particles[index].optics_group == group;
            let members: Vec<usize> = chosen.iter().filter(of_group).copied().collect();
            if members.is_empty() {
                continue;
            }
            let slices = GroupSlices::new(self.set, group, &target.shape, pixel_size, correction)?;
            let mut progress = |done| progress(before + done, chosen.len());
            let added = self.add_on_cards(target, &slices, &members, &mut progress)?;
            if added < members.len() {
                let progress = |done| progress(added + done);
                self.add_on_host(target, &slices, &members[added..], progress)?;
            }
            before += members.len();
        }
        Ok(())
    }

    fn add_on_host(
        &self,
        target: &mut Target,
        slices: &GroupSlices,
        members: &[usize],
        mut progress: impl FnMut(usize),
    ) -> Result<(), ReconstructError> {
        let (shape, nearest) = (target.shape, target.nearest);
        let sums = target
            .host
            .get_or_insert_with(|| BackProjection::zeros(shape));
        let mut inserter =
            Inserter::new(&sums.shape, slices.size).with_slices_per_image(slices.per_image());
        if let Some(radius) = nearest {
            inserter = inserter.with_nearest(radius);
        }
        let mut done = 0;
        for members in members.chunks(inserter.batch()) {
            inserter.insert(sums, members.len(), |range, mut sorter| {
                for &index in &members[range] {
                    sorter.add(&self.slices(slices, index)?);
                }
                Ok::<(), ReconstructError>(())
            })?;
            done += members.len();
            progress(done);
        }
        Ok(())
    }

    /// Returns the number of images that were added: fewer than all where no card is left.
    fn add_on_cards(
        &self,
        target: &mut Target,
        slices: &GroupSlices,
        members: &[usize],
        progress: &mut impl FnMut(usize),
    ) -> Result<usize, ReconstructError> {
        /// Bytes of slices that go to a card together.
        const BATCH: usize = 64 << 20;
        let bytes = slices.size * (slices.size / 2 + 1) * size_of::<[f32; 3]>();
        let mut done = 0;
        if target.cards.is_empty() {
            return Ok(done);
        }
        for (number, members) in members.chunks((BATCH / bytes).max(1)).enumerate() {
            let made: Vec<Vec<SumSlice>> = members
                .par_iter()
                .map(|&index| self.slices(slices, index))
                .collect::<Result<_, _>>()?;
            let made: Vec<SumSlice> = made.into_iter().flatten().collect();
            if !target.add_on_card(number, slices.size, &made)? {
                break;
            }
            done += members.len();
            progress(done);
        }
        Ok(done)
    }

    fn slices(&self, group: &GroupSlices, index: usize) -> Result<Vec<SumSlice>, ReconstructError> {
        let image = self.images.image(self.set, index)?;
        let figure = self.figures.as_ref().map_or(1.0, |figures| figures[index]);
        group
            .of(&self.set.particles[index], &image.single(), figure)
            .map_err(|e| match e {
                ReconstructError::Invalid(message) => {
                    message.about(self.set.describe(index)).into()
                }
                other => other,
            })
    }
}
