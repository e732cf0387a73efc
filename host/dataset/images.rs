//! Reading particle images in stack order.

use super::{DatasetError, ParticleSet};

/// Gives out images of particles; keeps stacks open and optionally all images in memory.
pub struct ImageStore {}

impl ImageStore {
    /// Open every stack of the set, checking that each slice exists and that boxes agree with the optics table.
    /// `preread` decodes all images into memory.
    pub fn open(_set: &ParticleSet, _preread: bool) -> Result<Self, DatasetError> {
        todo!()
    }
    /// Image of particle `index` (row-major, box²) into `out`; NaN or all-zero images are errors naming the particle.
    pub fn read_into(
        &self,
        _set: &ParticleSet,
        _index: usize,
        _out: &mut [f32],
    ) -> Result<(), DatasetError> {
        todo!()
    }
}
