//! Anisotropy of the resolution: FSC within cones of Fourier space (Tan et al. 2017, Nat. Methods 14, 793).
//!
//! A cone holds few Fourier components, so the resolution differs from cone to cone in a perfect map too. By how much is
//! measured on random maps without any direction: the same FSC per shell, the same mask, the same cones.
//!
//! A structure may itself have more power in some directions than in others: parallel helices have little along their axis.
//! Their FSC differs with the direction however well it was sampled. What uneven sampling changes is the noise of unfiltered
//! half maps, which falls as the number of images that see a direction grows and vanishes where none does. So an anisotropic
//! FSC is held against the data only where the power of the noise, from the difference of the half maps, is anisotropic too.

use super::half_maps::{Measured, masked_transforms};
use super::inputs::Inputs;
use super::{Check, Verdict};
use crate::fourier::fft::{HalfComplex3, forward3, inverse3};
use crate::fourier::shells::{logical, shell};
use crate::geometry::euler::viewing_direction;
use crate::geometry::healpix;
use crate::tools::fsc::crossing;
use ndarray::{Array3, Axis};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;
use rayon::prelude::*;

/// HEALPix order of the cones' axes: 96 on the half-sphere.
const ORDER: u32 = 2;

/// Half of the opening angle of a cone, degrees (Tan et al. 2017).
const HALF_ANGLE: f64 = 20.0;

/// FSC at which the resolution of a cone is read: at 0.143 the few components of a cone scatter too much.
const THRESHOLD: f64 = 0.5;

/// Random maps that show the expected scatter.
const TRIALS: u64 = 3;

/// Shares of the cones between which resolutions are compared: the extremes of 96 cones say little.
const PERCENTILES: [f64; 2] = [0.05, 0.95];

/// Ratio of worst to best resolution, as a multiple of the expected one, up to which the FSC is isotropic.
const ANISOTROPY: f64 = 1.35;

/// Ratio of the noise power of the noisiest to the quietest direction, as a multiple of the expected one, up to which the noise
/// is isotropic, and from which it is bad: choices of this program. Twice as many views of a direction halve its noise.
const NOISE: [f64; 2] = [1.6, 4.0];

/// Judges the anisotropy.
pub(super) fn check(inputs: &Inputs, measured: &Measured) -> Check {
    let cones = Cones::new();
    let [a, b] = masked_transforms(inputs);
    let of = |a: &HalfComplex3, b: &HalfComplex3| {
        let sums = cones.sums(a, b);
        Spread {
            resolutions: resolutions(&sums, inputs),
            noise: noise_ratio(&sums, inputs.n(), measured.shell),
        }
    };
    let found = of(&a, &b);
    let trials = (0..TRIALS).map(|trial| {
        let [a, b] = isotropic(inputs, &measured.masked, trial);
        let spread = of(&a, &b);
        [spread.ratio(), spread.noise]
    });
    let expected = trials.fold([0.0; 2], |sum, t| {
        [0, 1].map(|i| sum[i] + t[i] / TRIALS as f64)
    });
    let (fsc, noise) = (found.ratio() / expected[0], found.noise / expected[1]);
    let (verdict, why) = match fsc <= ANISOTROPY {
        true => (Verdict::Good, "so the map is isotropic"),
        false => match Verdict::of_rising(noise, NOISE[0], NOISE[1]) {
            Verdict::Good => (
                Verdict::Good,
                "the noise is isotropic, so the difference is the structure's own",
            ),
            other => (other, "the noise is anisotropic too, so views are missing"),
        },
    };
    Check::new(
        "3D FSC is isotropic",
        format!("{:.2}–{:.2} Å", found.resolutions[0], found.resolutions[1]),
        verdict,
        format!(
            "FSC 0.5 within cones of {HALF_ANGLE}° (Tan et al. 2017), best and worst twentieth: ratio {:.2}, noise power {:.2}, where \
             an isotropic map with this FSC and mask shows {:.2} and {:.2}; {why}",
            found.ratio(),
            found.noise,
            expected[0],
            expected[1]
        ),
        "Look at the orientation coverage; densities are smeared along the worst direction, so do not build into them by resolution \
         alone.",
    )
}

/// Differences between the cones.
struct Spread {
    /// Of a good and of a bad direction, Å.
    resolutions: [f64; 2],
    /// Noise power of a noisy direction over that of a quiet one.
    noise: f64,
}

impl Spread {
    fn ratio(&self) -> f64 {
        self.resolutions[1] / self.resolutions[0]
    }
}

/// Axes of the cones, on the half-sphere z ≥ 0.
struct Cones {
    axes: Vec<[f32; 3]>,
}

/// Σ Re(a·b*), Σ|a|², Σ|b|² and the number of components per cone and shell.
type Sums = Vec<[f64; 4]>;

impl Cones {
    fn new() -> Self {
        let axes = (0..healpix::pixel_count(ORDER))
            .map(|pixel| {
                let (rot, tilt) = healpix::direction(ORDER, pixel);
                viewing_direction(rot, tilt)
            })
            .filter(|[x, y, z]| {
                *z > 1e-9 || (*z > -1e-9 && (*y > 1e-9 || (*y > -1e-9 && *x > 0.0)))
            });
        Self {
            axes: axes.map(|axis| axis.map(|v| v as f32)).collect(),
        }
    }

