//! The schedule: convergence, finer and coarser sampling, particle subsets (spec 01 §4.12, spec 02 §5.4–5.7).

pub mod accuracy;
pub mod changes;
pub(crate) mod gradient_iterations;
pub mod image_size;
#[cfg(test)]
pub(crate) mod replay;
pub(crate) mod subsets;

use crate::refinement::state::RunState;
use std::f64::consts::PI;

/// Iterations without gain and without changes that let the sampling become finer, or the run converge.
const PATIENCE: usize = 1;

/// The part of the sampling that the schedule changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplingSteps {
    /// HEALPix order of the coarse grid.
    pub healpix_order: u32,
    /// Range of translations, Å.
    pub offset_range: f64,
    /// Coarse step of translations, Å.
    pub offset_step: f64,
}

impl SamplingSteps {
    /// Coarse angular step, degrees.
    pub fn angular_step(&self) -> f64 {
        angular_step(self.healpix_order)
    }
}

/// Nominal step of a HEALPix order, degrees.
pub fn angular_step(healpix_order: u32) -> f64 {
    360.0 / (6.0 * f64::from(1u32 << healpix_order))
}

/// Angular step that a resolution (1/Å) requires for a particle of `diameter` Å, degrees.
pub fn required_angular_step(diameter: f64, resolution: f64) -> f64 {
    360.0 / (PI * diameter * resolution).ceil()
}

/// Options of the schedule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScheduleRule {
    /// Oversampling order.
    pub oversampling: u32,
    /// `--auto_local_healpix_order`.
    pub local_order: u32,
    /// D, Å.
    pub particle_diameter: f64,
    /// `--auto_ignore_angles`.
    pub ignore_angles: bool,
    /// `--auto_resol_angles`.
    pub resolution_angles: bool,
    /// `--minimum_angular_sampling`, degrees (0 = off).
    pub minimum_step: f64,
    /// `--maximum_angular_sampling`, degrees (0 = off).
    pub maximum_step: f64,
    /// Changes of poses do not count: subsets of a gradient run are other particles every time (spec 05 §10).
    pub ignore_changes: bool,
    /// The order of local searches is not reached: in gradient iterations.
    pub stays_global: bool,
}

/// True when the iteration about to run is the last (spec 02 §5.4).
pub fn has_converged(state: &RunState, rule: &ScheduleRule) -> bool {
    state.fine_enough
        && state.iterations_without_gain >= PATIENCE
        && (state.iterations_without_changes >= PATIENCE || rule.ignore_angles)
}

/// Decides whether the iteration about to run is the last, joined one: when the criteria of convergence have been met, `extra`
/// further iterations are done (`--extra_iter`), or at once where it is `forced`. Counts them in `state`.
pub fn is_last(state: &mut RunState, rule: &ScheduleRule, extra: usize, forced: bool) -> bool {
    let done = match state.iterations_after_convergence {
        Some(done) => done + 1,
        None if has_converged(state, rule) => 0,
        None => return forced,
    };
    state.iterations_after_convergence = Some(done);
    forced || done >= extra
}

/// Width (degrees) of the priors of local searches: two oversampled steps.
pub fn local_search_width(healpix_order: u32, oversampling: u32) -> f64 {
    2.0 * angular_step(healpix_order + oversampling)
}

/// Decide on finer sampling before an expectation step (spec 02 §5.5). Some(new steps) when it changes; the caller
/// then rebuilds the grid and makes direction priors uniform. Marks the run as fine enough instead when the
/// estimated accuracies do not warrant more.
pub fn refine_sampling(
    state: &mut RunState,
    now: SamplingSteps,
    rule: &ScheduleRule,
) -> Option<SamplingSteps> {
    let step = angular_step(now.healpix_order + rule.oversampling);
    let resolution_warrants = rule.resolution_angles
        && required_angular_step(rule.particle_diameter, state.current_resolution) < step
        && now.healpix_order + 1 != rule.local_order;
    let stalled = state.iterations_without_gain >= PATIENCE || resolution_warrants;
    let settled =
        state.iterations_without_changes >= PATIENCE || rule.ignore_angles || rule.ignore_changes;
    if !(stalled && settled) {
        return None;
    }
    let below_maximum = rule.maximum_step > 0.0 && step < rule.maximum_step;
    let above_minimum = rule.minimum_step > 0.0 && step > rule.minimum_step;
    if below_maximum || (step < 0.75 * state.accuracy_rotations && !above_minimum) {
        state.fine_enough = true;
        return None;
    }
    state.fine_enough = false;
    let (offset_range, offset_step) = finer_offsets(state, now, rule.oversampling);
    state.iterations_without_gain = 0;
    state.iterations_without_changes = 0;
    changes::reset_smallest(state);
    let mut healpix_order = now.healpix_order + 1;
    if healpix_order >= rule.local_order && rule.stays_global {
        healpix_order = now.healpix_order;
    } else if healpix_order >= rule.local_order {
        state.local_searches = true;
    }
    Some(SamplingSteps {
        healpix_order,
        offset_range,
        offset_step,
    })
}

