//! Regions of a map that a refinement tells apart: the wanted one, which particles are aligned by, and the unwanted one, whose signal
//! is subtracted before (GeRelion's dynamic signal subtraction, spec 06 §9.2).

use ndarray::Array3;
use std::borrow::Cow;

/// The wanted and the unwanted region. Masks have the box of the map and values between 0 and 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Regions {
    /// Mask of the wanted region (`--red_mask`).
    pub wanted: Array3<f64>,
    /// The unwanted region.
    pub unwanted: Unwanted,
    /// Iteration from which on the signal is subtracted: 1, or 2 where the particles have no orientations before.
    pub from_iteration: usize,
}

/// How the signal of the unwanted region is known.
#[derive(Debug, Clone, PartialEq)]
pub enum Unwanted {
    /// Mask of the region in the current map (`--yellow_mask`).
    Mask(Array3<f64>),
    /// A map of it that stays as it is, on the grey scale of the images (`--yellow_map`).
    Map(Array3<f64>),
}

impl Regions {
    /// Returns the wanted region of a map.
    pub fn wanted_of(&self, map: &Array3<f64>) -> Array3<f64> {
        map * &self.wanted
    }

    /// Returns the unwanted region of a map.
    pub fn unwanted_of(&self, map: &Array3<f64>) -> Cow<'_, Array3<f64>> {
        match &self.unwanted {
            Unwanted::Mask(mask) => Cow::Owned(map * mask),
            Unwanted::Map(fixed) => Cow::Borrowed(fixed),
        }
    }
}
