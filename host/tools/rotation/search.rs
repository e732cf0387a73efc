//! Searching all rotations for the smallest cost: an even set first, then ever smaller steps around the best of it.

use super::orientations::{about_z, angle_between, by_vector, even, spacing};
use crate::geometry::{Matrix3, euler};
use crate::tools::progress::Progress;
use rayon::prelude::*;

/// Orientations of the even set that are followed up with the cheap cost.
const FOLLOWED: usize = 32;

/// The best of the even set, among which these are looked for.
const CANDIDATES: usize = 2000;

/// Of these, the ones that are followed up with the whole cost: with groups that a map does not have, whose minima are many and
/// nearly equal, the cheap cost does not tell which is the lowest.
const FINALISTS: usize = 8;

/// Moves at one step width: enough to walk to the next orientation of the even set.
const MOST_MOVES: usize = 20;

/// Gain of a move, as a share of the cost, below which it is the last one of its step width.
const LEAST_GAIN: f64 = 1e-4;

/// Halvings of the step after the round over a grid of [`Search::step`].
const FINER: usize = 3;

/// How finely to search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Search {
    /// Orientations of the first, even set.
    pub uniform: usize,
    /// Turn about z only.
    pub axis_only: bool,
    /// Steps to each side in the last round over a grid.
    pub range: usize,
    /// Step of that round, degrees.
    pub step: f64,
}

/// The best orientation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Matrix A.
    pub rotation: Matrix3,
    /// Its cost.
    pub cost: f64,
}

/// Costs of an orientation, given by its matrix A, each with the same minima as the one before, but for some degrees.
pub struct Costs<R, C, W> {
    /// Takes next to no time; judges all orientations.
    pub rough: R,
    /// Chooses where to look closer.
    pub cheap: C,
    /// The cost that is to be smallest.
    pub whole: W,
}

/// Finds the rotation of the smallest whole cost. `operators`: rotations g after which A stands for the same as g·A, without the
/// identity. The result does not depend on the number of threads.
pub fn smallest<R, C, W>(
    search: &Search,
    costs: &Costs<R, C, W>,
    operators: &[Matrix3],
    progress: Progress,
) -> Found
where
    R: Fn(&Matrix3) -> f64 + Sync,
    C: Fn(&Matrix3) -> f64 + Sync,
    W: Fn(&Matrix3) -> f64 + Sync,
{
    let (set, distance) = match search.axis_only {
        true => (about_z(search.uniform), 360.0 / search.uniform as f64),
        false => (even(search.uniform), spacing(search.uniform)),
    };
    let judging = progress.phase("Judging all orientations", set.len());
    let mut starts: Vec<Found> = set
        .par_iter()
        .map(|a| {
            let start = found(a, &costs.rough);
            judging.advance(1);
            start
        })
        .collect();
    drop(judging);
    // Stable: of equals the first.
    starts.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    starts.truncate(CANDIDATES);
    let apart = (distance / 2.0).max(3.0 * search.step);
    let starts = different(starts, FOLLOWED, apart, operators);
    let first = (distance / 2.0).max(search.step);
    let middle = search.step.max(distance / 8.0);
    let following = progress.phase("Looking closer at orientations", starts.len());
    let mut followed: Vec<Found> = starts
        .par_iter()
        .map(|start| {
            let start = found(&start.rotation, &costs.cheap);
            let lowest = search.descend(start, [first, middle], &costs.cheap);
            following.advance(1);
            lowest
        })
        .collect();
    drop(following);
    followed.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    let finalists = different(followed, FINALISTS, middle, operators);
    // The last step is what follows on all of them.
    let refining = progress.phase("Refining the best orientations", finalists.len() + 1);
    let mut best = finalists
        .iter()
        .map(|start| {
            let start = found(&start.rotation, &costs.whole);
            let lowest = search.descend(start, [middle, search.step], &costs.whole);
            refining.advance(1);
            lowest
        })
        .min_by(|a, b| a.cost.total_cmp(&b.cost))
        .expect("an even set has at least one orientation");
    best = lowest(best, &search.grid(), &costs.whole);
    let last = search.step / f64::from(1 << FINER);
    search.descend(best, [search.step / 2.0, last], &costs.whole)
}

