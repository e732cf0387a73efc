//! Radial statistics of the symmetrised sums: σ², τ², data-versus-prior, coverage (spec 02 §3.1–3.5).

use super::MaximizationError;
use super::prior::InversePrior;
use super::radial::Radial;
use crate::expectation::WeightedSums;
use crate::fourier::backprojection::BackProjection;
use crate::fourier::shape::VolumeShape;
use crate::fourier::shells::pixels_per_shell;

/// Bring a curve to shells 0…N/2, zero beyond its end.
fn to_box(mut curve: Vec<f64>, box_size: usize) -> Vec<f64> {
    curve.resize(box_size / 2 + 1, 0.0);
    curve
}

/// The sums that the spectra of a class follow from, per shell ROUND(|v|/P) of voxels with |v|² < Rp² (spec 02 §3.1–3.5).
pub(super) struct Statistics {
    /// Σ c_p·W and number of voxels.
    pub weights: Vec<[f64; 2]>,
    /// Σ W/I, number of voxels with W/I ≥ 1 and number of voxels, I being the inverse prior variance.
    pub ratios: Vec<[f64; 3]>,
}

impl Statistics {
    /// From the four numbers of each shell that kernels count: W, voxels, W/I, voxels with W/I ≥ 1.
    pub(super) fn of_device(values: &[f64], shape: &VolumeShape) -> Self {
        let factor = shape.oversampling();
        let shells = || values.chunks_exact(4);
        Self {
            weights: shells().map(|v| [factor * v[0], v[1]]).collect(),
            ratios: shells().map(|v| [v[2], v[3], v[1]]).collect(),
        }
    }
}

/// Σ c_p·W and number of voxels per shell of sums on the host.
pub(super) fn weights(sums: &BackProjection) -> Vec<[f64; 2]> {
    let factor = sums.shape.oversampling();
    Radial::new(sums).sum_by_shell(&sums.weight, |_, w| [factor * w, 1.0])
}

/// Σ W/I, number of voxels with W/I ≥ 1 and number of voxels per shell of sums on the host.
pub(super) fn ratios(sums: &BackProjection, prior: &InversePrior) -> Vec<[f64; 3]> {
    Radial::new(sums).sum_by_shell(&sums.weight, |shell, w| {
        let ratio = prior.ratio(shell, w);
        [ratio, f64::from(u8::from(ratio >= 1.0)), 1.0]
    })
}

/// σ² of the reconstruction per shell 0…N/2 from Σ c_p·W and the number of voxels of each shell (spec 02 §3.1).
pub fn sigma2(weights: &[[f64; 2]], box_size: usize) -> Result<Vec<f64>, MaximizationError> {
    let curve = weights
        .iter()
        .enumerate()
        .map(|(shell, &[sum, count])| {
            if sum > 1e-20 {
                Ok(count / sum)
            } else if sum > 0.0 {
                Err(MaximizationError::TinyWeight { shell, sum })
            } else {
                Ok(0.0)
            }
        })
        .collect::<Result<_, _>>()?;
    Ok(to_box(curve, box_size))
}

/// Data versus prior per shell 0…`shells` − 1 from the ratios W/I of voxels (spec 02 §3.2); 0 beyond `r_max`.
pub(super) fn data_versus_prior(
    ratios: &[[f64; 3]],
    shells: usize,
    r_max: usize,
    average_ctf2: Option<&[f64]>,
) -> Vec<f64> {
    (0..shells)
        .map(|shell| {
            if shell > r_max {
                return 0.0;
            }
            let [sum, _, count] = ratios.get(shell).copied().unwrap_or_default();
            if count < 0.001 {
                return 999.0;
            }
            let ctf2 = average_ctf2.map_or(1.0, |c| if c[shell] > 0.0 { c[shell] } else { 1.0 });
            sum / count * ctf2
        })
        .collect()
}