/// New (range, coarse step) of translations, Å.
fn finer_offsets(state: &RunState, now: SamplingSteps, oversampling: u32) -> (f64, f64) {
    let mut step = (0.75 * state.accuracy_translations).min(1.5) * f64::from(1u32 << oversampling);
    let mut range = (5.0 * state.changes_offsets)
        .min(1.3 * now.offset_range)
        .max(1.5 * step);
    if range > 4.0 * step {
        range /= 2.0;
    }
    if range > 4.0 * step {
        step = range / 4.0;
    }
    if step > now.offset_step {
        (now.offset_range, now.offset_step)
    } else {
        (range, step)
    }
}

/// `--allow_coarser_sampling`: the coarsest sampling, starting from the original one, that the accuracies still
/// warrant. `cc_iteration`: the resolution stands in for the rotational accuracy.
pub fn coarsen_sampling(
    state: &RunState,
    original: SamplingSteps,
    rule: &ScheduleRule,
    cc_iteration: bool,
) -> SamplingSteps {
    let accuracy = if cc_iteration {
        required_angular_step(rule.particle_diameter, state.current_resolution)
    } else {
        state.accuracy_rotations
    };
    let mut order = i64::from(original.healpix_order);
    while order >= 0 && angular_step(order as u32 + rule.oversampling) < 0.8 * accuracy {
        order -= 1;
    }
    let healpix_order = (order + 1).clamp(0, i64::from(original.healpix_order)) as u32;
    let step = (0.8 * state.accuracy_translations * f64::from(1u32 << rule.oversampling))
        .min(0.95 * original.offset_range)
        .max(original.offset_step);
    SamplingSteps {
        healpix_order,
        offset_range: original.offset_range,
        offset_step: step,
    }
}

