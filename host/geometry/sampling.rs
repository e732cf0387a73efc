//! The grid of orientations and translations and its oversampling (spec 01 §4).

use super::{Matrix3, symmetry::PointGroup};

/// A coarse direction of the asymmetric unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Direction {
    /// Nested HEALPix pixel at the sampling's order.
    pub pixel: u64,
    /// Degrees, (−180, 180].
    pub rot: f64,
    /// Degrees.
    pub tilt: f64,
}

/// Coarse grid of directions × psi × translations with the random perturbation of the iteration.
#[derive(Debug, Clone)]
pub struct Sampling {
    /// HEALPix order h of the coarse grid.
    pub healpix_order: u32,
    /// Point group restricting the directions.
    pub symmetry: PointGroup,
    /// `--limit_tilt`.
    pub limit_tilt: f64,
    /// Coarse psi step, degrees (360/n_psi).
    pub psi_step: f64,
    /// Range of translations, Å.
    pub offset_range: f64,
    /// Coarse step of translations, Å.
    pub offset_step: f64,
    /// `--perturb`.
    pub perturbation_factor: f64,
    /// Current perturbation x (spec 01 §4.6).
    pub perturbation: f64,
    /// Coarse directions.
    pub directions: Vec<Direction>,
    /// Coarse translations, Å, unperturbed, in index order.
    pub translations: Vec<[f64; 2]>,
}

impl Sampling {
    /// Build the grid. `psi_step` ≤ 0 means "the same as the direction step".
    pub fn new(
        _healpix_order: u32,
        _psi_step: f64,
        _symmetry: PointGroup,
        _limit_tilt: f64,
        _offset_range: f64,
        _offset_step: f64,
        _perturbation_factor: f64,
    ) -> Self {
        todo!()
    }
    /// Number of coarse psi angles.
    pub fn n_psi(&self) -> usize {
        todo!()
    }
    /// Coarse angular step in degrees, 360/(6·2^h).
    pub fn angular_step(&self) -> f64 {
        todo!()
    }
    /// The same with `oversampling` levels.
    pub fn oversampled_angular_step(&self, _oversampling: u32) -> f64 {
        todo!()
    }
    /// 8^q.
    pub fn orientation_children(&self, _oversampling: u32) -> usize {
        todo!()
    }
    /// 4^q.
    pub fn translation_children(&self, _oversampling: u32) -> usize {
        todo!()
    }
    /// Perturbed orientation matrices of all children (q = 0: the parent itself) of coarse (direction, psi),
    /// in child order (direction child outer, psi child inner).
    pub fn orientations(&self, _direction: usize, _psi: usize, _oversampling: u32) -> Vec<Matrix3> {
        todo!()
    }
    /// Perturbed translations (Å) of all children of a coarse translation, x outer, y inner (q = 0: the parent).
    pub fn shifts(&self, _translation: usize, _oversampling: u32) -> Vec<[f64; 2]> {
        todo!()
    }
    /// Draw the next perturbation (spec 01 §4.6) from a generator already seeded.
    pub fn perturb(&mut self, _random: &mut super::random::CRandom) {
        todo!()
    }
}
