//! Changes of orientations, offsets and classes from one iteration to the next (spec 01 §7.7, spec 02 §5.3).

use crate::dataset::Particle;
use crate::expectation::ParticleOutcome;
use crate::geometry::{Matrix3, euler};
use crate::refinement::state::{NO_CHANGE_YET, NO_CLASS_CHANGE_YET, RunState};
use rayon::prelude::*;

/// Changes below this fraction of a sampling step count as no change.
const NEGLIGIBLE: f64 = 0.40;
/// Changes must fall by 3 % to count as progress.
const NO_PROGRESS: f64 = 1.03;

/// Average changes over the particles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Changes {
    /// Mean angular distance, degrees.
    pub orientations: f64,
    /// Root of the mean squared offset change per axis, Å.
    pub offsets: f64,
    /// Fraction of particles in another class than before.
    pub classes: f64,
}

/// Compare outcomes (particle index, result) with the table as it stands before they are stored in it.
/// `operators`: point group without the identity; None for class averages, where the change of psi counts as it is, without
/// going around the circle (spec 04 §6).
pub fn measure(
    particles: &[Particle],
    outcomes: &[(usize, ParticleOutcome)],
    operators: Option<&[Matrix3]>,
) -> Changes {
    let each: Vec<[f64; 3]> = outcomes
        .par_iter()
        .map(|(index, new)| {
            let old = &particles[*index];
            let (dx, dy) = (new.origin[0] - old.origin[0], new.origin[1] - old.origin[1]);
            [
                match operators {
                    Some(operators) => euler::distance(
                        [old.rot, old.tilt, old.psi],
                        [new.rot, new.tilt, new.psi],
                        operators,
                    ),
                    None => (new.psi - old.psi).abs(),
                },
                dx * dx + dy * dy,
                f64::from(u8::from(new.class != old.class)),
            ]
        })
        .collect();
    // Summed one after the other so that the result does not depend on the number of threads.
    let sum = each.iter().fold([0.0; 3], |sum, one| {
        [sum[0] + one[0], sum[1] + one[1], sum[2] + one[2]]
    });
    let n = outcomes.len().max(1) as f64;
    Changes {
        orientations: sum[0] / n,
        offsets: (sum[1] / (2.0 * n)).sqrt(),
        classes: sum[2] / n,
    }
}

/// Oversampled steps that changes are judged by. In auto-refine these stay those of the start of the program run,
/// however fine the sampling becomes (RELION's leader never learns of finer sampling, and convergence depends on it);
/// otherwise they are the present ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReferenceSteps {
    /// Degrees.
    pub angular: f64,
    /// Å.
    pub offset: f64,
}

/// Count an iteration with or without large changes and lower the smallest changes seen.
pub fn count(state: &mut RunState, changes: Changes, steps: ReferenceSteps) {
    let stalled = |now: f64, smallest: f64| NO_PROGRESS * now >= smallest;
    let settled = stalled(changes.classes, state.smallest_classes as f64)
        && (changes.offsets / steps.offset < NEGLIGIBLE
            || stalled(changes.offsets, state.smallest_offsets))
        && (changes.orientations / steps.angular < NEGLIGIBLE
            || stalled(changes.orientations, state.smallest_orientations));
    state.iterations_without_changes = if settled {
        state.iterations_without_changes + 1
    } else {
        0
    };
    state.changes_orientations = changes.orientations;
    state.changes_offsets = changes.offsets;
    state.changes_classes = changes.classes;
    state.smallest_orientations = state.smallest_orientations.min(changes.orientations);
    state.smallest_offsets = state.smallest_offsets.min(changes.offsets);
    if changes.classes < state.smallest_classes as f64 {
        state.smallest_classes = crate::fourier::shells::round(changes.classes);
    }
}

/// Forget the smallest changes (start of a run, and after every change of sampling).
pub fn reset_smallest(state: &mut RunState) {
    state.smallest_orientations = NO_CHANGE_YET;
    state.smallest_offsets = NO_CHANGE_YET;
    state.smallest_classes = NO_CLASS_CHANGE_YET;
}