/// `--fast_subsets`: how many of `total` particles iteration `iteration` (from 1) uses, None = all (spec 02 §5.7).
pub fn subset_size(iteration: usize, classes: usize, total: usize) -> Option<usize> {
    const PER_CLASS: usize = 1500;
    let size = match iteration {
        0..=5 => PER_CLASS * classes,
        6..=10 => 3 * PER_CLASS * classes,
        11..=15 => (3 * PER_CLASS * classes).max((0.3 * total as f64) as usize),
        _ => return None,
    };
    (size < total).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> ScheduleRule {
        ScheduleRule {
            oversampling: 1,
            local_order: 4,
            particle_diameter: 170.0,
            ignore_angles: false,
            resolution_angles: false,
            minimum_step: 0.0,
            maximum_step: 0.0,
            ignore_changes: false,
            stays_global: false,
        }
    }

    fn stalled(accuracy_rotations: f64, accuracy_translations: f64) -> RunState {
        RunState {
            iterations_without_gain: 1,
            iterations_without_changes: 1,
            accuracy_rotations,
            accuracy_translations,
            changes_offsets: 2.0,
            current_resolution: 1.0 / 20.0,
            ..RunState::new(1)
        }
    }

    const START: SamplingSteps = SamplingSteps {
        healpix_order: 2,
        offset_range: 20.0,
        offset_step: 8.0,
    };

    #[test]
    fn nothing_happens_while_the_run_still_gains() {
        let mut state = stalled(3.0, 2.0);
        state.iterations_without_gain = 0;
        assert_eq!(refine_sampling(&mut state, START, &rule()), None);
        assert!(!state.fine_enough);
    }

    #[test]
    fn a_stalled_run_samples_finer() {
        let mut state = stalled(3.0, 2.0);
        let finer = refine_sampling(&mut state, START, &rule()).unwrap();
        assert_eq!(finer.healpix_order, 3);
        // 0.75·2 Å reaches the 1.5 Å bound; 5·2 Å of range fits in four steps of 3 Å.
        assert_eq!((finer.offset_range, finer.offset_step), (10.0, 3.0));
        assert_eq!(state.iterations_without_gain, 0);
        assert_eq!(
            state.smallest_classes,
            crate::refinement::state::NO_CLASS_CHANGE_YET
        );
        assert!(!state.local_searches);
    }

    #[test]
    fn local_searches_begin_at_their_order() {
        let mut state = stalled(1.0, 1.0);
        let now = SamplingSteps {
            healpix_order: 3,
            ..START
        };
        refine_sampling(&mut state, now, &rule()).unwrap();
        assert!(state.local_searches);
        assert_eq!(local_search_width(4, 1), 3.75);
    }

    /// A gradient run does not wait for the poses to settle, and stays below the order of local searches.
    #[test]
    fn gradient_iterations_stay_global() {
        let mut state = stalled(1.0, 1.0);
        state.iterations_without_changes = 0;
        let now = SamplingSteps {
            healpix_order: 3,
            ..START
        };
        assert_eq!(refine_sampling(&mut state, now, &rule()), None);
        let gradient = ScheduleRule {
            ignore_changes: true,
            stays_global: true,
            ..rule()
        };
        let found = refine_sampling(&mut state, now, &gradient).unwrap();
        assert_eq!((found.healpix_order, state.local_searches), (3, false));
        assert!(found.offset_step < now.offset_step);
        assert_eq!(state.iterations_without_gain, 0);
    }

    #[test]
    fn sampling_finer_than_the_accuracy_leads_to_convergence() {
        let mut state = stalled(10.1, 2.0);
        assert_eq!(refine_sampling(&mut state, START, &rule()), None);
        assert!(state.fine_enough);
        assert!(has_converged(&state, &rule()));
    }

    /// Extra iterations are done even where the criteria are not met any more meanwhile.
    #[test]
    fn the_last_iteration_follows_the_extra_ones() {
        let converged = || {
            let mut state = stalled(10.1, 2.0);
            refine_sampling(&mut state, START, &rule());
            state
        };
        assert!(is_last(&mut converged(), &rule(), 0, false));
        let mut state = converged();
        assert!(!is_last(&mut state, &rule(), 2, false));
        state.iterations_without_gain = 0;
        assert!(!is_last(&mut state, &rule(), 2, false));
        assert!(is_last(&mut state, &rule(), 2, false));
        assert!(is_last(&mut converged(), &rule(), 2, true));
        let mut early = stalled(1.0, 50.0);
        assert!(!is_last(&mut early, &rule(), 0, false));
        assert_eq!(early.iterations_after_convergence, None);
        assert!(is_last(&mut early, &rule(), 0, true));
    }

    #[test]
    fn offsets_never_become_coarser() {
        let mut state = stalled(1.0, 50.0);
        let now = SamplingSteps {
            healpix_order: 3,
            offset_range: 4.0,
            offset_step: 1.0,
        };
        let finer = refine_sampling(&mut state, now, &rule()).unwrap();
        assert_eq!((finer.offset_range, finer.offset_step), (4.0, 1.0));
    }

    #[test]
    fn coarser_sampling_stays_one_order_below_the_accuracy() {
        let mut state = stalled(12.0, 2.0);
        let original = SamplingSteps {
            healpix_order: 3,
            offset_range: 20.0,
            offset_step: 2.0,
        };
        // Oversampled steps 3.75° and 7.5° are finer than 0.8·12°; 15° is not, so the order before it is used.
        let coarser = coarsen_sampling(&state, original, &rule(), false);
        assert_eq!(coarser.healpix_order, 2);
        assert!((coarser.offset_step - 3.2).abs() < 1e-12);
        state.accuracy_rotations = 1.0;
        assert_eq!(
            coarsen_sampling(&state, original, &rule(), false).healpix_order,
            3
        );
    }

    #[test]
    fn subsets_grow_with_the_iterations() {
        assert_eq!(subset_size(1, 2, 100_000), Some(3_000));
        assert_eq!(subset_size(6, 2, 100_000), Some(9_000));
        assert_eq!(subset_size(11, 2, 100_000), Some(30_000));
        assert_eq!(subset_size(16, 2, 100_000), None);
        assert_eq!(subset_size(1, 2, 2_000), None);
    }
}
