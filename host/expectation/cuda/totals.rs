//! What a batch adds to the sums that are not volumes, and the outcome of each particle (spec 01 §6.4, §7.2–7.6).

use super::super::{BatchItem, Criterion, IterationInput, ParticleOutcome, WeightedSums};
use super::first_pass::FirstPass;
use super::images::Prepared;
use super::layout::DeviceLayout;
use gpu::samples::Alignment;

/// SSNR above which a shell takes part in the scale estimate (spec 01 §7.4).
const SCALE_SSNR: f64 = 3.0;

/// Adds the batch to `sums`; `shares` holds (Σ XA, Σ AA, Σ|F|², 0) per image, class and shell.
#[allow(clippy::too_many_arguments)]
pub fn add(
    input: &IterationInput,
    layout: &DeviceLayout,
    group: usize,
    items: &[&BatchItem],
    images: &Prepared,
    first: &FirstPass,
    alignments: &[Alignment],
    shares: &[[f32; 4]],
    sums: &mut WeightedSums,
) -> Vec<ParticleOutcome> {
    let batch = Batch {
        input,
        layout,
        images,
        first,
    };
    let per_image = input.references.len() * layout.shells;
    items
        .iter()
        .zip(alignments)
        .zip(shares.chunks_exact(per_image))
        .enumerate()
        .map(|(i, ((item, alignment), shares))| {
            let mut outcome = batch.outcome(i, item, alignment, shares);
            if !input.options.skip_maximize {
                outcome.norm = batch.add_noise(i, group, item, alignment, shares, sums);
                let a_g = layout.host.pixel_size;
                sums.sigma2_offset += f64::from(alignment.offset2) * a_g * a_g;
                sums.norm += outcome.norm;
                sums.log_likelihood += outcome.log_likelihood;
                sums.max_probability += outcome.max_probability;
                sums.particles += 1;
            }
            outcome
        })
        .collect()
}

struct Batch<'a> {
    input: &'a IterationInput<'a>,
    layout: &'a DeviceLayout,
    images: &'a Prepared,
    first: &'a FirstPass,
}

impl Batch<'_> {
    /// Σ|F|² of shell `s` above the n_g box, of image `i`.
    fn high_power(&self, i: usize) -> &[f32] {
        let shells = self.layout.host.box_size / 2 + 1;
        let powers = &self.images.shell_powers[i * shells..(i + 1) * shells];
        &powers[self.layout.shells.min(shells)..]
    }

    /// Pose, likelihood and probability of particle `i`, its norm still the old one.
    fn outcome(
        &self,
        i: usize,
        item: &BatchItem,
        alignment: &Alignment,
        shares: &[[f32; 4]],
    ) -> ParticleOutcome {
        let (input, host) = (self.input, &self.layout.host);
        let (class, orientation) =
            self.first.rows(self.layout).index[alignment.orientation as usize];
        let n_psi = input.sampling.n_psi();
        let children = input
            .sampling
            .orientation_children(input.options.oversampling);
        let child =
            alignment.best as usize % (children * host.shift_children) / host.shift_children;
        let [rot, tilt, psi] = input
            .sampling
            .angles(
                orientation as usize / n_psi,
                orientation as usize % n_psi,
                input.options.oversampling,
                child,
            )
            .expect("a child of the grid");
        let shift = host.fine_shifts[alignment.shift as usize];
        let selection = &alignment.selection;
        let (log_likelihood, max_probability) = match input.criterion {
            Criterion::CrossCorrelation => (f64::from(selection.max_log), 1.0),
            Criterion::Likelihood => {
                // V is the same over a shell, so ½ΣV|F|² follows from the powers of the shells.
                let fine_power: f64 = (1..=host.fine_size / 2)
                    .map(|s| {
                        let begin = host.pixels.shell.partition_point(|&v| v < s);
                        let v = host.inverse_variance.get(begin).copied().unwrap_or(0.0);
                        0.5 * f64::from(v) * f64::from(shares[s][2])
                    })
                    .sum();
                let high: f64 = self.high_power(i).iter().map(|&v| f64::from(v)).sum();
                let log_sum = f64::from(selection.sum).ln() + f64::from(selection.max_log);
                (
                    log_sum - 0.5 * high - fine_power - host.log_norm,
                    1.0 / f64::from(selection.sum),
                )
            }
        };
        let old = self.images.particles[i].old_offset;
        ParticleOutcome {
            rot,
            tilt,
            psi,
            origin: std::array::from_fn(|k| (old[k] + shift[k]) * host.pixel_size),
            class: class as usize + 1,
            norm: item.particle.norm,
            log_likelihood,
            max_probability,
            significant_samples: self.first.selections[i].counted as usize,
        }
    }

    /// Noise, scale and premultiplied CTF of particle `i`; returns its new norm correction.
    fn add_noise(
        &self,
        i: usize,
        group: usize,
        item: &BatchItem,
        alignment: &Alignment,
        shares: &[[f32; 4]],
        sums: &mut WeightedSums,
    ) -> f64 {
        let (input, host) = (self.input, &self.layout.host);
        let weight = f64::from(alignment.weight);
        // δ² = Σ w|sCA|² − 2 Σ w Re(conj(sCA)·F) + Σw·|F|²: shifts do not change |F|².
        let mut residual: Vec<f64> = shares[..self.layout.shells]
            .iter()
            .map(|s| weight * f64::from(s[2]))
            .collect();
        let (mut xa, mut aa) = (0.0, 0.0);
        for (class, shares) in shares.chunks_exact(self.layout.shells).enumerate() {
            let ssnr = &input.model.classes[class].ssnr;
            for (shell, (residual, share)) in residual.iter_mut().zip(shares).enumerate() {
                let (x, a) = (f64::from(share[0]), f64::from(share[1]));
                *residual += a - 2.0 * x;
                if ssnr.get(shell).is_some_and(|&s| s > SCALE_SSNR) {
                    xa += x;
                    aa += a;
                }
            }
        }
        residual.extend(self.high_power(i).iter().map(|&v| f64::from(v)));
        let norm2: f64 = residual.iter().sum();
        for (shell, value) in residual.iter().enumerate() {
            if let Some(sum) = sums.noise[group].get_mut(host.model_shell[shell]) {
                *sum += value;
            }
        }
        sums.noise_weight[group] += weight;
        if let Some(ctf) = &self.images.host_ctf {
            let sum_scale = self.images.particles[i].scale.max(0.001);
            let ctf = &ctf[i * self.layout.stride..];
            for (&c, &shell) in ctf.iter().zip(&host.pixels.shell) {
                if let Some(sum) = sums.ctf2[group].get_mut(host.model_shell[shell]) {
                    *sum += sum_scale * f64::from(c);
                }
            }
        }
        if input.options.scale && input.criterion == Criterion::Likelihood {
            let scale = self.images.particles[i].scale;
            sums.scale_xa[item.particle.scale_group] += xa / scale;
            sums.scale_aa[item.particle.scale_group] += aa / (scale * scale);
        }
        if input.options.norm {
            item.particle.norm / input.model.average_norm * (2.0 * norm2.max(0.0)).sqrt()
        } else {
            item.particle.norm
        }
    }
}
