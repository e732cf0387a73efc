//! Raw images that stay on the device from iteration to iteration.

use super::super::BatchItem;
use crate::device::{Buffer, Device, DeviceError};
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};

/// Images by particle, in the blocks in which they came.
#[derive(Default)]
pub struct ImageCache {
    blocks: Vec<Buffer<f32>>,
    /// Address of each particle's image.
    held: HashMap<usize, u64>,
    bytes: usize,
    allowed: usize,
}

/// Where the images of a batch lie; holds those that do not stay.
pub struct Sources {
    /// An address an image.
    pub addresses: Buffer<u64>,
    _passing: Option<Buffer<f32>>,
}

impl ImageCache {
    /// Lets images stay up to `bytes`; more than that are all let go.
    pub fn allow(&mut self, bytes: usize) {
        self.allowed = bytes;
        if self.bytes > bytes {
            *self = Self {
                allowed: bytes,
                ..Self::default()
            };
        }
    }

    /// Lets no more images stay in this iteration; those that do are counted on.
    pub fn stop_growing(&mut self) {
        self.allowed = 0;
    }

    /// Bytes of the images that stay.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Particles whose images are here: they need not be read again.
    pub fn particles(&self) -> HashSet<usize> {
        self.held.keys().copied().collect()
    }

    /// Brings the images of `items`, `pixels` each, onto the device.
    pub fn bring(
        &mut self,
        device: &Device,
        items: &[&BatchItem],
        pixels: usize,
    ) -> Result<Sources, DeviceError> {
        let missing: Vec<&BatchItem> = items
            .iter()
            .copied()
            .filter(|item| !self.held.contains_key(&item.particle.id))
            .collect();
        let mut passing = None;
        let mut first = 0;
        if !missing.is_empty() {
            let mut raw = vec![0.0f32; missing.len() * pixels];
            raw.par_chunks_exact_mut(pixels)
                .zip(&missing)
                .for_each(|(to, item)| to.copy_from_slice(&item.image));
            let block = device.upload(&raw)?;
            first = block.pointer().address();
            let bytes = size_of_val(raw.as_slice());
            if self.bytes + bytes <= self.allowed {
                self.bytes += bytes;
                self.blocks.push(block);
                for (i, item) in missing.iter().enumerate() {
                    self.held
                        .insert(item.particle.id, address(first, i, pixels));
                }
            } else {
                passing = Some(block);
            }
        }
        let mut next = 0;
        let addresses: Vec<u64> = items
            .iter()
            .map(|item| match self.held.get(&item.particle.id) {
                Some(&held) => held,
                None => {
                    next += 1;
                    address(first, next - 1, pixels)
                }
            })
            .collect();
        Ok(Sources {
            addresses: device.upload(&addresses)?,
            _passing: passing,
        })
    }
}

fn address(first: u64, image: usize, pixels: usize) -> u64 {
    first + (image * pixels * size_of::<f32>()) as u64
}