    fn sums(&self, a: &HalfComplex3, b: &HalfComplex3) -> Sums {
        let n = a.dim().0;
        let shells = n / 2 + 1;
        let cosine = (HALF_ANGLE.to_radians().cos()) as f32;
        let empty = || vec![[0.0f64; 4]; shells * self.axes.len()];
        // Planes are added in groups of fixed size, so that the sums do not depend on the number of threads.
        let groups: Vec<Sums> = (0..n.div_ceil(16))
            .into_par_iter()
            .map(|group| {
                let mut sums = empty();
                for z in (16 * group..16 * (group + 1)).take_while(|z| *z < n) {
                    let planes = (a.index_axis(Axis(0), z), b.index_axis(Axis(0), z));
                    for (((y, x), a), b) in planes.0.indexed_iter().zip(planes.1) {
                        let at = [x as i64, logical(y, n), logical(z, n)];
                        let r2 = at.iter().map(|v| v * v).sum::<i64>();
                        let s = shell(r2);
                        if s >= shells || s == 0 {
                            continue;
                        }
                        let limit = cosine * (r2 as f32).sqrt();
                        let at = at.map(|v| v as f32);
                        let add = [(a.conj() * b).re, a.norm_sqr(), b.norm_sqr(), 1.0];
                        for (cone, axis) in self.axes.iter().enumerate() {
                            let along = at[0] * axis[0] + at[1] * axis[1] + at[2] * axis[2];
                            if along.abs() >= limit {
                                let sum = &mut sums[cone * shells + s];
                                (0..4).for_each(|i| sum[i] += add[i]);
                            }
                        }
                    }
                }
                sums
            })
            .collect();
        let mut total = empty();
        for group in groups {
            for (total, part) in total.iter_mut().zip(group) {
                (0..4).for_each(|i| total[i] += part[i]);
            }
        }
        total
    }
}

/// Returns the resolutions (Å) of a good and of a bad direction, at [`PERCENTILES`].
fn resolutions(sums: &[[f64; 4]], inputs: &Inputs) -> [f64; 2] {
    let n = inputs.n();
    let of_cone = |cone: &[[f64; 4]]| {
        let fsc = |[cross, p, q, _]: &[f64; 4]| match p * q > 0.0 {
            true => cross / (p * q).sqrt(),
            // No component of this shell lies in the cone: the shells around it decide.
            false => 1.0,
        };
        let curve: Vec<f64> = cone.iter().map(fsc).collect();
        let extent = n as f64 * inputs.pixel_size;
        crossing(&curve, THRESHOLD, n, inputs.pixel_size).min(extent)
    };
    at_percentiles(sums.chunks(n / 2 + 1).map(of_cone).collect())
}

/// Returns the ratio of the noise power of a noisy to that of a quiet direction, relative to the mean of each shell, over
/// the shells from half of to one and a half times the resolution.
fn noise_ratio(sums: &[[f64; 4]], n: usize, shell: usize) -> f64 {
    let shells = n / 2 + 1;
    let begin = (shell / 2).max(3).min(shells - 1);
    let range = begin..(3 * shell / 2).clamp(begin + 1, shells);
    let power = |sum: &[f64; 4]| (sum[1] + sum[2] - 2.0 * sum[0]).max(0.0);
    let mean = |s: usize| {
        let cones = sums.chunks(shells).map(|cone| &cone[s]);
        let (power, count) = cones.fold((0.0, 0.0), |(p, c), sum| (p + power(sum), c + sum[3]));
        power / count
    };
    let means: Vec<f64> = (0..shells).map(mean).collect();
    let of_cone = |cone: &[[f64; 4]]| {
        let relative: f64 = range.clone().map(|s| power(&cone[s]) / means[s]).sum();
        relative / range.clone().map(|s| cone[s][3]).sum::<f64>()
    };
    let [quiet, noisy] = at_percentiles(sums.chunks(shells).map(of_cone).collect());
    noisy / quiet.max(1e-3)
}

/// Returns the values of two cones, at [`PERCENTILES`].
fn at_percentiles(mut values: Vec<f64>) -> [f64; 2] {
    values.sort_by(f64::total_cmp);
    PERCENTILES.map(|share| values[((values.len() - 1) as f64 * share).round() as usize])
}

/// Transforms of two random maps within the mask whose FSC is `curve` in all directions: a common signal of power c/(1−c)
/// per shell, and noise of power 1 each.
fn isotropic(inputs: &Inputs, curve: &[f64], trial: u64) -> [HalfComplex3; 2] {
    let n = inputs.n();
    let mut random = Pcg64::seed_from_u64(trial);
    let mut white =
        || Array3::from_shape_simple_fn((n, n, n), || StandardNormal.sample(&mut random));
    let mut signal = forward3(&white());
    for ((z, y, x), value) in signal.indexed_iter_mut() {
        let r2 = logical(z, n).pow(2) + logical(y, n).pow(2) + (x * x) as i64;
        let c = curve
            .get(shell(r2))
            .copied()
            .unwrap_or(0.0)
            .clamp(0.0, 0.9999);
        *value *= (c / (1.0 - c)).sqrt();
    }
    let signal = inverse3(signal, n);
    [white(), white()].map(|noise| forward3(&((&signal + &noise) * &inputs.support.mask)))
}
