//! Back-projection of all particles: on the processor, or on cards.

use super::slices::GroupSlices;
use super::{Correction, ReconstructError, ReconstructSettings};
use crate::dataset::{ImageStore, ParticleSet};
use crate::device::map::{names, open_cards};
use crate::device::{Device, DeviceError};
use crate::expectation::cpu::{Inserter, SumSlice};
use crate::expectation::cuda::insertion;
use crate::fourier::backprojection::BackProjection;
use crate::fourier::shape::VolumeShape;
use crate::fourier::sums::{DeviceSums, Sums};
use rayon::prelude::*;

/// Sums that slices are added to.
pub(super) enum Target {
    /// On the processor.
    Host {
        sums: BackProjection,
        /// Padded voxels from which on pixels go to the nearest voxel.
        nearest: Option<f64>,
    },
    /// On cards: batches go to them in turn.
    Cards(Vec<DeviceSums>),
}

impl Target {
    /// Zeroed sums where the settings want them.
    ///
    /// # Errors
    /// A card that is not there, or is full.
    pub(super) fn new(
        settings: &ReconstructSettings,
        shape: VolumeShape,
    ) -> Result<Self, DeviceError> {
        let Some(list) = &settings.gpu else {
            return Ok(Self::Host {
                sums: BackProjection::zeros(shape),
                nearest: settings
                    .nearest
                    .map(|shells| (shells * shape.padding).round()),
            });
        };
        let cards = open_cards(list)?;
        let sums = cards.iter().map(|card| insertion::zeroed_sums(card, shape));
        Ok(Self::Cards(sums.collect::<Result<_, _>>()?))
    }

    /// Numbers and names of the cards.
    pub(super) fn cards(&self) -> Vec<String> {
        fn device(sums: &DeviceSums) -> &Device {
            sums.volume.device()
        }
        match self {
            Self::Host { .. } => Vec::new(),
            Self::Cards(cards) => names(cards.iter().map(device)),
        }
    }

    fn shape(&self) -> VolumeShape {
        match self {
            Self::Host { sums, .. } => sums.shape,
            Self::Cards(cards) => cards[0].shape,
        }
    }

    /// The sums of all cards together, or those of the processor.
    ///
    /// # Errors
    /// A card fails.
    pub(super) fn into_sums(self) -> Result<Sums, DeviceError> {
        let cards = match self {
            Self::Host { sums, .. } => return Ok(sums.into()),
            Self::Cards(cards) => cards,
        };
        let mut cards = cards.into_iter().map(Sums::Device);
        let Some(mut total) = cards.next() else {
            return Err(DeviceError::NoDevice(String::new()));
        };
        for sums in cards {
            total.add(&sums)?;
        }
        Ok(total)
    }
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
            let slices =
                GroupSlices::new(self.set, group, &target.shape(), pixel_size, correction)?;
            let progress = |done| progress(before + done, chosen.len());
            match target {
                Target::Host { sums, nearest } => {
                    self.add_on_host(sums, *nearest, &slices, &members, progress)?;
                }
                Target::Cards(cards) => self.add_on_cards(cards, &slices, &members, progress)?,
            }
            before += members.len();
        }
        Ok(())
    }

    fn add_on_host(
        &self,
        sums: &mut BackProjection,
        nearest: Option<f64>,
        slices: &GroupSlices,
        members: &[usize],
        mut progress: impl FnMut(usize),
    ) -> Result<(), ReconstructError> {
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

    fn add_on_cards(
        &self,
        cards: &mut [DeviceSums],
        slices: &GroupSlices,
        members: &[usize],
        mut progress: impl FnMut(usize),
    ) -> Result<(), ReconstructError> {
        /// Bytes of slices that go to a card together.
        const BATCH: usize = 64 << 20;
        let bytes = slices.size * (slices.size / 2 + 1) * size_of::<[f32; 3]>();
        let (mut done, count) = (0, cards.len());
        for (number, members) in members.chunks((BATCH / bytes).max(1)).enumerate() {
            let made: Vec<Vec<SumSlice>> = members
                .par_iter()
                .map(|&index| self.slices(slices, index))
                .collect::<Result<_, _>>()?;
            let made: Vec<SumSlice> = made.into_iter().flatten().collect();
            insertion::insert_slices(&mut cards[number % count], slices.size, &made)?;
            done += members.len();
            progress(done);
        }
        Ok(())
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
