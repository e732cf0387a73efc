//! Sums over particles that are not volumes: noise, norm, scale, offsets (spec 01 §7.2–7.6).

use super::layout::GroupLayout;
use super::start::ParticleStart;
use super::{BatchItem, Criterion, IterationInput, ParticleOutcome, WeightedSums};

/// SSNR above which a shell takes part in the scale estimate (spec 01 §7.4).
const SCALE_SSNR: f64 = 3.0;

/// What one particle adds, per image shell.
#[derive(Debug, Clone, PartialEq)]
pub struct ShellSums {
    /// Σw of its samples that count.
    pub weight: f64,
    /// Σ|F|² of the masked image, shells of the n_g box.
    pub power: Vec<f64>,
    /// The same, shells above the n_g box.
    pub high_power: Vec<f64>,
    /// Per class visited: its index, Σ w Re(conj(sCA)·F) and Σ w|sCA|².
    pub classes: Vec<ClassShells>,
}

/// Sums over the samples of one class, per image shell of the n_g box.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassShells {
    /// 0-based class.
    pub class: usize,
    /// Σ w Re(conj(sCA)·F).
    pub xa: Vec<f64>,
    /// Σ w|sCA|².
    pub aa: Vec<f64>,
}

impl ShellSums {
    /// δ² per shell: Σ w|sCA|² − 2 Σ w Re(conj(sCA)·F) + Σw·|F|², since shifts do not change |F|²; above the n_g box
    /// |F|² is all there is.
    fn residual(&self) -> Vec<f64> {
        let mut residual: Vec<f64> = self.power.iter().map(|p| self.weight * p).collect();
        for class in &self.classes {
            for ((residual, x), a) in residual.iter_mut().zip(&class.xa).zip(&class.aa) {
                *residual += a - 2.0 * x;
            }
        }
        residual.extend_from_slice(&self.high_power);
        residual
    }

    /// (Σ XA, Σ AA) over the shells whose SSNR is good enough to estimate a scale.
    fn scale_sums(&self, input: &IterationInput) -> (f64, f64) {
        let (mut xa, mut aa) = (0.0, 0.0);
        for class in &self.classes {
            let ssnr = &input.model.classes[class.class].ssnr;
            for ((x, a), ssnr) in class.xa.iter().zip(&class.aa).zip(ssnr) {
                if *ssnr > SCALE_SSNR {
                    xa += x;
                    aa += a;
                }
            }
        }
        (xa, aa)
    }
}

/// What the alignment of a particle has found of it.
#[derive(Clone, Copy)]
pub(super) struct ParticleSums<'a> {
    pub start: &'a ParticleStart,
    pub shells: &'a ShellSums,
    /// CTF over the listed pixels; read for premultiplied optics groups only.
    pub ctf: &'a [f32],
}

impl WeightedSums {
    /// Adds a particle's noise, scale and likelihood, and gives `outcome` its new norm correction.
    pub(super) fn add_particle(
        &mut self,
        input: &IterationInput,
        layout: &GroupLayout,
        item: &BatchItem,
        found: ParticleSums,
        outcome: &mut ParticleOutcome,
    ) {
        let ParticleSums { start, shells, ctf } = found;
        let (particle, group) = (item.particle, item.particle.optics_group);
        let residual = shells.residual();
        let norm2: f64 = residual.iter().sum();
        for (shell, value) in residual.iter().enumerate() {
            if let Some(sum) = self.noise[group].get_mut(layout.model_shell[shell]) {
                *sum += value;
            }
        }
        for class in &shells.classes {
            self.signal[0] += class.xa.iter().skip(1).sum::<f64>();
            self.signal[1] += class.aa.iter().skip(1).sum::<f64>();
        }
        self.noise_weight[group] += shells.weight;
        if input.optics[group].ctf_premultiplied {
            for (&c, &shell) in ctf.iter().zip(&layout.pixels.shell) {
                if let Some(sum) = self.ctf2[group].get_mut(layout.model_shell[shell]) {
                    *sum += start.sum_scale * f64::from(c);
                }
            }
        }
        if input.options.norm {
            outcome.norm = particle.norm / input.model.average_norm * (2.0 * norm2.max(0.0)).sqrt();
        }
        self.norm += outcome.norm;
        if input.options.scale && input.criterion == Criterion::Likelihood {
            let (xa, aa) = shells.scale_sums(input);
            self.scale_xa[particle.scale_group] += xa / start.scale;
            self.scale_aa[particle.scale_group] += aa / (start.scale * start.scale);
        }
        self.log_likelihood += outcome.log_likelihood;
        self.max_probability += outcome.max_probability;
        self.particles += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two samples A₁, A₂ with weights w₁, w₂ in one shell: Σ w|A − F|² written out.
    #[test]
    fn residual_is_the_weighted_squared_difference() {
        let (f, a, w) = (3.0, [2.5, 1.0], [0.7, 0.2]);
        let shells = ShellSums {
            weight: w[0] + w[1],
            power: vec![f * f],
            high_power: vec![0.25],
            classes: (0..2)
                .map(|class| ClassShells {
                    class,
                    xa: vec![w[class] * a[class] * f],
                    aa: vec![w[class] * a[class] * a[class]],
                })
                .collect(),
        };
        let expected = w[0] * (a[0] - f) * (a[0] - f) + w[1] * (a[1] - f) * (a[1] - f);
        let residual = shells.residual();
        assert!((residual[0] - expected).abs() < 1e-12);
        assert_eq!(residual[1], 0.25);
    }
}
