//! The reference as an oversampled, half-complex Fourier volume that slices are cut from (spec 01 §1.5).

use super::padded;
use super::shells::round;
use crate::device::{Device, DeviceError, DeviceVolume};
use ndarray::{Array3, ArrayViewMut3};
use num_complex::{Complex32, Complex64};
use std::sync::Arc;

/// Oversampled transform of a reference: logical z, y in −h…h, x in 0…h with h = (side−1)/2, x fastest:
/// index = ((z+h)·side + (y+h))·(h+1) + x.
#[derive(Debug, Clone)]
pub struct ReferenceVolume {
    /// Values, `side · side · (side/2+1)`.
    pub data: Vec<Complex32>,
    /// 2(ROUND(P·r_max)+1)+1.
    pub side: usize,
    /// r_max = min(S/2, N/2), unpadded shells.
    pub r_max: usize,
    /// Effective padding factor P = N_P/N.
    pub padding: f64,
}

/// A reference volume where it is needed.
pub enum Reference {
    /// On the host.
    Host(ReferenceVolume),
    /// On a device.
    Device(DeviceReference),
}

/// A reference volume on a device: (re, im) a voxel, layout as [`ReferenceVolume`].
pub struct DeviceReference {
    /// The voxels.
    pub volume: DeviceVolume<[f32; 2]>,
    /// Their geometry.
    pub shape: VolumeShape,
}

impl Reference {
    /// 2(ROUND(P·r_max)+1)+1.
    pub fn side(&self) -> usize {
        match self {
            Reference::Host(volume) => volume.side,
            Reference::Device(reference) => reference.shape.side,
        }
    }

    /// Stored voxels.
    pub fn voxels(&self) -> usize {
        self.side() * self.side() * (self.side() / 2 + 1)
    }

    /// r_max = min(S/2, N/2), unpadded shells.
    pub fn r_max(&self) -> usize {
        match self {
            Reference::Host(volume) => volume.r_max,
            Reference::Device(reference) => reference.shape.r_max,
        }
    }

    /// Effective padding factor P.
    pub fn padding(&self) -> f64 {
        match self {
            Reference::Host(volume) => volume.padding,
            Reference::Device(reference) => reference.shape.padding,
        }
    }

    /// True when it lies on `device`.
    pub fn is_on(&self, device: &Arc<Device>) -> bool {
        match self {
            Reference::Host(_) => false,
            Reference::Device(reference) => Arc::ptr_eq(reference.volume.device(), device),
        }
    }

    /// Returns a copy on the host.
    pub fn to_host(&self) -> Result<ReferenceVolume, DeviceError> {
        Ok(match self {
            Reference::Host(volume) => volume.clone(),
            Reference::Device(reference) => {
                let values = reference.volume.read(0..reference.volume.len())?;
                ReferenceVolume {
                    data: bytemuck::cast_vec(values),
                    side: reference.shape.side,
                    r_max: reference.shape.r_max,
                    padding: reference.shape.padding,
                }
            }
        })
    }

    /// The volume on the host; None when it is on a device.
    pub fn on_host(&self) -> Option<&ReferenceVolume> {
        match self {
            Reference::Host(volume) => Some(volume),
            Reference::Device(_) => None,
        }
    }
}

/// A reference ready for projection, with the power spectrum measured on the way.
pub struct PreparedReference {
    /// Fourier volume.
    pub volume: ReferenceVolume,
    /// Half the mean |F|² per shell 0…N/2 (τ² of classification; spec 01 §1.5 step 6).
    pub power: Vec<f64>,
}

/// Sizes shared by reference volumes and back-projection sums (spec 01 §1.5 steps 2 and 4, spec 02 §1.1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VolumeShape {
    /// Side 2(ROUND(P·r_max)+1)+1 of the full cube.
    pub side: usize,
    /// r_max = min(S/2, N/2); S = 0 means N.
    pub r_max: usize,
    /// Effective P = N_P/N.
    pub padding: f64,
    /// Side N_P of the padded real-space box (even).
    pub padded_box: usize,
}

impl VolumeShape {
    /// Stored voxels.
    pub fn voxels(&self) -> usize {
        self.side * self.side * (self.side / 2 + 1)
    }

