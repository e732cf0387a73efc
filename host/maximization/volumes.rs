//! Operations on sums wherever they are: each picks the host's implementation, in double precision, or the device's.

use super::map_fsc::{self, SolventCorrectedFsc};
use super::prior::InversePrior;
use super::{
    Finish, Footprint, MaximizationError, MaximizationOptions, cuda, halves, reconstruct, spectra,
};
use crate::errors::Message;
use crate::fourier::shells::round;
use crate::fourier::sums::Sums;
use crate::geometry::Matrix3;
use ndarray::Array3;
use std::sync::Arc;

/// Sum Friedel mates on the x = 0 plane, then add the sums rotated by every non-identity operator (spec 02 §1.5).
pub fn symmetrise(sums: &mut Sums, operators: &[Matrix3]) -> Result<(), MaximizationError> {
    match sums {
        Sums::Host(sums) => super::symmetrise::symmetrise(sums, operators),
        Sums::Device(sums) => cuda::symmetrise(sums, operators)?,
    }
    Ok(())
}

/// Replace the sums of both halves by their means for |v|² ≤ round(p·`shell`)² (spec 02 §5.6).
pub fn join_low_resolution(
    first: &mut Sums,
    second: &mut Sums,
    shell: usize,
) -> Result<(), MaximizationError> {
    let limit2 = round(first.padding() * shell as f64).pow(2);
    match (first, second) {
        (Sums::Host(first), Sums::Host(second)) => {
            halves::join_low_resolution(first, second, shell)?;
        }
        (Sums::Device(first), Sums::Device(second)) => {
            cuda::join_low_resolution(first, second, limit2 as u32)?;
        }
        _ => return Err(apart()),
    }
    Ok(())
}

/// Gold-standard FSC per shell 0…N/2 of the down-sampled averages of two halves; 1 in shell 0, 0 beyond R (spec 02 §3.3).
pub fn fsc(first: &Sums, second: &Sums, box_size: usize) -> Result<Vec<f64>, MaximizationError> {
    match (first, second) {
        (Sums::Host(first), Sums::Host(second)) => halves::fsc(
            &halves::half_average(first),
            &halves::half_average(second),
            box_size,
        ),
        (Sums::Device(first), Sums::Device(second)) => {
            Ok(halves::curve(cuda::fsc(first, second)?, box_size))
        }
        _ => Err(apart()),
    }
}

fn apart() -> MaximizationError {
    Message::internal("the sums of one half-set are on the host and those of the other on a device")
        .into()
}

/// Σ c_p·W and number of voxels per shell.
pub(super) fn weights(sums: &Sums) -> Result<Vec<[f64; 2]>, MaximizationError> {
    let factor = super::prior::oversampling(sums.padding());
    Ok(match sums {
        Sums::Host(sums) => spectra::weights(sums),
        Sums::Device(sums) => cuda::weight_statistics(sums, None)?
            .into_iter()
            .map(|[weight, count, ..]| [factor * weight, count])
            .collect(),
    })
}

/// Σ W/I, number of voxels with W/I ≥ 1 and number of voxels per shell, for prior spectrum `tau2`.
pub(super) fn ratios(
    sums: &Sums,
    tau2: &[f64],
    tau2_fudge: f64,
) -> Result<Vec<[f64; 3]>, MaximizationError> {
    let prior = InversePrior::new(tau2, tau2_fudge, sums.padding());
    Ok(match sums {
        Sums::Host(sums) => spectra::ratios(sums, &prior),
        Sums::Device(sums) => cuda::weight_statistics(sums, Some(&prior))?
            .into_iter()
            .map(|[_, count, ratio, covered]| [ratio, covered, count])
            .collect(),
    })
}

/// An un-regularised ("unfil") map of a half-set, on the host and where it was made.
pub struct HalfMap {
    /// To be written.
    pub map: Array3<f64>,
    on_device: Option<cuda::DeviceMap>,
}

impl From<Array3<f64>> for HalfMap {
    fn from(map: Array3<f64>) -> Self {
        Self {
            map,
            on_device: None,
        }
    }
}

/// Un-regularised map; the sums stay as they are.
pub fn unregularised(
    sums: &Sums,
    class_weight: f64,
    options: &MaximizationOptions,
) -> Result<HalfMap, MaximizationError> {
    match sums {
        Sums::Device(sums) => {
            let map = cuda::unregularised(sums, class_weight, options)?;
            Ok(HalfMap {
                map: map.to_host()?,
                on_device: Some(map),
            })
        }
        Sums::Host(sums) => {
            Ok(reconstruct::reconstruct(sums.clone(), None, class_weight, options).into())
        }
    }
}

/// FSC of two un-regularised half maps corrected for the effect of `mask` (spec 02 §6.4): on a device that one of them was
/// made on, else on the host.
pub fn solvent_corrected_fsc(
    halves: [&HalfMap; 2],
    mask: &Array3<f64>,
    current_size: usize,
    seed: u64,
) -> Result<SolventCorrectedFsc, MaximizationError> {
    let Some(device) = halves.iter().find_map(|h| h.on_device.as_ref()) else {
        let [first, second] = halves.map(|half| &half.map);
        return map_fsc::solvent_corrected_fsc(first, second, mask, current_size, seed);
    };
    let device = device.device.clone();
    let mut uploaded = [None, None];
    for (half, uploaded) in halves.iter().zip(&mut uploaded) {
        let there = |map: &cuda::DeviceMap| Arc::ptr_eq(&map.device, &device);
        if !half.on_device.as_ref().is_some_and(there) {
            *uploaded = Some(cuda::DeviceMap::upload(&device, &half.map)?);
        }
    }
    let there = [0, 1].map(|h| {
        let own = uploaded[h].as_ref().or(halves[h].on_device.as_ref());
        own.expect("uploaded where it was not there")
    });
    cuda::solvent_corrected_fsc(there, mask, current_size, seed)
}

/// True when the map of these sums needs more than what is left of their device.
pub fn is_short_of_room(sums: &Sums, options: &MaximizationOptions) -> bool {
    let Sums::Device(sums) = sums else {
        return false;
    };
    let footprint = Footprint::new(&sums.shape, options.box_size, 1);
    sums.volume.device().memory_room() < footprint.regularised.saturating_sub(footprint.sums)
}

/// Map regularised with `tau2` (`options.regularise` permitting) and finished; takes the sums to work in place.
pub(super) fn regularised(
    sums: Sums,
    tau2: &[f64],
    class_weight: f64,
    options: &MaximizationOptions,
    finish: &Finish,
) -> Result<Array3<f64>, MaximizationError> {
    match sums {
        Sums::Device(sums) => {
            let prior = InversePrior::new(tau2, options.tau2_fudge, sums.shape.padding);
            let prior = options.regularise.then_some(&prior);
            let map = cuda::regularised(sums, prior, class_weight, options)?;
            Ok(cuda::finish(map, finish)?.to_host()?)
        }
        Sums::Host(sums) => {
            let mut map = reconstruct::reconstruct(sums, Some(tau2), class_weight, options);
            finish.on_host(&mut map);
            Ok(map)
        }
    }
}
