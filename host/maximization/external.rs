//! Sums as another program gets them, and spectra that it gives back (spec 06 §3.3, §3.6).

use super::tau2::tau2_from_fsc;
use crate::fourier::backprojection::BackProjection;
use crate::fourier::shape::Dimensions;
use crate::fourier::shells::stored;
use crate::model::ClassModel;
use ndarray::Array3;
use rayon::prelude::*;

/// Half of the transform of the padded box: indices (z, y, x), z and y from 0 to M − 1 (beyond M/2: minus M), x from 0 to M/2;
/// of class averages z = 0 alone. The origin is at (0, 0, 0), and phases refer to the box centre.
pub struct PaddedSums {
    /// Re A.
    pub real: Array3<f32>,
    /// Im A.
    pub imaginary: Array3<f32>,
    /// W.
    pub weight: Array3<f32>,
}

impl PaddedSums {
    /// Lays symmetrised sums out; zero beyond |v|² ≤ Rp².
    pub fn of(sums: &BackProjection) -> Self {
        let voxel = |value: &(dyn Fn(usize) -> f64 + Sync)| padded(sums, value);
        Self {
            real: voxel(&|i| sums.data[i].re),
            imaginary: voxel(&|i| sums.data[i].im),
            weight: voxel(&|i| sums.weight[i]),
        }
    }
}

fn padded(sums: &BackProjection, value: &(dyn Fn(usize) -> f64 + Sync)) -> Array3<f32> {
    let shape = &sums.shape;
    let (side, width) = (shape.padded_box, shape.padded_box / 2 + 1);
    let depth = shape.dimensions.sections(side);
    let (half, radius2) = (shape.half() as i64, shape.radius2());
    let reach = (side / 2) as i64;
    let known = |k: i64| (1 - reach..=reach).contains(&k);
    let rows = (-half..=half).filter(|&y| known(y));
    let planes: Vec<i64> = match shape.dimensions {
        Dimensions::Two => vec![0],
        Dimensions::Three => rows.clone().collect(),
    };
    let filled: Vec<(usize, Vec<f32>)> = planes
        .into_par_iter()
        .map(|z| {
            let mut plane = vec![0.0; side * width];
            for y in rows.clone() {
                let from = (((z + shape.half_depth() as i64) * shape.side as i64 + y + half)
                    * (half + 1)) as usize;
                let to = stored(y, side) * width;
                for x in 0..=half.min(reach) {
                    if z * z + y * y + x * x <= radius2 {
                        plane[to + x as usize] = value(from + x as usize) as f32;
                    }
                }
            }
            (stored(z, side), plane)
        })
        .collect();
    let mut out = Array3::zeros((depth, side, width));
    for (z, plane) in filled {
        let mut target = out.index_axis_mut(ndarray::Axis(0), z);
        target.iter_mut().zip(plane).for_each(|(to, v)| *to = v);
    }
    out
}

/// A spectrum that a program gives back: shells and their values.
#[derive(Debug, Clone, PartialEq)]
pub enum GivenSpectrum {
    /// τ².
    Tau2(Vec<(usize, f64)>),
    /// FSC, from which τ² follows.
    Fsc(Vec<(usize, f64)>),
}

impl GivenSpectrum {
    /// Takes the spectrum over into a class; shells that are not listed stay, those beyond N/2 are ignored. `joined`: the sums are
    /// those of both half-sets together.
    pub fn apply(&self, class: &mut ClassModel, tau2_fudge: f64, joined: bool) {
        let shells = class.tau2.len();
        let (Self::Tau2(values) | Self::Fsc(values)) = self;
        for &(shell, value) in values.iter().filter(|(shell, _)| *shell < shells) {
            let sigma2 = class.sigma2[shell];
            match self {
                Self::Tau2(_) => {
                    class.tau2[shell] = value;
                    // A shell without data has no ratio.
                    class.ssnr[shell] = if sigma2 > 0.0 { value / sigma2 } else { 0.0 };
                }
                Self::Fsc(_) => {
                    class.fsc[shell] = value;
                    let (tau2, ssnr) = tau2_from_fsc(&[value], &[sigma2], tau2_fudge, joined);
                    (class.tau2[shell], class.ssnr[shell]) = (tau2[0], ssnr[0]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;
    use crate::fourier::shape::VolumeShape;
    use num_complex::Complex64;

    fn sums(dimensions: Dimensions, current_size: usize) -> BackProjection {
        let shape = VolumeShape::new(dimensions, 8, 2.0, current_size);
        let mut sums = BackProjection::zeros(shape);
        for (i, (a, w)) in sums.data.iter_mut().zip(&mut sums.weight).enumerate() {
            (*a, *w) = (Complex64::new(i as f64, -(i as f64)), 1.0);
        }
        sums
    }

    /// Every voxel within the sphere is where its frequency belongs, padded with zeros or cropped.
    #[test]
    fn voxels_lie_by_their_frequency() {
        for (dimensions, size) in [
            (Dimensions::Three, 4),
            (Dimensions::Three, 8),
            (Dimensions::Two, 6),
        ] {
            let sums = sums(dimensions, size);
            let found = PaddedSums::of(&sums);
            let depth = dimensions.sections(16);
            assert_eq!(found.weight.dim(), (depth, 16, 9));
            let shape = sums.shape;
            let signed = |i: usize| if i <= 8 { i as i64 } else { i as i64 - 16 };
            for ((z, y, x), &weight) in found.weight.indexed_iter() {
                let (kz, ky, kx) = (signed(z), signed(y), x as i64);
                let inside = kz * kz + ky * ky + kx * kx <= shape.radius2();
                assert_eq!(weight, if inside { 1.0 } else { 0.0 });
                let h = shape.half() as i64;
                if inside {
                    let i = ((kz + shape.half_depth() as i64) * shape.side as i64 + ky + h)
                        * (h + 1)
                        + kx;
                    assert_eq!(found.real[[z, y, x]], i as f32);
                    assert_eq!(found.imaginary[[z, y, x]], -(i as f32));
                }
            }
        }
    }

    /// The values of the reference program (spec 06 §11): FSC 0.9, 0.5, −0.2 and 1 at T = 4.
    #[test]
    fn ratios_of_given_curves() {
        let mut class = fixtures::model(1).classes.remove(0);
        class.sigma2.fill(0.5);
        let before = class.clone();
        let curve = vec![(1, 0.9), (2, 0.5), (3, -0.2), (4, 1.0), (1000, 0.5)];
        GivenSpectrum::Fsc(curve).apply(&mut class, 4.0, false);
        for (shell, expected) in [(1, 36.0), (2, 4.0), (3, 4.0 * 0.001 / 0.999), (4, 3996.0)] {
            assert!((class.ssnr[shell] / expected - 1.0).abs() < 1e-6);
            assert!((class.tau2[shell] - 0.5 * class.ssnr[shell]).abs() < 1e-12);
        }
        assert_eq!(class.ssnr[5..], before.ssnr[5..]);
        assert_eq!(class.fsc[3], -0.2);
        GivenSpectrum::Fsc(vec![(2, 0.5)]).apply(&mut class, 1.0, true);
        let joined = (2.0f64 / 3.0).sqrt();
        assert!((class.ssnr[2] - joined / (1.0 - joined)).abs() < 1e-12);
        GivenSpectrum::Tau2(vec![(2, 3.0)]).apply(&mut class, 4.0, false);
        assert_eq!((class.tau2[2], class.ssnr[2]), (3.0, 6.0));
    }
}