    /// Geometry as kernels take it.
    pub fn for_kernels(&self) -> gpu::slice::VolumeShape {
        gpu::slice::VolumeShape::new(self.side as u32, self.r_max as u32, self.padding as f32)
    }
}

/// Shape of a reference volume or back-projection for box N, `--pad` and current size.
pub fn volume_shape(box_size: usize, padding: f64, current_size: usize) -> VolumeShape {
    let mut padded_box = round(padding * box_size as f64) as usize;
    padded_box += padded_box % 2;
    // The effective factor is a single-precision number in the reference program.
    let padding = f64::from(padded_box as f32 / box_size as f32);
    let r_max = if current_size == 0 {
        box_size / 2
    } else {
        (current_size / 2).min(box_size / 2)
    };
    VolumeShape {
        side: 2 * (round(padding * r_max as f64) as usize + 1) + 1,
        r_max,
        padding,
        padded_box,
    }
}

/// Largest |p|² (padded voxels) at which slices are inserted into sums: Rp = ROUND(r_max·P) (spec 02 §1.3).
pub fn insertion_reach2(padding: f64, r_max: usize) -> f32 {
    gpu::slice::reach2(round(padding * r_max as f64) as f32)
}

/// Gridding correction of trilinear interpolation at `radius` voxels from the box centre (spec 01 §1.5 step 1, spec 02 §2.4
/// step 6). Maps are divided by it.
pub fn gridding_factor(radius: f64, box_size: usize, padding: f64) -> f64 {
    gpu::volume::gridding_factor(radius, box_size as f64 * padding)
}

/// Gridding-correct, pad, transform and crop a map for current size `current_size` (spec 01 §1.5 steps 1–7).
/// `lowres_limit_shell`: shells up to this one are zeroed after the spectrum (`--strict_lowres_exp`).
pub fn prepare(
    map: &Array3<f64>,
    padding: f64,
    current_size: usize,
    lowres_limit_shell: Option<usize>,
) -> PreparedReference {
    let n = map.dim().0;
    let shape = volume_shape(n, padding, current_size);
    let half = (shape.side / 2) as i64;
    let radius2 = round(shape.r_max as f64 * shape.padding).pow(2);
    let silent2 = lowres_limit_shell.map_or(-1, |s| round(s as f64 * shape.padding).pow(2));
    // Amplitudes of a transform divided by N², whatever the padding.
    let scale = shape.padding.powi(3) * n as f64 / (shape.padded_box as f64).powi(3);
    let centre = (n / 2) as i64;
    let corrected = |z: usize, y: usize, x: usize| {
        let r2: i64 = [z, y, x].iter().map(|&i| (i as i64 - centre).pow(2)).sum();
        map[[z, y, x]] / gridding_factor((r2 as f64).sqrt(), n, shape.padding)
    };
    let mut data = vec![Complex32::default(); shape.side * shape.side * (shape.side / 2 + 1)];
    let out = ArrayViewMut3::from_shape((shape.side, shape.side, shape.side / 2 + 1), &mut data)
        .expect("the volume has this shape");
    let keep = |sums: &mut ShellSums, at: [usize; 3], value: Complex64| {
        let (z, y, x) = (at[0] as i64 - half, at[1] as i64 - half, at[2] as i64);
        let r2 = z * z + y * y + x * x;
        if r2 > radius2 {
            return None;
        }
        let value = value * scale;
        let shell = round((r2 as f64).sqrt() / shape.padding) as usize;
        if sums.0.len() <= shell {
            sums.0.resize(shell + 1, [0.0; 2]);
        }
        sums.0[shell][0] += value.norm_sqr();
        sums.0[shell][1] += 1.0;
        (r2 > silent2).then_some(Complex32::new(value.re as f32, value.im as f32))
    };
    let rows = padded::forward(n, &shape, corrected, out, keep);
    let mut power = vec![[0.0; 2]; n / 2 + 1];
    for row in rows {
        for (total, part) in power.iter_mut().zip(row.0) {
            total[0] += part[0];
            total[1] += part[1];
        }
    }
    PreparedReference {
        volume: ReferenceVolume {
            data,
            side: shape.side,
            r_max: shape.r_max,
            padding: shape.padding,
        },
        power: power
            .into_iter()
            .map(|[sum, count]| if count < 1.0 { 0.0 } else { sum / 2.0 / count })
            .collect(),
    }
}

