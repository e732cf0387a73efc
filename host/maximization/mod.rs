//! Maximisation: reconstruction of the references and update of every spectrum and parameter of the model
//! (spec 02 §1.4–§3, §5.6, §6.3–6.5; spec 01 §7.8).
//!
//! Order of use after the expectation step, per half-set and class:
//! [`volumes::symmetrise`] → (halves) [`volumes::join_low_resolution`] → [`volumes::fsc`] (or
//! [`volumes::solvent_corrected_fsc`]) → (joined) [`Sums::add`] → [`maximize_class`] → [`parameters::update_parameters`] → (after a CC iteration) [`first_iteration::follow_up`].

mod averages;
pub mod completeness;
mod cuda;
mod density_compensation;
pub mod external;
mod finish;
pub mod first_iteration;
#[cfg(test)]
mod fixtures;
mod footprint;
pub mod gradient;
pub mod halves;
pub mod initial;
pub mod local_averaging;
pub mod map_fsc;
mod noise;
pub mod parameters;
mod prior;
mod radial;
pub mod reconstruct;
#[cfg(test)]
mod round_trip;
pub mod spectra;
pub mod symmetrise;
pub mod tau2;
pub mod volumes;

pub use averages::{all_on_host, maximize_averages};
pub use cuda::prepare as prepare_on_device;
pub use cuda::{Sphere, SpheresOnDevice};
pub use density_compensation::bytes as density_compensation_bytes;
pub use finish::{Centring, Finish, Flattening, LowPass, centre_of_mass, shifted, trilinear};
pub use footprint::Footprint;

use crate::device::DeviceError;
use crate::errors::{Code, Coded, Message};
use crate::fourier::shape::VolumeShape;
use crate::fourier::sums::Sums;
use crate::model::ClassModel;
use ndarray::Array3;
use spectra::Statistics;
use std::sync::Arc;

/// Σ W up to which sums count as empty.
const EMPTY_SUMS: f64 = 1e-6;

/// Errors of a maximisation.
#[derive(Debug, thiserror::Error)]
pub enum MaximizationError {
    /// Weights of a shell are neither zero nor usable (spec 02 §3.1).
    #[error(
        "the weights of shell {shell} sum to {sum:e}, which is unexpectedly small yet not zero: the noise spectrum or \
         the grey scale of the images is probably wrong. Normalise the particles (background σ = 1) and start again."
    )]
    TinyWeight {
        /// Unpadded shell.
        shell: usize,
        /// Σ c_p·W over the shell.
        sum: f64,
    },
    /// A device failed or is full.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Two volumes or spectra that must have one shape do not.
    #[error(transparent)]
    Mismatch(#[from] Message),
}

impl Coded for MaximizationError {
    fn code(&self) -> Code {
        match self {
            Self::TinyWeight { .. } => Code::TINY_WEIGHT,
            Self::Device(error) => error.code(),
            Self::Mismatch(message) => message.code,
        }
    }
}

impl MaximizationError {
    /// A device has no memory left.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Device(DeviceError::Full { .. }))
    }
}

/// Options of the reconstruction that stay the same over the whole run.
#[derive(Debug, Clone)]
pub struct MaximizationOptions {
    /// Box N of the references, pixels.
    pub box_size: usize,
    /// T, `--tau2_fudge`.
    pub tau2_fudge: f64,
    /// Use the prior 1/(T·τ²) (off with `--no_map`).
    pub regularise: bool,
    /// `--minres_map`: shells below this one are not regularised.
    pub minres_map: usize,
    /// Number of gridding iterations (`--dont_skip_gridding`); None = direct division.
    pub gridding_iterations: Option<usize>,
}

/// Where τ² of a class comes from.
#[derive(Debug, Clone, Copy)]
pub enum Prior<'a> {
    /// Classification: `ClassModel::tau2` holds the power of the reference that entered the iteration
    /// (`PreparedReference::power`) or the fixed spectrum of `--tau`; ssnr follows from it (spec 02 §3.2).
    Reference {
        /// Mean CTF² per shell for premultiplied data ([`spectra::average_ctf2`]), None otherwise.
        average_ctf2: Option<&'a [f64]>,
    },
    /// Half-sets: τ² and ssnr follow from this curve (spec 02 §3.4), which is stored in the class.
    Fsc {
        /// FSC per shell 0…N/2.
        curve: &'a [f64],
        /// The sums are those of both halves together.
        joined: bool,
    },
}

/// Update map, σ², τ², ssnr and coverage of one class from its symmetrised (and, for halves, joined) sums.
///
/// `class_weight` is Σw of the class over its particles: 0 gives an all-zero map; sums that are all but empty
/// (Σ W ≤ 1e-6) leave the map and its statistics as they are (spec 02 §2). What `finish` says is done to the map, where the
/// sums are. Takes the sums to divide in place. Returns the step that a full device left to the host, if there was one.
pub fn maximize_class(
    class: &mut ClassModel,
    sums: Sums,
    class_weight: f64,
    prior: Prior,
    options: &MaximizationOptions,
    finish: &Finish,
) -> Result<Option<volumes::Moved>, MaximizationError> {
    let source = update_spectra(class, &sums, class_weight, prior, options)?;
    if source.done_without_sums(class, finish) {
        return Ok(None);
    }
    let (map, moved) = volumes::regularised(sums, &class.tau2, class_weight, options, finish)?;
    class.map = map.into();
    Ok(moved)
}

