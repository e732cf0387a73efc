//! Which orientations a particle is compared with, and their prior probabilities (spec 01 §4.5, §4.7).

use super::{ClassSelection, IterationInput};
use crate::dataset::Particle;
use crate::geometry::prior::local_orientations;
use crate::geometry::random::random_class;
use crate::geometry::{Matrix3, euler};

/// Orientations of one class with their priors; `index` = direction · n_psi + psi.
#[derive(Debug, Clone, Default)]
pub struct OrientationList {
    /// Grid indices, ascending; samples of prior 0 are left out.
    pub index: Vec<u32>,
    /// Prior of each, not normalised by the mean.
    pub prior: Vec<f64>,
    /// Sum of the priors over *all* orientations, and how many those are (for ⟨p_o⟩).
    pub total: (f64, usize),
}

/// How orientations are chosen in this iteration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// The same grid for every particle.
    Global,
    /// Around each particle's prior.
    Local,
    /// Only the current orientation (`--skip_align`, `--skip_rotate`).
    Fixed,
}

impl Search {
    /// Search of an iteration.
    pub fn of(input: &IterationInput) -> Self {
        if input.options.skip_align || input.options.skip_rotate {
            Search::Fixed
        } else if input.model.local_search.is_some() {
            Search::Local
        } else {
            Search::Global
        }
    }
}

/// Classes a particle visits.
pub fn classes_of(input: &IterationInput, position: usize) -> Vec<usize> {
    let all = input.model.classes.len();
    match input.classes {
        ClassSelection::All => (0..all)
            .filter(|&k| input.model.classes[k].fraction > 0.0)
            .collect(),
        ClassSelection::First => vec![0],
        ClassSelection::RandomPerParticle => {
            vec![random_class(input.options.random_seed, position, all)]
        }
    }
}

/// Global search: all orientations of class `k` whose direction has a prior above 0.
pub fn global_list(input: &IterationInput, k: usize) -> OrientationList {
    let n_psi = input.sampling.n_psi();
    let mut list = OrientationList::default();
    for (direction, &prior) in input.model.classes[k].direction_prior.iter().enumerate() {
        list.total.0 += prior * n_psi as f64;
        list.total.1 += n_psi;
        if prior > 0.0 {
            for psi in 0..n_psi {
                list.index.push((direction * n_psi + psi) as u32);
                list.prior.push(prior);
            }
        }
    }
    list
}

/// Local search: orientations around the particle's prior centre; the same for every class.
pub fn local_list(input: &IterationInput, particle: &Particle) -> OrientationList {
    let search = input
        .model
        .local_search
        .expect("local searches have widths");
    let current = [particle.rot, particle.tilt, particle.psi];
    let centre = if input.priors_from_current {
        current
    } else {
        std::array::from_fn(|i| particle.angle_prior[i].unwrap_or(current[i]))
    };
    let near = local_orientations(input.sampling, centre, &search);
    let n_psi = input.sampling.n_psi();
    let mut list = OrientationList::default();
    for &(direction, p_direction) in &near.directions {
        for &(psi, p_psi) in &near.psis {
            let prior = p_direction * p_psi;
            list.total.0 += prior;
            list.total.1 += 1;
            if prior > 0.0 {
                list.index.push((direction * n_psi + psi) as u32);
                list.prior.push(prior);
            }
        }
    }
    list
}

/// Fixed orientation: one sample with the class fraction as prior.
pub fn fixed_list(input: &IterationInput, k: usize) -> OrientationList {
    let prior = input.model.classes[k].fraction;
    OrientationList {
        index: vec![0],
        prior: vec![prior],
        total: (prior, 1),
    }
}

/// Perturbed matrices of the children of a coarse orientation (the orientation itself with `oversampling` 0).
pub fn matrices(
    input: &IterationInput,
    particle: &Particle,
    index: u32,
    oversampling: u32,
) -> Vec<Matrix3> {
    match Search::of(input) {
        Search::Fixed => vec![euler::matrix(particle.rot, particle.tilt, particle.psi)],
        _ => {
            let n_psi = input.sampling.n_psi();
            input.sampling.orientations(
                index as usize / n_psi,
                index as usize % n_psi,
                oversampling,
            )
        }
    }
}

/// E(t) of every coarse translation: logarithm of the unnormalised offset prior. RELION takes t in Å while the old
/// offset and the prior centre are in pixels; the same is done here, since it decides weights
/// (spec 01 §4.5, docs/differences.md).
pub fn offset_log_priors(
    input: &IterationInput,
    old_offset: [f64; 2],
    centre: [f64; 2],
    pixel_size: f64,
) -> Vec<f64> {
    let sigma2 = input.model.sigma2_offset;
    let exponent = |t: [f64; 2]| -> f64 {
        let dx = old_offset[0] + t[0] - centre[0];
        let dy = old_offset[1] + t[1] - centre[1];
        if sigma2 < 0.0001 {
            0.0
        } else {
            -(dx * dx + dy * dy) * pixel_size * pixel_size / (2.0 * sigma2)
        }
    };
    if input.options.skip_align {
        vec![exponent([0.0, 0.0])]
    } else {
        input
            .sampling
            .translations
            .iter()
            .map(|&t| exponent(t))
            .collect()
    }
}
