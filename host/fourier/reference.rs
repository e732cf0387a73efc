//! The reference as an oversampled, half-complex Fourier volume that slices are cut from (spec 01 §1.5).

use super::padded;
use super::shape::{Dimensions, VolumeShape, gridding_factors};
use super::shells::{round, shell_table};
use crate::device::{Device, DeviceError, DeviceVolume};
use ndarray::{Array3, ArrayViewMut3};
use num_complex::{Complex32, Complex64};
use std::sync::Arc;

/// Oversampled transform of a reference.
#[derive(Debug, Clone)]
pub struct ReferenceVolume {
    /// Values in the order that [`VolumeShape`] describes.
    pub data: Vec<Complex32>,
    /// Their grid.
    pub shape: VolumeShape,
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
    /// Grid of the values.
    pub fn shape(&self) -> &VolumeShape {
        match self {
            Reference::Host(volume) => &volume.shape,
            Reference::Device(reference) => &reference.shape,
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
                    shape: reference.shape,
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

/// Brings references of one shape to `device`, into one array and in one copy.
pub fn upload_all<'a>(
    device: &Arc<Device>,
    volumes: impl ExactSizeIterator<Item = &'a ReferenceVolume> + Clone,
) -> Result<Vec<DeviceVolume<[f32; 2]>>, DeviceError> {
    let count = volumes.len();
    let all: Vec<&[[f32; 2]]> = volumes
        .map(|volume| bytemuck::cast_slice(&volume.data))
        .collect();
    let array = device.upload(&all.concat())?;
    Ok(DeviceVolume::split(device, array, count))
}

/// A reference ready for projection, with the power spectrum measured on the way.
pub struct PreparedReference {
    /// Fourier volume.
    pub volume: ReferenceVolume,
    /// Half the mean |F|² per shell 0…N/2 (τ² of classification; spec 01 §1.5 step 6).
    pub power: Vec<f64>,
}

/// Gridding-correct, pad, transform and crop a map, or a class average (a map of one section), for current size
/// `current_size` (spec 01 §1.5 steps 1–7, spec 04 §5).
/// `lowres_limit_shell`: shells up to this one are zeroed after the spectrum (`--strict_lowres_exp`).
pub fn prepare(
    map: &Array3<f64>,
    padding: f64,
    current_size: usize,
    lowres_limit_shell: Option<usize>,
) -> PreparedReference {
    let (sections, n, _) = map.dim();
    let shape = VolumeShape::new(Dimensions::of_sections(sections), n, padding, current_size);
    let (half, half_depth) = (shape.half() as i64, shape.half_depth() as i64);
    let radius2 = shape.radius2();
    let silent2 = lowres_limit_shell.map_or(-1, |s| round(s as f64 * shape.padding).pow(2));
    // Amplitudes of a transform divided by N², whatever the padding.
    let scale = shape.amplitude_scale() / shape.padded_values();
    let (middle, centre) = ((sections / 2) as i64, (n / 2) as i64);
    let factors = gridding_factors(&shape);
    let corrected = |z: usize, y: usize, x: usize| {
        let r2 =
            (z as i64 - middle).pow(2) + (y as i64 - centre).pow(2) + (x as i64 - centre).pow(2);
        map[[z, y, x]] / factors[r2 as usize]
    };
    let mut data = vec![Complex32::default(); shape.voxels()];
    let out = ArrayViewMut3::from_shape((shape.depth(), shape.side, shape.half() + 1), &mut data)
        .expect("the volume has this shape");
    let shells = shell_table(radius2, shape.padding);
    let keep = |sums: &mut ShellSums, at: [usize; 3], value: Complex64| {
        let (z, y, x) = (at[0] as i64 - half_depth, at[1] as i64 - half, at[2] as i64);
        let r2 = z * z + y * y + x * x;
        if r2 > radius2 {
            return None;
        }
        let value = value * scale;
        let shell = shells[r2 as usize] as usize;
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
        volume: ReferenceVolume { data, shape },
        power: power
            .into_iter()
            .map(|[sum, count]| if count < 1.0 { 0.0 } else { sum / 2.0 / count })
            .collect(),
    }
}

/// Transform of a map, or a class average, in the units of a prepared reference but without gridding correction, in double
/// precision: kept for |v|² ≤ Rp² (spec 05 §6.4).
pub fn transform(map: &Array3<f64>, shape: &VolumeShape) -> Vec<Complex64> {
    let (half, half_depth) = (shape.half() as i64, shape.half_depth() as i64);
    let radius2 = shape.radius2();
    let scale = shape.amplitude_scale() / shape.padded_values();
    let mut data = vec![Complex64::default(); shape.voxels()];
    let out = ArrayViewMut3::from_shape((shape.depth(), shape.side, shape.half() + 1), &mut data)
        .expect("the volume has this shape");
    let keep = |_: &mut (), at: [usize; 3], value: Complex64| {
        let (z, y, x) = (at[0] as i64 - half_depth, at[1] as i64 - half, at[2] as i64);
        (z * z + y * y + x * x <= radius2).then_some(value * scale)
    };
    padded::forward(shape.box_size, shape, |z, y, x| map[[z, y, x]], out, keep);
    data
}

/// Σ|F|² and number of voxels per shell.
#[derive(Default)]
struct ShellSums(Vec<[f64; 2]>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fourier::fft;
    use crate::fourier::fft::tests::noise;
    use crate::fourier::shape::gridding_factor;
    use crate::fourier::shells::stored;

    /// The transform made axis by axis equals the plain one: pad the corrected map, transform, move the origin to the
    /// centre by the sign pattern, cut out the sphere.
    #[test]
    fn prepared_volume_equals_the_padded_transform() {
        for (n, p, size) in [(16, 2.0, 10), (16, 2.0, 16), (16, 1.0, 16), (12, 1.5, 8)] {
            let map = noise(n);
            let prepared = prepare(&map, p, size, None);
            let shape = VolumeShape::new(Dimensions::Three, n, p, size);
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
        let (side, h) = (prepared.volume.shape.side, prepared.volume.shape.half());
        let at = |z: usize, x: usize| prepared.volume.data[((z + h) * side + h) * (h + 1) + x].re;
        assert_eq!((at(0, 6), at(0, 0)), (0.0, 0.0));
        assert!((at(0, 7) - 1.0).abs() < 1e-6);
    }

    /// A class average is prepared as the middle section of a map whose other sections are empty, but for the N of a
    /// central slice: its transform does not depend on z.
    #[test]
    fn a_class_average_is_a_map_of_one_section() {
        let (n, p, size) = (16, 2.0, 12);
        let average = Array3::from_shape_fn((1, n, n), |(_, y, x)| {
            ((y * 104_729 + x * 1_299_709) % 1009) as f64 / 500.0 - 1.0
        });
        let mut solid = Array3::zeros((n, n, n));
        solid
            .slice_mut(ndarray::s![n / 2..=n / 2, .., ..])
            .assign(&average);
        let (flat, solid) = (
            prepare(&average, p, size, None).volume,
            prepare(&solid, p, size, None).volume,
        );
        let (plane, middle) = (flat.shape.plane(), solid.shape.half_depth());
        assert_eq!(flat.data.len(), plane);
        for (a, b) in flat.data.iter().zip(&solid.data[middle * plane..]) {
            // Σ over the section is the same; scales are P²/Q² and P³N/Q³ with Q = PN.
            assert!((a - b).norm() < 1e-6, "{a} {b}");
        }
    }
}
