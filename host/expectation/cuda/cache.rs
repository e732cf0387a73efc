//! Raw images on the device: those that stay from iteration to iteration, and those of the batches under way.

use super::super::{BatchItem, ExpectationError, IterationInput, StoredImage};
use crate::dataset::Pixels;
use crate::device::{Device, DeviceError, Spare, Uploaded, Uploader};
use crate::errors::Code;
use half::f16;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Images by particle, in the blocks in which they came. Batches are brought by one thread while another computes.
pub(super) struct ImageCache {
    uploader: Mutex<Uploader>,
    images: Mutex<Images>,
}

#[derive(Default)]
struct Images {
    staying: Blocks,
    /// Blocks that go with their batch.
    passing: Vec<Blocks>,
    bytes: usize,
    allowed: usize,
    /// An iteration counts on the images that stay.
    in_use: bool,
}

/// Memory, and where in it the image of each particle lies.
#[derive(Default)]
struct Blocks {
    memory: Vec<Uploaded<u8>>,
    places: HashMap<usize, Place>,
}

/// Where an image lies on the device, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    /// Address of its first pixel.
    pub address: u64,
    /// Pixels are 16-bit floats.
    pub half: bool,
}

impl Images {
    fn place(&self, particle: usize) -> Option<Place> {
        let mut blocks = std::iter::once(&self.staying).chain(&self.passing);
        blocks.find_map(|b| b.places.get(&particle)).copied()
    }
}

impl ImageCache {
    /// Without images, on `device`.
    pub(super) fn new(device: &Arc<Device>) -> Result<Self, DeviceError> {
        Ok(Self {
            uploader: Mutex::new(Uploader::new(device.clone())?),
            images: Mutex::default(),
        })
    }

    /// Limits the cache to `bytes`; where it holds more, it is emptied.
    pub(super) fn allow(&self, bytes: usize) {
        let mut images = self.images();
        images.allowed = bytes;
        if images.bytes > bytes {
            *images = Images {
                allowed: bytes,
                ..Images::default()
            };
        }
    }

    /// From now on an iteration counts on the images that stay, or none does any more.
    pub(super) fn set_in_use(&self, in_use: bool) {
        self.images().in_use = in_use;
    }

    /// Stops admitting images to the cache for this iteration; cached images remain valid.
    pub(super) fn stop_growing(&self) {
        self.images().allowed = 0;
    }

    /// Bytes of the images that stay.
    pub(super) fn bytes(&self) -> usize {
        self.images().bytes
    }

    /// Returns which of `particles` have images that stay: they need not be read again.
    pub(super) fn holds(&self, particles: &[usize]) -> Vec<bool> {
        let images = self.images();
        let staying = |id| images.staying.places.contains_key(id);
        particles.iter().map(staying).collect()
    }

