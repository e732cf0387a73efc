//! The model: references, spectra, priors and scales of one half-set (or of a classification).

pub mod local_symmetry;
pub mod map_checks;
pub mod mask_checks;
mod moments;
pub mod regions;

pub use moments::Moments;

use crate::fourier::shape::Dimensions;
use ndarray::Array3;
use std::sync::Arc;

/// One class (one reference).
#[derive(Debug, Clone)]
pub struct ClassModel {
    /// Map, indices (z, y, x), box N, real-space origin at N/2; a class average is a map of one section. Shared with whoever still
    /// writes it to a file: to copy hundreds of megabytes would take longer than to make them.
    pub map: Arc<Array3<f64>>,
    /// π_k.
    pub fraction: f64,
    /// `rlnReferenceTau2` per shell 0…N/2.
    pub tau2: Vec<f64>,
    /// `rlnReferenceSigma2`.
    pub sigma2: Vec<f64>,
    /// `rlnSsnrMap` (data versus prior).
    pub ssnr: Vec<f64>,
    /// `rlnFourierCompleteness`.
    pub coverage: Vec<f64>,
    /// `rlnGoldStandardFsc`.
    pub fsc: Vec<f64>,
    /// `rlnSpectralOrientabilityContribution`, once estimated.
    pub orientability: Option<Vec<f64>>,
    /// `rlnOrientationDistribution`, one value a coarse direction.
    pub direction_prior: Vec<f64>,
    /// µ_k, Å (`rlnClassPriorOffsetX`, `…Y`): centre of the offset prior of a class average; (0, 0) for maps.
    pub offset_prior: [f64; 2],
    /// Degrees.
    pub accuracy_rotations: f64,
    /// Å.
    pub accuracy_translations: f64,
    /// Moments of the gradient, from the first gradient iteration on (`--grad`).
    pub moments: Option<Moments>,
}

impl Model {
    /// Dimensionality of the references.
    pub fn dimensions(&self) -> Dimensions {
        Dimensions::of_sections(self.classes[0].map.dim().0)
    }
}

/// Everything a `_model.star` holds.
#[derive(Debug, Clone)]
pub struct Model {
    /// Box N of the references, pixels.
    pub box_size: usize,
    /// Å per pixel of the references.
    pub pixel_size: f64,
    /// `--pad`.
    pub padding: f64,
    /// T.
    pub tau2_fudge: f64,
    /// Classes.
    pub classes: Vec<ClassModel>,
    /// σ² of the noise per optics group and shell 0…N/2.
    pub noise: Vec<Vec<f64>>,
    /// Scale correction per scale group.
    pub scales: Vec<f64>,
    /// Particles per scale group (in this half).
    pub group_particles: Vec<usize>,
    /// N̄, `rlnNormCorrectionAverage`.
    pub average_norm: f64,
    /// σ_o², Å².
    pub sigma2_offset: f64,
    /// `rlnAveragePmax`.
    pub average_pmax: f64,
    /// `rlnLogLikelihood`.
    pub log_likelihood: f64,
    /// ν, 1/Å (0 before the first estimate).
    pub current_resolution: f64,
    /// S of the iteration the model was made in.
    pub current_size: usize,
    /// Widths of angular priors in local searches (degrees); None in global searches.
    pub local_search: Option<crate::geometry::prior::LocalSearch>,
}