/// The first `count` of `sorted` that are more than `distance` (degrees) apart, and not equal by an operator.
fn different(sorted: Vec<Found>, count: usize, distance: f64, operators: &[Matrix3]) -> Vec<Found> {
    let mut kept: Vec<Found> = Vec::new();
    for candidate in sorted {
        let a = &candidate.rotation;
        let is_new = |other: &Found| {
            let far = |b: &Matrix3| angle_between(b, &other.rotation) > distance;
            far(a) && operators.iter().all(|g| far(&euler::multiply(g, a)))
        };
        if kept.iter().all(is_new) {
            kept.push(candidate);
        }
        if kept.len() == count {
            break;
        }
    }
    kept
}

fn found(rotation: &Matrix3, cost: impl Fn(&Matrix3) -> f64) -> Found {
    Found {
        rotation: *rotation,
        cost: cost(rotation),
    }
}

/// The best of `start` and its copies turned by each of `moves`.
fn lowest(start: Found, moves: &[Matrix3], cost: impl Fn(&Matrix3) -> f64 + Sync) -> Found {
    let tried: Vec<Found> = moves
        .par_iter()
        .map(|turn| found(&euler::multiply(turn, &start.rotation), &cost))
        .collect();
    tried.into_iter().fold(
        start,
        |best, next| if next.cost < best.cost { next } else { best },
    )
}

impl Search {
    /// Moves to the best neighbour until there is none, then halves the step: from `steps[0]` while it is `steps[1]` or more.
    fn descend(
        &self,
        start: Found,
        steps: [f64; 2],
        cost: impl Fn(&Matrix3) -> f64 + Sync,
    ) -> Found {
        let mut best = start;
        let mut step = steps[0];
        while step >= steps[1] {
            let moves = self.moves(1, step);
            for _ in 0..MOST_MOVES {
                let next = lowest(best, &moves, &cost);
                let gain = best.cost - next.cost;
                if next.cost < best.cost {
                    best = next;
                }
                // Along the axis of a cyclic group nothing changes but the rounding.
                if gain <= LEAST_GAIN * best.cost.abs() {
                    break;
                }
            }
            step /= 2.0;
        }
        best
    }

    fn grid(&self) -> Vec<Matrix3> {
        self.moves(self.range, self.step)
    }

    /// Small rotations about x, y and z by up to `range` steps each way.
    fn moves(&self, range: usize, step: f64) -> Vec<Matrix3> {
        let along = |active: bool| {
            let range = if active { range as i64 } else { 0 };
            (-range..=range).map(move |i| i as f64 * step)
        };
        let mut found = Vec::new();
        for z in along(true) {
            for y in along(!self.axis_only) {
                for x in along(!self.axis_only) {
                    found.push(by_vector([x, y, z]));
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One cost for all three.
    fn of<F: Fn(&Matrix3) -> f64 + Copy>(cost: F) -> Costs<F, F, F> {
        Costs {
            rough: cost,
            cheap: cost,
            whole: cost,
        }
    }

    /// The rotation that a smooth cost with one minimum was made for is found, to a fraction of the step.
    #[test]
    fn the_minimum_is_found() {
        let search = Search {
            uniform: 400,
            axis_only: false,
            range: 2,
            step: 2.0,
        };
        for truth in [
            euler::matrix(30.0, 70.0, 110.0),
            euler::matrix(-170.0, 5.0, 20.0),
        ] {
            let cost = |a: &Matrix3| angle_between(a, &truth);
            let best = smallest(&search, &of(cost), &[], Progress::Silent);
            assert!(best.cost < 0.5, "{best:?}");
        }
    }

    #[test]
    fn a_search_about_the_axis_stays_there() {
        let search = Search {
            uniform: 36,
            axis_only: true,
            range: 2,
            step: 2.0,
        };
        let truth = euler::matrix(33.3, 0.0, 0.0);
        let cost = |a: &Matrix3| angle_between(a, &truth);
        let best = smallest(&search, &of(cost), &[], Progress::Silent);
        assert!(best.cost < 0.3, "{best:?}");
        assert!((best.rotation[2][2] - 1.0).abs() < 1e-12);
    }
}
