//! Correlations of single samples in double precision: they decide between samples that products in single precision
//! cannot tell apart (spec 01 §5.3).

use crate::math::Real;
use crate::slice::VolumeShape;

/// Samples whose correlation is within this share of the best one count as tied with it: products in single precision
/// tell samples apart to about 1e-6.
pub const TIE_TOLERANCE: f32 = 4e-6;

/// A sample with its orientation and shift, as its exact correlation is computed.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExactSample {
    /// Step in the reference for one image pixel along x, padded voxels.
    pub x_axis: [f64; 3],
    /// Step for one image pixel along y.
    pub y_axis: [f64; 3],
    /// Shift over the box size: turns per pixel along x and y.
    pub turns: [f64; 2],
    /// Image of the batch.
    pub image: u32,
    /// Class.
    pub class: u32,
}

impl ExactSample {
    /// Share of pixel (x, y) in (Σ w Re(conj(mA)·F e^{iφ}), Σ w|mA|²), for the value `f` of the image there, the factor
    /// `m` of the reference and the weight w. `load` reads a voxel of the reference.
    #[inline(always)]
    pub fn pixel(
        &self,
        [x, y]: [i16; 2],
        f: [f32; 2],
        m: f32,
        w: f32,
        load: impl Fn(usize) -> [f32; 2],
        shape: &VolumeShape,
    ) -> [f64; 2] {
        let (x, y) = (f64::from(x), f64::from(y));
        let step = |i: usize| x * self.x_axis[i] + y * self.y_axis[i];
        let a = interpolate(load, shape, [step(0), step(1), step(2)]);
        let m = f64::from(m);
        let model = [m * a[0], m * a[1]];
        let turns = x * self.turns[0] + y * self.turns[1];
        let (sin, cos) = Real::sin_cos(-core::f64::consts::TAU * turns);
        let (re, im) = (f64::from(f[0]), f64::from(f[1]));
        let shifted = [re * cos - im * sin, re * sin + im * cos];
        let w = f64::from(w);
        [
            w * (model[0] * shifted[0] + model[1] * shifted[1]),
            w * (model[0] * model[0] + model[1] * model[1]),
        ]
    }
}

/// Trilinear value of the reference; as `slice::slice_value` but for its precision.
#[inline(always)]
fn interpolate(
    load: impl Fn(usize) -> [f32; 2],
    shape: &VolumeShape,
    [mut x, mut y, mut z]: [f64; 3],
) -> [f64; 2] {
    let inside = x * x + y * y + z * z <= f64::from(shape.max_radius2);
    if !inside {
        return [0.0, 0.0];
    }
    let mirrored = x < 0.0;
    if mirrored {
        (x, y, z) = (-x, -y, -z);
    }
    let y = y + f64::from(shape.half);
    let z = z + f64::from(shape.half_depth());
    let (x0, y0, z0) = (x as u32, y as u32, z as u32);
    let (fx, fy, fz) = (x - f64::from(x0), y - f64::from(y0), z - f64::from(z0));
    let base = z0 as usize * shape.plane() + y0 as usize * shape.row() + x0 as usize;
    let mut value = [0.0f64; 2];
    for corner in 0..shape.corners() as usize {
        let (dx, dy, dz) = (corner & 1, corner >> 1 & 1, corner >> 2);
        let share = |f: f64, d: usize| if d == 1 { f } else { 1.0 - f };
        let weight = share(fz, dz) * share(fy, dy) * share(fx, dx);
        let v = load(base + dz * shape.plane() + dy * shape.row() + dx);
        value[0] += f64::from(v[0]) * weight;
        value[1] += f64::from(v[1]) * weight;
    }
    if mirrored {
        value[1] = -value[1];
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slice::slice_value;

    #[test]
    fn values_are_those_of_single_precision_but_finer() {
        let shape = VolumeShape::new(13, 4, 1.0);
        let volume: Vec<[f32; 2]> = (0..shape.len())
            .map(|i| [(i % 17) as f32 - 8.0, (i % 5) as f32])
            .collect();
        for at in [
            [0.3, 1.7, -2.2],
            [-1.25, 2.5, -0.75],
            [0.0, -3.9, 0.1],
            [4.1, 0.0, 0.0],
        ] {
            let fine = interpolate(|i| volume[i], &shape, at);
            let coarse = slice_value(&volume, &shape, at.map(|v| v as f32));
            assert!((fine[0] - f64::from(coarse[0])).abs() < 1e-4, "{at:?}");
            assert!((fine[1] - f64::from(coarse[1])).abs() < 1e-4, "{at:?}");
        }
    }
}
