//! Filters of the averaged map in Fourier space: MTF, FSC weighting, B-factor, low-pass (spec 02 §7.1 steps 4–8).

use super::{PostprocessError, PostprocessSettings, Sharpening};
use crate::errors::{Code, Message};
use crate::fourier::fft::HalfComplex3;
use crate::fourier::shells::logical;
use crate::optics::mtf::Mtf;

/// Straight line through the Guinier plot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GuinierFit {
    /// Slope (Å²): a quarter of the B-factor.
    pub slope: f64,
    /// Intercept at infinite resolution.
    pub intercept: f64,
    /// Square of the correlation of the points with the line, which is what RELION states as their correlation.
    pub correlation: f64,
}

/// The steps, worked out on the averaged map and repeatable on the half maps.
pub(crate) struct Treatment {
    mtf: Option<(Mtf, f64)>,
    /// Factor per shell; None with `--skip_fsc_weighting`.
    weights: Option<Vec<f64>>,
    sharpening: Sharpening,
    fit: Option<GuinierFit>,
    b_factor: f64,
    /// Shell and width of the low-pass edge.
    low_pass: Option<(f64, f64)>,
    n: usize,
    pixel_size: f64,
}

impl Treatment {
    pub(crate) fn new(
        settings: &PostprocessSettings,
        fsc: &[f64],
        n: usize,
        pixel_size: f64,
        resolution: f64,
    ) -> Result<Self, PostprocessError> {
        let mtf = match &settings.mtf {
            Some(path) => Some((
                Mtf::read(path).map_err(|e| Message::of(&e))?,
                settings.mtf_pixel_size.unwrap_or(pixel_size),
            )),
            None => None,
        };
        let low_pass = match settings.low_pass {
            0.0 => None,
            d if d < 0.0 => Some(resolution),
            d => Some(d),
        };
        Ok(Self {
            mtf,
            weights: (!settings.skip_weighting).then(|| fsc_weights(fsc)),
            sharpening: settings.sharpening,
            fit: None,
            b_factor: 0.0,
            low_pass: low_pass.map(|d| {
                let half_edge = (settings.filter_edge / 2) as f64;
                ((n as f64 * pixel_size / d).round(), half_edge)
            }),
            n,
            pixel_size,
        })
    }

    /// B-factor applied, Å².
    pub(crate) fn b_factor(&self) -> f64 {
        self.b_factor
    }

    /// The fit behind it.
    pub(crate) fn fit(&self) -> Option<GuinierFit> {
        self.fit
    }

