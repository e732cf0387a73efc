//! Sums over particles that are not volumes: noise, norm, scale, offsets, classes, directions (spec 01 §7.2–7.6).

use super::super::{BatchItem, Criterion, IterationInput, ParticleOutcome, WeightedSums};
use super::layout::GroupLayout;
use super::prepare::PreparedImage;
use super::store::ImageShare;

/// Scalars of one particle after the second pass.
pub struct ParticleTotals {
    /// What is written for the particle (norm still the old one).
    pub outcome: ParticleOutcome,
    /// Σ w.
    pub weight: f64,
    /// (class, direction, Σ w).
    pub directions: Vec<(usize, usize, f64)>,
    /// Σ w |µ − r − t|², Å².
    pub sigma2_offset: f64,
}

/// SSNR above which a shell takes part in the scale estimate (spec 01 §7.4).
const SCALE_SSNR: f64 = 3.0;

/// Add one particle to the sums; returns its outcome with the new norm correction.
#[allow(clippy::too_many_arguments)]
pub fn add(
    input: &IterationInput,
    layout: &GroupLayout,
    group: usize,
    item: &BatchItem,
    image: &PreparedImage,
    totals: ParticleTotals,
    shares: &[ImageShare],
    sums: &mut WeightedSums,
) -> ParticleOutcome {
    let mut outcome = totals.outcome;
    // δ² = Σ w|sCA − F|² = Σ w|sCA|² − 2 Σ w Re(conj(sCA)·F) + Σw·|F|²: shifts do not change |F|².
    let shells = layout.pixels.size() / 2 + 1;
    let mut residual = vec![0.0f64; shells];
    for (i, value) in image.masked.iter().enumerate() {
        residual[layout.pixels.shell[i]] += f64::from(value.norm_sqr());
    }
    residual.iter_mut().for_each(|r| *r *= totals.weight);
    let (mut xa, mut aa) = (0.0, 0.0);
    for share in shares {
        let ssnr = &input.model.classes[share.class].ssnr;
        for (shell, residual) in residual.iter_mut().enumerate() {
            *residual += share.aa[shell] - 2.0 * share.xa[shell];
            if ssnr.get(shell).is_some_and(|&s| s > SCALE_SSNR) {
                xa += share.xa[shell];
                aa += share.aa[shell];
            }
        }
    }
    let norm2 = residual.iter().sum::<f64>() + image.high_power_sum;
    residual.extend_from_slice(&image.high_power);
    for (shell, value) in residual.iter().enumerate() {
        if let Some(sum) = sums.noise[group].get_mut(layout.model_shell[shell]) {
            *sum += value;
        }
    }
    sums.noise_weight[group] += totals.weight;
    if input.optics[group].ctf_premultiplied {
        for (i, &c) in image.ctf.iter().enumerate() {
            if let Some(sum) = sums.ctf2[group].get_mut(layout.model_shell[layout.pixels.shell[i]])
            {
                *sum += image.sum_scale * f64::from(c);
            }
        }
    }
    if input.options.norm {
        outcome.norm =
            item.particle.norm / input.model.average_norm * (2.0 * norm2.max(0.0)).sqrt();
    }
    sums.norm += outcome.norm;
    if input.options.scale && input.criterion == Criterion::Likelihood {
        sums.scale_xa[item.particle.scale_group] += xa / image.scale;
        sums.scale_aa[item.particle.scale_group] += aa / (image.scale * image.scale);
    }
    let with_directions = !(input.options.skip_align || input.options.skip_rotate);
    for (class, direction, weight) in totals.directions {
        sums.class_weight[class] += weight;
        if with_directions {
            sums.direction_weight[class][direction] += weight;
        }
    }
    sums.sigma2_offset += totals.sigma2_offset;
    sums.log_likelihood += outcome.log_likelihood;
    sums.max_probability += outcome.max_probability;
    sums.particles += 1;
    outcome
}