/// Σ|F|² and number of voxels per shell.
#[derive(Default)]
struct ShellSums(Vec<[f64; 2]>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fourier::fft;
    use crate::fourier::shells::stored;

    fn noise(n: usize) -> Array3<f64> {
        Array3::from_shape_fn((n, n, n), |(z, y, x)| {
            ((z * 7919 + y * 104_729 + x * 1_299_709) % 1009) as f64 / 500.0 - 1.0
        })
    }

    #[test]
    fn shapes_of_the_table() {
        // Spec 02 §8: (N, p) → P at n = N.
        for (n, p, side) in [
            (64, 1.0, 67),
            (64, 2.0, 131),
            (256, 2.0, 515),
            (512, 1.0, 515),
        ] {
            assert_eq!(volume_shape(n, p, n).side, side, "N {n}, p {p}");
        }
        let small = volume_shape(64, 2.0, 28);
        assert_eq!((small.side, small.r_max, small.padded_box), (59, 14, 128));
        assert_eq!(volume_shape(10, 1.25, 0).padded_box, 14);
    }

    /// The transform made axis by axis equals the plain one: pad the corrected map, transform, move the origin to the
    /// centre by the sign pattern, cut out the sphere.
    #[test]
    fn prepared_volume_equals_the_padded_transform() {
        for (n, p, size) in [(16, 2.0, 10), (16, 2.0, 16), (16, 1.0, 16), (12, 1.5, 8)] {
            let map = noise(n);
            let prepared = prepare(&map, p, size, None);
            let shape = volume_shape(n, p, size);
            let q = shape.padded_box;
            let mut corrected = map.clone();
            crate::fourier::masks::for_each_radius(&mut corrected, |r, v| {
                *v /= gridding_factor(r, n, shape.padding)
            });
            let mut padded = Array3::zeros((q, q, q));
            let from = q / 2 - n / 2;
            padded
                .slice_mut(ndarray::s![from..from + n, from..from + n, from..from + n])
                .assign(&corrected);
            let plain = fft::forward3(&padded);
            let h = (shape.side / 2) as i64;
            let limit = round(shape.r_max as f64 * shape.padding).pow(2);
            let scale = shape.padding.powi(3) * n as f64;
            let mut values = prepared.volume.data.iter();
            for z in -h..=h {
                for y in -h..=h {
                    for x in 0..=h {
                        let value = values.next().unwrap();
                        let reach = (q / 2) as i64;
                        let known =
                            z > -reach && y > -reach && z <= reach && y <= reach && x <= reach;
                        if !known || x * x + y * y + z * z > limit {
                            assert_eq!(value.norm_sqr(), 0.0);
                            continue;
                        }
                        let sign = if (x + y + z) % 2 == 0 { scale } else { -scale };
                        let expected = plain[[stored(z, q), stored(y, q), x as usize]] * sign;
                        let error = (expected.re - f64::from(value.re)).abs()
                            + (expected.im - f64::from(value.im)).abs();
                        assert!(error < 1e-6, "N {n} P {p} S {size} at {x},{y},{z}: {error}");
                    }
                }
            }
        }
    }

    /// A transform of one-pixel noise is flat: half the variance per component in every shell; nothing beyond r_max.
    #[test]
    fn power_of_a_point_is_flat() {
        let n = 32;
        let mut map = Array3::zeros((n, n, n));
        map[[n / 2, n / 2, n / 2]] = (n * n) as f64;
        let prepared = prepare(&map, 2.0, 20, Some(3));
        for (shell, power) in prepared.power.iter().enumerate() {
            let expected = if shell <= 10 { 0.5 } else { 0.0 };
            assert!((power - expected).abs() < 1e-9, "shell {shell}: {power}");
        }
        // --strict_lowres_exp silences the inner sphere but not the spectrum.
        let h = prepared.volume.side / 2;
        let at = |z: usize, x: usize| {
            prepared.volume.data[((z + h) * prepared.volume.side + h) * (h + 1) + x].re
        };
        assert_eq!((at(0, 6), at(0, 0)), (0.0, 0.0));
        assert!((at(0, 7) - 1.0).abs() < 1e-6);
    }
}
