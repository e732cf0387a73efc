//! Maximisation on a device: what the host does in double precision, in kernels, on sums and references that stay there.
//! Only spectra and maps come back.

mod averages;
mod density_compensation;
mod finish;
mod halves;
mod map;
mod map_fsc;
mod operand;
mod reconstruct;
mod reference;
mod spheres;

pub(super) use averages::{Average, averages, makes_averages};
pub(super) use finish::finish;
pub(super) use halves::{average, fsc, join_low_resolution};
pub(super) use map::DeviceMap;
pub(super) use map_fsc::solvent_corrected_fsc;
pub(super) use reconstruct::{bytes_after_sums, map_of, regularise, transform_of};
pub use reference::prepare;
pub use spheres::{Sphere, SpheresOnDevice};

use super::prior::InversePrior;
use super::spectra::Statistics;
use crate::device::{Buffer, DeviceError, DeviceVolume};
use crate::fourier::sums::DeviceSums;
use crate::geometry::Matrix3;
use gpu::kernels::halves::WeightStatistics;
use gpu::kernels::volume::{AddRotated, CompleteZeroPlane};
use operand::{Operand, PriorOperand};

/// Sum Friedel mates on the x = 0 plane, then add the sums rotated by every operator. On a full device nothing is changed.
pub(super) fn symmetrise(sums: &mut DeviceSums, operators: &[Matrix3]) -> Result<(), DeviceError> {
    let device = sums.volume.device().clone();
    let side = sums.shape.side as u32;
    if operators.is_empty() {
        // SAFETY: the volume has this side.
        return unsafe {
            device.launch(&CompleteZeroPlane {
                sums: sums.volume.view(),
                side,
            })
        };
    }
    // SAFETY: filled below.
    let array = unsafe { device.buffer(sums.volume.len())? };
    let mut old = DeviceVolume::split(&device, array, 1).remove(0);
    let operators_f32: Vec<f32> = operators
        .iter()
        .flatten()
        .flatten()
        .map(|&v| v as f32)
        .collect();
    let on_device = device.upload(&operators_f32)?;
    let operand = Operand::new(sums)?;
    // Everything is allocated: from here on the sums change, and a second attempt would count mates twice.
    // SAFETY: the volume has this side.
    unsafe {
        device.launch(&CompleteZeroPlane {
            sums: sums.volume.view(),
            side,
        })?
    };
    old.copy_from(&sums.volume)?;
    // SAFETY: both volumes have the shape, each operator nine numbers.
    unsafe {
        device.launch(&AddRotated {
            voxels: operand.voxels,
            old: old.view(),
            shape: operand.shape(),
            radius2: operand.radius2,
            operators: on_device.view(),
            count: operators.len() as u32,
            sums: operand.sums,
        })
    }
}

/// Weights and ratios of the shells, for a prior (no prior power where it is None).
pub(super) fn weight_statistics(
    sums: &DeviceSums,
    prior: Option<&InversePrior>,
) -> Result<Statistics, DeviceError> {
    let operand = Operand::new(sums)?;
    let device = operand.device;
    let prior = PriorOperand::new(device, prior)?;
    let shells = sums.shells();
    let out: Buffer<f64> = device.zeros(4 * shells)?;
    // SAFETY: array sizes as the kernel demands.
    unsafe {
        device.launch(&WeightStatistics {
            voxels: operand.voxels,
            sums: operand.sums,
            shape: operand.shape(),
            radius2: operand.radius2,
            padding: operand.padding,
            inverse: prior.view(),
            prior_shells: prior.shells(),
            shells: shells as u32,
            out: out.view(),
        })?;
    }
    let values = device.download(&out, 4 * shells)?;
    Ok(Statistics::of_device(&values, &sums.shape))
}