    /// Releases the images of these particles that are not cached.
    pub(super) fn release<'a>(&self, items: impl Iterator<Item = &'a BatchItem<'a>>) {
        let particles: HashSet<usize> = items.map(|item| item.particle.id).collect();
        self.images()
            .passing
            .retain(|b| !b.places.keys().any(|id| particles.contains(id)));
    }

    /// Brings those images of `items` onto the device that are not there, and tells where all of them are.
    pub(super) fn bring(&self, items: &[&BatchItem]) -> Result<Vec<Place>, ExpectationError> {
        let missing: Vec<&BatchItem> = items
            .iter()
            .copied()
            .filter(|item| self.images().place(item.particle.id).is_none())
            .collect();
        self.upload(&missing)?;
        let images = self.images();
        items
            .iter()
            .map(|item| {
                images
                    .place(item.particle.id)
                    .ok_or_else(|| not_there(item))
            })
            .collect()
    }

    /// The pixels of the image of `item` on the host: those that were handed over, or those that are on the device.
    pub(super) fn pixels<'a>(
        &self,
        device: &Device,
        input: &IterationInput,
        item: &'a BatchItem,
    ) -> Result<Pixels<'a>, ExpectationError> {
        if !item.image.is_empty() {
            return Ok(item.image.borrowed());
        }
        let images = self.images();
        let place = images.place(item.particle.id);
        let place = place.ok_or_else(|| not_there(item))?;
        let blocks = std::iter::once(&images.staying).chain(&images.passing);
        let mut memory = blocks.flat_map(|blocks| &blocks.memory);
        let begin = |uploaded: &Uploaded<u8>| {
            let begin = place.address.checked_sub(uploaded.block.view().address())?;
            let begin = begin as usize;
            (begin < uploaded.block.len()).then_some(begin)
        };
        let found = memory.find_map(|uploaded| Some((uploaded, begin(uploaded)?)));
        let (uploaded, begin) = found.ok_or_else(|| not_there(item))?;
        let count = input.optics[item.particle.optics_group].box_size.pow(2);
        let pixel = match place.half {
            true => size_of::<f16>(),
            false => size_of::<f32>(),
        };
        let bytes = device.download(&uploaded.block, begin + count * pixel)?;
        Ok(match place.half {
            true => bytemuck::pod_collect_to_vec::<u8, f16>(&bytes[begin..]).into(),
            false => bytemuck::pod_collect_to_vec::<u8, f32>(&bytes[begin..]).into(),
        })
    }

    /// A block with the images of `items` that have pixels.
    pub(super) fn upload(&self, items: &[&BatchItem]) -> Result<(), DeviceError> {
        let items: Vec<&BatchItem> = items
            .iter()
            .copied()
            .filter(|item| !item.image.is_empty())
            .collect();
        let images: Vec<StoredImage> = items
            .iter()
            .map(|item| StoredImage {
                particle: item.particle.id,
                bytes: item.image.bytes().len(),
                half: matches!(item.image, Pixels::Half(_)),
            })
            .collect();
        self.fill(&images, &|i, to| to.copy_from_slice(items[i].image.bytes()))
    }

    /// A block with `images`, each of which `fill` writes by its number.
    pub(super) fn fill(
        &self,
        images: &[StoredImage],
        fill: &(dyn Fn(usize, &mut [u8]) + Sync),
    ) -> Result<(), DeviceError> {
        if images.is_empty() {
            return Ok(());
        }
        let sizes: Vec<usize> = images.iter().map(|image| image.bytes).collect();
        let mut uploader = lock(&self.uploader);
        let uploaded = uploader.upload(&sizes, fill)?;
        let first = uploaded.block.view().address();
        let places: Vec<(usize, Place)> = images
            .iter()
            .zip(&uploaded.begins)
            .map(|(image, &begin)| {
                let place = Place {
                    address: first + begin as u64,
                    half: image.half,
                };
                (image.particle, place)
            })
            .collect();
        let bytes = uploaded.block.len();
        let mut images = self.images();
        if images.bytes + bytes <= images.allowed {
            images.bytes += bytes;
            images.staying.places.extend(places);
            images.staying.memory.push(uploaded);
        } else {
            images.passing.push(Blocks {
                memory: vec![uploaded],
                places: places.into_iter().collect(),
            });
        }
        Ok(())
    }

    fn images(&self) -> MutexGuard<'_, Images> {
        lock(&self.images)
    }
}

fn not_there(item: &BatchItem) -> ExpectationError {
    ExpectationError::Particle {
        code: Code::INTERNAL,
        image: item.name.clone(),
        message: "its image was neither handed over nor kept on the device".into(),
    }
}

/// A thread that panicked ends the run, whatever it held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Between iterations images give way to whatever needs the memory: they are read again.
impl Spare for ImageCache {
    fn free(&self) -> bool {
        let mut images = self.images();
        if images.in_use || images.bytes == 0 {
            return false;
        }
        *images = Images {
            allowed: images.allowed,
            ..Images::default()
        };
        true
    }

    fn bytes(&self) -> usize {
        let images = self.images();
        if images.in_use { 0 } else { images.bytes }
    }
}
