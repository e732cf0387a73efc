//! Tasks done for a batch while the device computes with the one before it: its images are brought, its orientations listed.

use super::super::batches::of_group;
use super::super::orientations::Search;
use super::super::{BatchItem, ExpectationError, ImageIntake, IterationInput, StoredImage};
use super::cache::ImageCache;
use super::searched::SearchedOrientations;
use crate::dataset::Pixels;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where an engine takes what is made ready for it.
pub(super) struct Intake {
    images: Arc<ImageCache>,
    listed: Mutex<Vec<Listed>>,
}

/// Orientations of some particles.
struct Listed {
    particles: Vec<usize>,
    searched: SearchedOrientations,
}

impl Intake {
    /// Brings images to `images`.
    pub(super) fn new(images: Arc<ImageCache>) -> Self {
        Self {
            images,
            listed: Mutex::default(),
        }
    }

    /// Forgets what was listed: orientations change from iteration to iteration.
    pub(super) fn clear(&self) {
        self.listed().clear();
    }

    /// Orientations of `items`, listed before or now.
    pub(super) fn orientations(
        &self,
        input: &IterationInput,
        items: &[&BatchItem],
    ) -> SearchedOrientations {
        let mut listed = self.listed();
        let is_of = |listed: &Listed| {
            let own = items.iter().map(|item| item.particle.id);
            listed.particles.iter().copied().eq(own)
        };
        let found = listed.iter().position(is_of);
        let found = found.map(|place| listed.swap_remove(place).searched);
        drop(listed);
        found.unwrap_or_else(|| SearchedOrientations::of(input, items))
    }

    /// A thread that panicked ends the run, whatever it held.
    fn listed(&self) -> MutexGuard<'_, Vec<Listed>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ImageIntake for Intake {
    fn holds(&self, particles: &[usize]) -> Vec<bool> {
        self.images.holds(particles)
    }

    fn take(&self, items: &mut [BatchItem]) -> Result<(), ExpectationError> {
        match self.images.upload(&items.iter().collect::<Vec<_>>()) {
            // The engine brings them in smaller parts then.
            Err(error) if error.is_full() => return Ok(()),
            found => found?,
        }
        items.iter_mut().for_each(|item| item.image = Pixels::NONE);
        Ok(())
    }

    fn read(
        &self,
        images: &[StoredImage],
        read: &(dyn Fn(usize, &mut [u8]) + Sync),
    ) -> Result<bool, ExpectationError> {
        match self.images.fill(images, read) {
            Err(error) if error.is_full() => Ok(false),
            Err(error) => Err(error.into()),
            Ok(()) => Ok(true),
        }
    }

    fn foresee(&self, input: &IterationInput, items: &[BatchItem]) {
        if Search::of(input) != Search::Local {
            return;
        }
        for group in 0..input.optics.len() {
            let (_, items) = of_group(items, group);
            if !items.is_empty() {
                let listed = Listed {
                    particles: items.iter().map(|item| item.particle.id).collect(),
                    searched: SearchedOrientations::of(input, &items),
                };
                self.listed().push(listed);
            }
        }
    }
}