    /// Treat the averaged map, deciding on the B-factor; log amplitudes per shell after each step under RELION's labels.
    pub(crate) fn apply(
        &mut self,
        map: &mut HalfComplex3,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<(&'static str, Vec<f64>)>, PostprocessError> {
        let mut guinier = vec![("rlnLogAmplitudesOriginal", log_amplitudes(map))];
        if self.mtf.is_some() {
            self.divide_by_mtf(map);
            guinier.push(("rlnLogAmplitudesMTFCorrected", log_amplitudes(map)));
        }
        if self.weights.is_some() {
            self.weigh(map);
            guinier.push(("rlnLogAmplitudesWeighted", log_amplitudes(map)));
        }
        match self.sharpening {
            Sharpening::None => {}
            Sharpening::Fixed(b) => self.b_factor = b,
            Sharpening::Fitted { low, high } => {
                let fit = self.fit_guinier(&log_amplitudes(map), low, high)?;
                self.b_factor = 4.0 * fit.slope;
                self.fit = Some(fit);
            }
        }
        if self.b_factor == 0.0 {
            warnings.push("the B-factor is 0: the map is not sharpened".into());
        } else {
            self.sharpen(map);
            guinier.push(("rlnLogAmplitudesSharpened", log_amplitudes(map)));
        }
        self.filter(map);
        Ok(guinier)
    }

    /// The same steps on another map.
    pub(crate) fn repeat(&self, map: &mut HalfComplex3) {
        self.divide_by_mtf(map);
        self.weigh(map);
        if self.b_factor != 0.0 {
            self.sharpen(map);
        }
        self.filter(map);
    }

    fn divide_by_mtf(&self, map: &mut HalfComplex3) {
        if let Some((mtf, mtf_pixel)) = &self.mtf {
            let step = mtf_pixel / (self.n as f64 * self.pixel_size);
            scale(map, |r| {
                if r <= (self.n / 2) as f64 {
                    1.0 / mtf.value(r * step)
                } else {
                    1.0
                }
            });
        }
    }

    fn weigh(&self, map: &mut HalfComplex3) {
        if let Some(weights) = &self.weights {
            scale(map, |r| {
                weights.get((r + 0.5) as usize).copied().unwrap_or(0.0)
            });
        }
    }

    fn sharpen(&self, map: &mut HalfComplex3) {
        let step = 1.0 / (self.n as f64 * self.pixel_size);
        scale(map, |r| {
            if r <= (self.n / 2) as f64 {
                (-0.25 * self.b_factor * (r * step).powi(2)).exp()
            } else {
                0.0
            }
        });
    }

    fn filter(&self, map: &mut HalfComplex3) {
        if let Some((shell, half_edge)) = self.low_pass {
            scale(map, |r| edge(r, shell - half_edge, shell + half_edge));
        }
    }

    fn fit_guinier(
        &self,
        log_amplitudes: &[f64],
        low: f64,
        high: f64,
    ) -> Result<GuinierFit, PostprocessError> {
        let extent = self.n as f64 * self.pixel_size;
        let points: Vec<(f64, f64)> = (1..log_amplitudes.len())
            .map(|s| (extent / s as f64, log_amplitudes[s]))
            .filter(|&(d, y)| d <= low && d >= high && d >= 2.0 * self.pixel_size && y > EMPTY)
            .map(|(d, y)| (1.0 / (d * d), y))
            .collect();
        if points.len() < 3 {
            return Err(Code::SHARPENING.says(format!(
                "only {} shells with signal lie between {low} Å and {high} Å: too few for a B-factor; raise --autob_lowres or \
                 give --adhoc_bfac",
                points.len()
            )).into());
        }
        Ok(line(&points))
    }
}

/// Log amplitude of an empty shell.
pub(super) const EMPTY: f64 = -99.0;

/// sqrt(2·FSC/(1+FSC)) per shell up to the last one before FSC < 0.0001, 0 beyond.
pub(crate) fn fsc_weights(fsc: &[f64]) -> Vec<f64> {
    let end = fsc.iter().position(|c| *c < 1e-4).unwrap_or(fsc.len());
    fsc.iter()
        .enumerate()
        .map(|(s, c)| {
            if s < end {
                (2.0 * c / (1.0 + c)).sqrt()
            } else {
                0.0
            }
        })
        .collect()
}

/// 1 below `from`, 0 above `to`, raised cosine between.
pub(crate) fn edge(r: f64, from: f64, to: f64) -> f64 {
    if r < from {
        1.0
    } else if r > to {
        0.0
    } else if to > from {
        0.5 + 0.5 * (std::f64::consts::PI * (r - from) / (to - from)).cos()
    } else {
        1.0
    }
}

/// Multiply every Fourier component by a function of its radius (shells).
fn scale(map: &mut HalfComplex3, factor: impl Fn(f64) -> f64) {
    let n = map.dim().0;
    for ((z, y, x), value) in map.indexed_iter_mut() {
        let r2 = logical(z, n).pow(2) + logical(y, n).pow(2) + (x * x) as i64;
        *value *= factor((r2 as f64).sqrt());
    }
}

/// ln⟨|F|⟩ per shell 0…N/2; −99 where there is nothing.
fn log_amplitudes(map: &HalfComplex3) -> Vec<f64> {
    let n = map.dim().0;
    let mut sums = vec![(0.0, 0usize); n / 2 + 1];
    for ((z, y, x), value) in map.indexed_iter() {
        let r2 = logical(z, n).pow(2) + logical(y, n).pow(2) + (x * x) as i64;
        if let Some(sum) = sums.get_mut(crate::fourier::shells::shell(r2)) {
            sum.0 += value.norm();
            sum.1 += 1;
        }
    }
    sums.into_iter()
        .map(|(sum, count)| {
            if sum > 0.0 {
                (sum / count as f64).ln()
            } else {
                EMPTY
            }
        })
        .collect()
}

/// Least squares with equal weights.
fn line(points: &[(f64, f64)]) -> GuinierFit {
    let n = points.len() as f64;
    let (mx, my) = (
        points.iter().map(|p| p.0).sum::<f64>() / n,
        points.iter().map(|p| p.1).sum::<f64>() / n,
    );
    let sum =
        |f: &dyn Fn(f64, f64) -> f64| -> f64 { points.iter().map(|p| f(p.0 - mx, p.1 - my)).sum() };
    let (xx, xy, yy) = (sum(&|x, _| x * x), sum(&|x, y| x * y), sum(&|_, y| y * y));
    let slope = xy / xx;
    GuinierFit {
        slope,
        intercept: my - slope * mx,
        correlation: xy * xy / (xx * yy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fourier::fft::forward3;
    use ndarray::Array3;

    #[test]
    fn weights_stop_where_the_curve_first_vanishes() {
        let w = fsc_weights(&[1.0, 0.5, 0.0, 0.9]);
        assert_eq!(w[0], 1.0);
        assert!((w[1] - (1.0f64 / 1.5).sqrt()).abs() < 1e-12);
        assert_eq!(&w[2..], &[0.0, 0.0]);
    }

    #[test]
    fn lines_are_found() {
        let points: Vec<(f64, f64)> = (0..5)
            .map(|i| (f64::from(i), 3.0 - 2.0 * f64::from(i)))
            .collect();
        let fit = line(&points);
        assert!((fit.slope + 2.0).abs() < 1e-12 && (fit.intercept - 3.0).abs() < 1e-12);
        assert!((fit.correlation - 1.0).abs() < 1e-12);
    }

    /// Sharpening by −B undoes a decay of +B: the Guinier slope of a decayed point is B/4 and the fit takes it off.
    #[test]
    fn the_fitted_b_factor_undoes_a_known_decay() {
        let (n, a, b) = (32, 2.0, 200.0);
        let mut map = Array3::zeros((n, n, n));
        map[[16, 16, 16]] = 1.0;
        let mut transform = forward3(&map);
        let step = 1.0 / (n as f64 * a);
        scale(&mut transform, |r| (-0.25 * b * (r * step).powi(2)).exp());
        let mut treatment = Treatment {
            mtf: None,
            weights: None,
            sharpening: Sharpening::Fitted {
                low: 20.0,
                high: 0.0,
            },
            fit: None,
            b_factor: 0.0,
            low_pass: None,
            n,
            pixel_size: a,
        };
        treatment.apply(&mut transform, &mut Vec::new()).unwrap();
        assert!(
            (treatment.b_factor() + b).abs() < 2.0,
            "{}",
            treatment.b_factor()
        );
        let flat = log_amplitudes(&transform);
        assert!(
            flat[4..15].iter().all(|v| (v - flat[8]).abs() < 0.05),
            "{flat:?}"
        );
    }
}