/// Share of the voxels of each shell 0…`shells` − 1 whose weight is at least that of the prior (spec 02 §3.5).
pub(super) fn coverage(ratios: &[[f64; 3]], shells: usize) -> Vec<f64> {
    let mut curve: Vec<f64> = ratios
        .iter()
        .map(|&[_, covered, count]| if count > 0.0 { covered / count } else { 0.0 })
        .collect();
    curve.resize(shells, 0.0);
    curve
}

/// Mean CTF² per shell over all optics groups, for premultiplied data (spec 02 §3.2).
pub fn average_ctf2(sums: &WeightedSums, box_size: usize) -> Vec<f64> {
    let weight: f64 = sums.noise_weight.iter().sum();
    pixels_per_shell(box_size)
        .into_iter()
        .enumerate()
        .map(|(shell, pixels)| {
            let sum: f64 = sums.ctf2.iter().filter_map(|c| c.get(shell)).sum();
            if weight > 0.0 {
                sum / (weight * pixels)
            } else {
                0.0
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tau2::tau2_from_fsc;
    use super::*;

    fn uniform(weight: f64) -> BackProjection {
        let mut sums = BackProjection::new(32, 2.0, 24);
        sums.weight.fill(weight);
        sums
    }

    fn against(sums: &BackProjection, tau2: &[f64], tau2_fudge: f64) -> Vec<[f64; 3]> {
        ratios(sums, &InversePrior::new(tau2, tau2_fudge, &sums.shape))
    }

    #[test]
    fn sigma2_is_the_inverse_of_the_mean_weight() {
        let sigma2 = sigma2(&weights(&uniform(5.0)), 32).unwrap();
        assert_eq!(sigma2.len(), 17);
        assert!(sigma2[..=12].iter().all(|s| (s - 1.0 / 40.0).abs() < 1e-15));
        assert!(sigma2[13..].iter().all(|s| *s == 0.0));
        assert!(matches!(
            super::sigma2(&weights(&uniform(1e-30)), 32),
            Err(MaximizationError::TinyWeight { shell: 0, .. })
        ));
    }

    /// ssnr = 1 at FSC = 0.5 for halves and at 1/7 for the joined data, where the √ formula gives 0.5.
    /// With the τ² that an FSC gives, the mean of W/I is that FSC's ssnr again (T counts twice on the way).
    #[test]
    fn data_versus_prior_inverts_tau2_from_fsc() {
        let sums = uniform(3.0);
        let sigma2 = sigma2(&weights(&sums), 32).unwrap();
        let (tau2, ssnr) = tau2_from_fsc(&[0.8; 17], &sigma2, 1.0, false);
        let dvp = data_versus_prior(&against(&sums, &tau2, 1.0), 17, sums.shape.r_max, None);
        for shell in 0..=12 {
            assert!((dvp[shell] - ssnr[shell]).abs() < 1e-9, "shell {shell}");
        }
        assert!(dvp[13..].iter().all(|v| *v == 0.0));
        let covered = coverage(&against(&sums, &tau2, 1.0), 17);
        assert!(covered[..=12].iter().all(|c| *c == 1.0));
        let (weak, _) = tau2_from_fsc(&[0.4; 17], &sigma2, 1.0, false);
        assert!(
            coverage(&against(&sums, &weak, 1.0), 17)
                .iter()
                .all(|c| *c == 0.0)
        );
    }

    #[test]
    fn premultiplied_data_scale_the_ratio_by_their_ctf2() {
        let sums = uniform(3.0);
        let tau2 = vec![0.1; 17];
        let ratios = against(&sums, &tau2, 4.0);
        let plain = data_versus_prior(&ratios, 17, sums.shape.r_max, None);
        let scaled = data_versus_prior(&ratios, 17, sums.shape.r_max, Some(&[0.25; 17]));
        assert!((scaled[7] - 0.25 * plain[7]).abs() < 1e-12);
        assert!((plain[7] - 8.0 * 4.0 * 0.1 * 3.0).abs() < 1e-9);
    }
}
