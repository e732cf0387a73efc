//! Sums over particles that are not volumes: noise, norm, scale, offsets (spec 01 §7.2–7.6).

use super::layout::GroupLayout;
use super::start::ParticleStart;
use super::{BatchItem, Criterion, IterationInput, ParticleOutcome, WeightedSums};

/// SSNR above which a shell takes part in the scale estimate (spec 01 §7.4).
const SCALE_SSNR: f64 = 3.0;

/// Sums of one particle, per image shell.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ShellSums {
    /// Σw of its samples that count.
    pub weight: f64,
    /// Σ|F|² of the masked image, shells of the n_g box.
    pub power: Vec<f64>,
    /// The same, shells above the n_g box.
    pub high_power: Vec<f64>,
    /// Σ w Re(conj(sCA)·F) over all classes, shells of the n_g box.
    pub xa: Vec<f64>,
    /// Σ w|sCA|² over all classes, likewise.
    pub aa: Vec<f64>,
    /// Σ XA and Σ AA over the shells of every class that [`estimates_scale`].
    pub scale: [f64; 2],
}

/// Sums over the samples of one class, per image shell of the n_g box.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ClassShells {
    /// 0-based class.
    pub class: usize,
    /// Σ w Re(conj(sCA)·F).
    pub xa: Vec<f64>,
    /// Σ w|sCA|².
    pub aa: Vec<f64>,
}

/// True for shells whose SSNR is good enough to estimate a scale.
pub(super) fn estimates_scale(ssnr: f64) -> bool {
    ssnr > SCALE_SSNR
}

impl ClassShells {
    /// Σ XA and Σ AA over the shells that [`estimates_scale`].
    pub(super) fn scale_sums(&self, input: &IterationInput) -> [f64; 2] {
        let ssnr = &input.model.classes[self.class].ssnr;
        let shells = self.xa.iter().zip(&self.aa).zip(ssnr);
        shells
            .filter(|(_, ssnr)| estimates_scale(**ssnr))
            .fold([0.0; 2], |[xa, aa], ((x, a), _)| [xa + x, aa + a])
    }
}

impl ShellSums {
    /// δ² per shell: Σ w|sCA|² − 2 Σ w Re(conj(sCA)·F) + Σw·|F|², since shifts do not change |F|²; above the n_g box
    /// |F|² is all there is.
    fn residual(&self) -> Vec<f64> {
        let mut residual: Vec<f64> = self.power.iter().map(|p| self.weight * p).collect();
        for ((residual, x), a) in residual.iter_mut().zip(&self.xa).zip(&self.aa) {
            *residual += a - 2.0 * x;
        }
        residual.extend_from_slice(&self.high_power);
        residual
    }
}

/// Results of the alignment of a particle.
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
        self.signal[0] += shells.xa.iter().skip(1).sum::<f64>();
        self.signal[1] += shells.aa.iter().skip(1).sum::<f64>();
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
            let [xa, aa] = shells.scale;
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
            xa: vec![w[0] * a[0] * f + w[1] * a[1] * f],
            aa: vec![w[0] * a[0] * a[0] + w[1] * a[1] * a[1]],
            scale: [0.0; 2],
        };
        let expected = w[0] * (a[0] - f) * (a[0] - f) + w[1] * (a[1] - f) * (a[1] - f);
        let residual = shells.residual();
        assert!((residual[0] - expected).abs() < 1e-12);
        assert_eq!(residual[1], 0.25);
    }
}
