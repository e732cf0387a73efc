//! Which orientations a particle is compared with, and their prior probabilities (spec 01 §4.5, §4.7).

use super::{ClassSelection, IterationInput};
use crate::dataset::Particle;
use crate::geometry::prior::searched_orientations;
use crate::geometry::random::random_class;
use crate::geometry::{Matrix3, euler};

/// Orientations of one class with their priors; `index` = direction · n_psi + psi.
#[derive(Debug, Clone, Default)]
pub(super) struct OrientationList {
    /// Grid indices, ascending; samples of prior 0 are left out.
    pub index: Vec<u32>,
    /// Prior of each, not normalised by the mean.
    pub prior: Vec<f64>,
    /// Sum of the priors over *all* orientations, and how many those are (for ⟨p_o⟩).
    pub total: (f64, usize),
}

/// How orientations are chosen in this iteration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    /// The same grid for every particle.
    Global,
    /// Around each particle's prior.
    Local,
    /// Only the current orientation (`--skip_align`, `--skip_rotate`).
    Fixed,
}

impl Search {
    /// Search of an iteration.
    pub(super) fn of(input: &IterationInput) -> Self {
        if input.options.skip_align || input.options.skip_rotate {
            Search::Fixed
        } else if input.model.local_search.is_some() {
            Search::Local
        } else {
            Search::Global
        }
    }
}

/// Classes that all particles visit; None where each visits one of its own.
pub(super) fn common_classes(input: &IterationInput) -> Option<Vec<usize>> {
    match input.classes {
        ClassSelection::All => {
            let classes = input.model.classes.iter().enumerate();
            let used = classes.filter(|(_, class)| class.fraction > 0.0);
            Some(used.map(|(k, _)| k).collect())
        }
        ClassSelection::First => Some(vec![0]),
        ClassSelection::RandomPerParticle => None,
    }
}

/// Classes that the particle at `position` of the processing order visits.
pub(super) fn classes_of(input: &IterationInput, position: usize) -> Vec<usize> {
    common_classes(input).unwrap_or_else(|| {
        let all = input.model.classes.len();
        vec![random_class(input.options.random_seed, position, all)]
    })
}

/// Global search: all orientations of class `k` whose direction has a prior above 0.
pub(super) fn global_list(input: &IterationInput, k: usize) -> OrientationList {
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
pub(super) fn local_list(input: &IterationInput, particle: &Particle) -> OrientationList {
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
    let mut list = OrientationList::default();
    for (index, prior) in searched_orientations(input.sampling, centre, &search) {
        list.total.0 += prior;
        list.total.1 += 1;
        if prior > 0.0 {
            list.index.push(index as u32);
            list.prior.push(prior);
        }
    }
    list
}

/// Fixed orientation: one sample with the class fraction as prior.
pub(super) fn fixed_list(input: &IterationInput, k: usize) -> OrientationList {
    let prior = input.model.classes[k].fraction;
    OrientationList {
        index: vec![0],
        prior: vec![prior],
        total: (prior, 1),
    }
}

/// Returns the orientation that a particle has; class averages know only its psi.
pub(super) fn current_orientation(input: &IterationInput, particle: &Particle) -> Matrix3 {
    match input.sampling.in_plane {
        true => euler::matrix(0.0, 0.0, particle.psi),
        false => euler::matrix(particle.rot, particle.tilt, particle.psi),
    }
}

/// Perturbed matrices of the children of a coarse orientation (the orientation itself with `oversampling` 0).
pub(super) fn matrices(
    input: &IterationInput,
    particle: &Particle,
    index: u32,
    oversampling: u32,
) -> Vec<Matrix3> {
    let mut matrices = Vec::with_capacity(input.sampling.orientation_children(oversampling));
    each_matrix(input, particle, &[index], oversampling, |matrix| {
        matrices.push(matrix)
    });
    matrices
}

/// Calls `take` with the matrices that [`matrices`] returns, of one of the orientations `indices` after the other.
pub(super) fn each_matrix(
    input: &IterationInput,
    particle: &Particle,
    indices: &[u32],
    oversampling: u32,
    mut take: impl FnMut(Matrix3),
) {
    match Search::of(input) {
        Search::Fixed => {
            let current = current_orientation(input, particle);
            indices.iter().for_each(|_| take(current));
        }
        _ => each_of_grid(input, indices.iter().copied(), oversampling, take),
    }
}

/// Calls `take` with the matrices of the children of one of the grid's orientations `indices` after the other.
pub(super) fn each_of_grid(
    input: &IterationInput,
    indices: impl Iterator<Item = u32>,
    oversampling: u32,
    take: impl FnMut(Matrix3),
) {
    let n_psi = input.sampling.n_psi();
    let of_grid = |index: u32| (index as usize / n_psi, index as usize % n_psi);
    input
        .sampling
        .each_orientation(indices.map(of_grid), oversampling, take);
}

/// Pairs the rows of `index` (class, direction · `n_psi` + psi) whose psi differ by 180°. The others are pairs with themselves.
pub(super) fn half_turns(index: &[(u32, u32)], n_psi: usize) -> Vec<[u32; 2]> {
    let half = n_psi / 2;
    let mut paired = vec![false; index.len()];
    let mut pairs = Vec::with_capacity(index.len());
    for (row, &(class, orientation)) in index.iter().enumerate() {
        if paired[row] {
            continue;
        }
        let turned = (class, orientation + half as u32);
        let has_turned = n_psi.is_multiple_of(2)
            && (orientation as usize % n_psi) < half
            && index.get(row + half) == Some(&turned);
        let second = if has_turned { row + half } else { row };
        paired[second] = true;
        pairs.push([row as u32, second as u32]);
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_turns_are_found_in_each_direction() {
        // Direction 1 of four psi has no prior in class 0.
        let index = [
            (0, 0),
            (0, 1),
            (0, 2),
            (0, 3),
            (1, 4),
            (1, 5),
            (1, 6),
            (1, 7),
        ];
        let expected = [[0, 2], [1, 3], [4, 6], [5, 7]];
        assert_eq!(half_turns(&index, 4), expected);
    }

    #[test]
    fn orientations_without_their_half_turn_stand_alone() {
        let index = [(0, 0), (0, 1), (0, 2)];
        assert_eq!(half_turns(&index, 3), [[0, 0], [1, 1], [2, 2]]);
        // One of the four is missing.
        assert_eq!(half_turns(&index, 4), [[0, 2], [1, 1]]);
        assert_eq!(half_turns(&[(0, 1), (1, 1)], 2), [[0, 0], [1, 1]]);
    }
}
