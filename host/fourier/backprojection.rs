//! Back-projection sums A (data) and W (weight) on the oversampled half-complex grid (spec 02 §1).

use super::shape::{Dimensions, VolumeShape};
use num_complex::Complex64;
use rayon::prelude::*;

/// Weighted sums in Fourier space.
#[derive(Debug, Clone)]
pub struct BackProjection {
    /// Σ γ c X/σ².
    pub data: Vec<Complex64>,
    /// Σ γ c²/σ².
    pub weight: Vec<f64>,
    /// Their grid.
    pub shape: VolumeShape,
}

impl BackProjection {
    /// Zeroed sums for 3D references of a box `box_size`, padding and current size (spec 02 §1.1).
    pub fn new(box_size: usize, padding: f64, current_size: usize) -> Self {
        Self::zeros(VolumeShape::new(
            Dimensions::Three,
            box_size,
            padding,
            current_size,
        ))
    }

    /// Zeroed sums of a shape.
    pub fn zeros(shape: VolumeShape) -> Self {
        Self {
            data: vec![Complex64::default(); shape.voxels()],
            weight: vec![0.0; shape.voxels()],
            shape,
        }
    }

    /// Add the sums of another worker, or of the other half-set.
    ///
    /// # Panics
    /// If the shapes differ: all sums of one iteration have the same current size.
    pub fn add(&mut self, other: &BackProjection) {
        assert_eq!(
            self.shape, other.shape,
            "sums of one iteration have one shape"
        );
        let plane = self.shape.plane();
        self.data
            .par_chunks_mut(plane)
            .zip(other.data.par_chunks(plane))
            .for_each(|(a, b)| a.iter_mut().zip(b).for_each(|(a, b)| *a += b));
        self.weight
            .par_chunks_mut(plane)
            .zip(other.weight.par_chunks(plane))
            .for_each(|(a, b)| a.iter_mut().zip(b).for_each(|(a, b)| *a += b));
    }
}
