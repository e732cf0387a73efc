//! Back-projection sums A (data) and W (weight) on the oversampled half-complex grid (spec 02 §1).

use super::reference::{VolumeShape, volume_shape};
use num_complex::Complex64;
use rayon::prelude::*;

/// Weighted sums in Fourier space; layout as `ReferenceVolume`.
#[derive(Debug, Clone)]
pub struct BackProjection {
    /// Σ γ c X/σ².
    pub data: Vec<Complex64>,
    /// Σ γ c²/σ².
    pub weight: Vec<f64>,
    /// 2(ROUND(P·r_max)+1)+1.
    pub side: usize,
    /// r_max in unpadded shells.
    pub r_max: usize,
    /// Padding factor P.
    pub padding: f64,
}

impl BackProjection {
    /// Zeroed sums for a box `box_size`, padding and current size (spec 02 §1.1).
    pub fn new(box_size: usize, padding: f64, current_size: usize) -> Self {
        let shape = volume_shape(box_size, padding, current_size);
        let voxels = shape.side * shape.side * (shape.side / 2 + 1);
        Self {
            data: vec![Complex64::default(); voxels],
            weight: vec![0.0; voxels],
            side: shape.side,
            r_max: shape.r_max,
            padding: shape.padding,
        }
    }

    /// Shape of these sums for references of box `box_size`.
    pub fn shape(&self, box_size: usize) -> VolumeShape {
        VolumeShape {
            side: self.side,
            r_max: self.r_max,
            padding: self.padding,
            padded_box: volume_shape(box_size, self.padding, 0).padded_box,
        }
    }

    /// Largest logical index h = (side − 1)/2.
    pub fn half(&self) -> usize {
        self.side / 2
    }

    /// Stored voxels of one z plane.
    pub fn plane(&self) -> usize {
        self.side * (self.side / 2 + 1)
    }

    /// Rp² with Rp = ROUND(r_max·P): voxels and samples beyond it are not used.
    pub fn radius2(&self) -> i64 {
        let r = super::shells::round(self.r_max as f64 * self.padding);
        r * r
    }

    /// Add the sums of another worker, or of the other half-set.
    ///
    /// # Panics
    /// If the shapes differ: all sums of one iteration have the same current size.
    pub fn add(&mut self, other: &BackProjection) {
        assert_eq!(
            (self.side, self.r_max),
            (other.side, other.r_max),
            "sums of one iteration have one shape"
        );
        let plane = self.plane();
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
