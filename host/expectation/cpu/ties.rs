//! Ties of the cross-correlation iteration, decided in double precision.
//!
//! Only the children of the single best coarse sample are examined there, so a near-tie (symmetry mates of a reference
//! searched without its symmetry) that falls the other way by rounding costs a particle its pose, and the first map
//! differs for good. Products in single precision tell samples apart to about 1e-6.

use super::super::layout::GroupLayout;
use super::super::orientations::matrices;
use super::super::{BatchItem, IterationInput};
use super::prepare::PreparedImage;
use crate::fourier::reference::ReferenceVolume;
use num_complex::Complex64;
use std::f64::consts::TAU;

/// Samples whose correlation is within this share of the best one count as tied with it.
pub const TOLERANCE: f32 = 4e-6;

/// A coarse sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// 0-based class.
    pub class: usize,
    /// Coarse orientation index.
    pub orientation: u32,
    /// Coarse shift index.
    pub shift: usize,
}

/// Position of the best of several coarse samples, the first one when equal.
pub fn best(
    input: &IterationInput,
    layout: &GroupLayout,
    item: &BatchItem,
    image: &PreparedImage,
    samples: impl Iterator<Item = Sample>,
) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (i, sample) in samples.enumerate() {
        let value = correlation(input, layout, item, image, sample);
        if best.is_none_or(|(_, b)| value > b) {
            best = Some((i, value));
        }
    }
    best.map(|(i, _)| i)
}

/// Re Σ conj(sCA)·F e^{iφ} / √Σ|sCA|², up to the image's own √Σ|F|² (spec 01 §5.3).
fn correlation(
    input: &IterationInput,
    layout: &GroupLayout,
    item: &BatchItem,
    image: &PreparedImage,
    sample: Sample,
) -> f64 {
    let reference = input.host_reference(sample.class);
    let matrix = matrices(input, item.particle, sample.orientation, 0)[0];
    let [x_axis, y_axis] = layout.plane.axes_f64(&matrix);
    let shift = layout.coarse_shifts[sample.shift];
    let (mut cross, mut power) = (0.0, 0.0);
    for i in 0..layout.coarse_projected() {
        let (x, y) = (f64::from(layout.pixels.x[i]), f64::from(layout.pixels.y[i]));
        let at = std::array::from_fn(|axis| x * x_axis[axis] + y * y_axis[axis]);
        let model = interpolate(reference, at) * f64::from(image.model_factor[i]);
        let turns = (x * shift[0] + y * shift[1]) / layout.box_size as f64;
        let value = image.masked[i];
        let value = Complex64::new(f64::from(value.re), f64::from(value.im))
            * Complex64::from_polar(1.0, -TAU * turns);
        let weight = f64::from(layout.coarse_comparison_weight[i]);
        cross += weight * (model.conj() * value).re;
        power += weight * model.norm_sqr();
    }
    cross / power.sqrt()
}

/// Trilinear value of the reference in double precision; as `gpu::slice::slice_value` otherwise.
fn interpolate(reference: &ReferenceVolume, at: [f64; 3]) -> Complex64 {
    let limit = reference.r_max as f64 * reference.padding;
    if at.iter().map(|v| v * v).sum::<f64>() > limit * limit * (1.0 + 2e-6) {
        return Complex64::default();
    }
    let mirrored = at[0] < 0.0;
    let [x, y, z] = if mirrored { at.map(|v| -v) } else { at };
    let half = (reference.side / 2) as f64;
    let (y, z) = (y + half, z + half);
    let (x0, y0, z0) = (x as usize, y as usize, z as usize);
    let (fx, fy, fz) = (x - x0 as f64, y - y0 as f64, z - z0 as f64);
    let row = reference.side / 2 + 1;
    let mut value = Complex64::default();
    for (dz, wz) in [(0, 1.0 - fz), (1, fz)] {
        for (dy, wy) in [(0, 1.0 - fy), (1, fy)] {
            let base = ((z0 + dz) * reference.side + y0 + dy) * row + x0;
            for (dx, wx) in [(0, 1.0 - fx), (1, fx)] {
                let v = reference.data[base + dx];
                value += Complex64::new(f64::from(v.re), f64::from(v.im)) * (wz * wy * wx);
            }
        }
    }
    if mirrored { value.conj() } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gpu::slice::{VolumeShape, slice_value};
    use num_complex::Complex32;

    #[test]
    fn values_are_those_of_single_precision_but_finer() {
        let (side, r_max) = (13usize, 4usize);
        let data: Vec<Complex32> = (0..side * side * (side / 2 + 1))
            .map(|i| Complex32::new((i % 17) as f32 - 8.0, (i % 5) as f32))
            .collect();
        let reference = ReferenceVolume {
            data,
            side,
            r_max,
            padding: 1.0,
        };
        let shape = VolumeShape::new(side as u32, r_max as u32, 1.0);
        let volume: &[[f32; 2]] = bytemuck::cast_slice(&reference.data);
        for at in [
            [0.3, 1.7, -2.2],
            [-1.25, 2.5, -0.75],
            [0.0, -3.9, 0.1],
            [4.1, 0.0, 0.0],
        ] {
            let fine = interpolate(&reference, at);
            let coarse = slice_value(volume, &shape, at.map(|v| v as f32));
            assert!((fine.re - f64::from(coarse[0])).abs() < 1e-4, "{at:?}");
            assert!((fine.im - f64::from(coarse[1])).abs() < 1e-4, "{at:?}");
        }
    }
}