/// Where the new map of a class comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapSource {
    /// The class has no particles: its map is all zero.
    Nothing,
    /// The sums are all but empty: it is the map before.
    Before,
    /// It is reconstructed from the sums.
    Sums,
}

impl MapSource {
    /// For Σw of the class over its particles and Σ c_p·W per shell of sums of `shape` (spec 02 §2).
    fn new(class_weight: f64, weights: &[[f64; 2]], shape: &VolumeShape) -> Self {
        let total: f64 = weights.iter().map(|[sum, _]| sum).sum();
        if class_weight <= 0.0 {
            Self::Nothing
        } else if total / shape.oversampling() <= EMPTY_SUMS {
            Self::Before
        } else {
            Self::Sums
        }
    }

    /// Gives a class its map where the sums have no part in it: zeros, or the one before, finished again. Returns false, without a change,
    /// where the map is still to be reconstructed.
    pub fn done_without_sums(self, class: &mut ClassModel, finish: &Finish) -> bool {
        match self {
            Self::Nothing => class.map = Array3::zeros(class.map.dim()).into(),
            Self::Before => {
                finish.again().on_host(Arc::make_mut(&mut class.map));
            }
            Self::Sums => return false,
        }
        true
    }
}

/// Updates σ², τ², ssnr and coverage of one class, and tells what becomes of its map. Arguments as for [`maximize_class`].
pub fn update_spectra(
    class: &mut ClassModel,
    sums: &Sums,
    class_weight: f64,
    prior: Prior,
    options: &MaximizationOptions,
) -> Result<MapSource, MaximizationError> {
    if class_weight <= 0.0 {
        return Ok(MapSource::Nothing);
    }
    let weights = volumes::weights(sums)?;
    let source = MapSource::new(class_weight, &weights, sums.shape());
    if source != MapSource::Sums {
        return Ok(source);
    }
    match prior {
        Prior::Reference { average_ctf2 } => {
            let ratios = volumes::ratios(sums, &class.tau2, options.tau2_fudge)?;
            let statistics = Statistics { weights, ratios };
            ReferenceSpectra::new(&statistics, sums.r_max(), average_ctf2, options)?.store(class)
        }
        Prior::Fsc { curve, joined } => {
            class.sigma2 = spectra::sigma2(&weights, options.box_size)?;
            class.fsc = curve.to_vec();
            (class.tau2, class.ssnr) =
                tau2::tau2_from_fsc(curve, &class.sigma2, options.tau2_fudge, joined);
            let ratios = volumes::ratios(sums, &class.tau2, options.tau2_fudge)?;
            class.coverage = spectra::coverage(&ratios, options.box_size / 2 + 1);
        }
    }
    Ok(MapSource::Sums)
}

/// σ², data-versus-prior and coverage where τ² is the power of the reference (spec 02 §3.1–3.5).
struct ReferenceSpectra {
    sigma2: Vec<f64>,
    ssnr: Vec<f64>,
    coverage: Vec<f64>,
}

impl ReferenceSpectra {
    /// From the statistics of symmetrised sums up to shell `r_max`.
    fn new(
        statistics: &Statistics,
        r_max: usize,
        average_ctf2: Option<&[f64]>,
        options: &MaximizationOptions,
    ) -> Result<Self, MaximizationError> {
        let shells = options.box_size / 2 + 1;
        let ratios = &statistics.ratios;
        Ok(Self {
            sigma2: spectra::sigma2(&statistics.weights, options.box_size)?,
            ssnr: spectra::data_versus_prior(ratios, shells, r_max, average_ctf2),
            coverage: spectra::coverage(ratios, shells),
        })
    }

    fn store(self, class: &mut ClassModel) {
        class.sigma2 = self.sigma2;
        class.ssnr = self.ssnr;
        class.coverage = self.coverage;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fourier::backprojection::BackProjection;

    /// Without particles the map becomes zero; with particles but without weights everything stays.
    #[test]
    fn empty_classes() {
        let options = MaximizationOptions {
            box_size: 16,
            tau2_fudge: 1.0,
            regularise: true,
            minres_map: 5,
            gridding_iterations: None,
        };
        let prior = Prior::Reference { average_ctf2: None };
        let mut class = fixtures::model(1).classes.remove(0);
        let before = class.clone();
        let sums = || Sums::Host(BackProjection::new(16, 2.0, 12));
        let finish = Finish::default();
        maximize_class(&mut class, sums(), 3.0, prior, &options, &finish).unwrap();
        assert_eq!((&class.map, &class.ssnr), (&before.map, &before.ssnr));
        maximize_class(&mut class, sums(), 0.0, prior, &options, &finish).unwrap();
        assert!(class.map.iter().all(|v| *v == 0.0));
        assert_eq!(class.ssnr, before.ssnr);
    }
}
