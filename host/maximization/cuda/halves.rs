//! Gold-standard halves on a device (spec 02 §3.3, §5.6).

use super::operand::Operand;
use crate::device::{Buffer, DeviceError};
use crate::fourier::sums::DeviceSums;

/// Replace the sums of both halves by their means for |v|² ≤ `limit2`.
pub fn join_low_resolution(
    first: &mut DeviceSums,
    second: &mut DeviceSums,
    limit2: u32,
) -> Result<(), DeviceError> {
    let operand = Operand::new(first)?;
    // SAFETY: both volumes have the shape and lie on this device.
    unsafe {
        operand.device.join_halves(
            operand.voxels,
            operand.sums,
            second.volume.pointer(),
            operand.shape(),
            limit2,
        )
    }
}

/// Σ Re(a·b*), Σ|a|², Σ|b|² per shell 0…R of the down-sampled averages of two halves.
pub fn fsc(first: &DeviceSums, second: &DeviceSums) -> Result<Vec<[f64; 3]>, DeviceError> {
    let operand = Operand::new(first)?;
    let device = operand.device;
    let reach = first.shape.r_max + 1;
    let voxels = (2 * reach + 1) * (2 * reach + 1) * (reach + 1);
    let average = |half: &DeviceSums| -> Result<Buffer<[f32; 2]>, DeviceError> {
        // SAFETY: filled by the kernel; the volume has the shape.
        unsafe {
            let out = device.buffer(voxels)?;
            device.average_half(
                voxels as u32,
                half.volume.pointer(),
                operand.shape(),
                operand.padding,
                reach as u32,
                out.pointer(),
            )?;
            Ok(out)
        }
    };
    let averages = [average(first)?, average(second)?];
    let out: Buffer<f64> = device.zeros(3 * reach)?;
    // SAFETY: both averages have this reach.
    unsafe {
        device.correlate_halves(
            voxels as u32,
            averages[0].pointer(),
            averages[1].pointer(),
            reach as u32,
            out.pointer(),
        )?;
    }
    let values = device.download(&out, 3 * reach)?;
    Ok(values.chunks_exact(3).map(|v| [v[0], v[1], v[2]]).collect())
}
