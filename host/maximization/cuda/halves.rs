//! Gold-standard halves on a device (spec 02 §3.3, §5.6).

use super::super::halves::HalfAverage;
use super::operand::Operand;
use crate::device::{Buffer, DeviceError};
use crate::fourier::sums::DeviceSums;
use gpu::kernels::halves::{AverageHalf, CorrelateHalves, JoinHalves};
use num_complex::Complex64;

/// Replace the sums of both halves by their means for |v|² ≤ `limit2`.
pub(crate) fn join_low_resolution(
    first: &mut DeviceSums,
    second: &mut DeviceSums,
    limit2: u32,
) -> Result<(), DeviceError> {
    let operand = Operand::new(first)?;
    // SAFETY: both volumes have the shape and lie on this device.
    unsafe {
        operand.device.launch(&JoinHalves {
            voxels: operand.voxels,
            first: operand.sums,
            second: second.volume.view(),
            shape: operand.shape(),
            limit2,
        })
    }
}

/// Σ Re(a·b*), Σ|a|², Σ|b|² per shell 0…R of the down-sampled averages of two halves.
pub(crate) fn fsc(first: &DeviceSums, second: &DeviceSums) -> Result<Vec<[f64; 3]>, DeviceError> {
    let device = first.volume.device();
    let reach = first.shape.r_max + 1;
    let averages = [average_of(first)?, average_of(second)?];
    let out: Buffer<f64> = device.zeros(3 * reach)?;
    // SAFETY: both averages have this reach.
    unsafe {
        device.launch(&CorrelateHalves {
            voxels: averages[0].len() as u32,
            first: averages[0].view(),
            second: averages[1].view(),
            reach: reach as u32,
            out: out.view(),
        })?;
    }
    let values = device.download(&out, 3 * reach)?;
    Ok(values.chunks_exact(3).map(|v| [v[0], v[1], v[2]]).collect())
}

/// The down-sampled average of one half-set, on the host; for devices without room for both.
pub(crate) fn average(sums: &DeviceSums) -> Result<HalfAverage, DeviceError> {
    let average = average_of(sums)?;
    let values = sums.volume.device().download(&average, average.len())?;
    let data = values
        .iter()
        .map(|v| Complex64::new(v[0].into(), v[1].into()));
    Ok(HalfAverage {
        data: data.collect(),
        r_max: sums.shape.r_max,
    })
}

/// (2h+1)·(2h+1)·(h+1) values with h = R + 1, layout as [`HalfAverage`].
fn average_of(sums: &DeviceSums) -> Result<Buffer<[f32; 2]>, DeviceError> {
    let operand = Operand::new(sums)?;
    let reach = sums.shape.r_max + 1;
    let voxels = (2 * reach + 1) * (2 * reach + 1) * (reach + 1);
    // SAFETY: filled by the kernel; the volume has the shape.
    unsafe {
        let out = operand.device.buffer(voxels)?;
        operand.device.launch(&AverageHalf {
            voxels: voxels as u32,
            sums: operand.sums,
            shape: operand.shape(),
            padding: operand.padding,
            reach: reach as u32,
            out: out.view(),
        })?;
        Ok(out)
    }
}
