//! Lines on the terminal with RELION's wording (spec 03 §4.1): functions that return text, and [`Console`] which prints.

use super::state::RunState;
use crate::expectation::StageTimes;
use crate::geometry::sampling::Sampling;

/// Prints to standard output unless `--verb 0`.
#[derive(Debug, Clone, Copy)]
pub struct Console {
    /// `--verb`.
    pub verbosity: i32,
}

impl Console {
    /// Print lines (a newline is added) unless silent.
    pub fn say(&self, text: &str) {
        if self.verbosity > 0 {
            println!("{text}");
        }
    }
    /// Print a warning on standard error, silent or not.
    pub fn warn(&self, text: &str) {
        eprintln!("{text}");
    }
}

/// Start-up of a process: version and precision.
pub fn version() -> String {
    todo!()
}

/// " Estimating initial noise spectra from at most N particles ".
pub fn estimating_noise(_particles: usize) -> String {
    todo!()
}

/// Three lines at the start of an auto-refine iteration (`iteration` = the one about to run).
pub fn auto_refine_status(_iteration: usize, _state: &RunState) -> String {
    todo!()
}

/// Two lines once auto-refine has converged.
pub fn converged() -> String {
    todo!()
}

/// Announcement of the accuracy estimation.
pub fn estimating_accuracies() -> String {
    todo!()
}

/// Estimated accuracies (degrees, Å).
pub fn accuracies(_rotations: f64, _translations: f64) -> String {
    todo!()
}

/// Four warning lines when the angular accuracy is worse than 10 degrees (auto-refine).
pub fn poor_accuracy(_iteration: usize) -> String {
    todo!()
}

/// Two lines on the sampling of auto-refine (oversampled steps).
pub fn auto_sampling(_sampling: &Sampling, _oversampling: u32, _local_searches: bool) -> String {
    todo!()
}

/// Current resolution (1/Å) and the angular sampling it requires for a particle of `diameter` Å.
pub fn current_resolution(_resolution: f64, _diameter: f64) -> String {
    todo!()
}

/// Numbers of orientations and translations at one oversampling order (four lines, with the closing rule).
pub fn sampling_points(
    _oversampling: u32,
    _orientations: usize,
    _angular_step: f64,
    _translations: usize,
    _offset_step: f64,
) -> String {
    todo!()
}

/// " Expectation iteration I[ of M]".
pub fn expectation(_iteration: usize, _last: Option<usize>) -> String {
    todo!()
}

/// Two lines on the low-resolution join of the halves up to `resolution` Å.
pub fn joining_halves(_resolution: f64) -> String {
    todo!()
}

/// " Calculating gold-standard FSC ...".
pub fn gold_standard_fsc() -> String {
    todo!()
}

/// " Maximization...".
pub fn maximization() -> String {
    todo!()
}

/// Closing lines of auto-refine; `resolution` in Å, `masked` with `--solvent_correct_fsc`.
pub fn finished(
    _root: &str,
    _resolution: f64,
    _masked: bool,
    _tau2_fudge: f64,
    _accuracy_rotations: f64,
) -> String {
    todo!()
}

/// Where the wall time of an iteration went, under the paper's names; the parts add up to `wall` (seconds).
pub fn stage_report(
    _iteration: usize,
    _times: &StageTimes,
    _maximization: f64,
    _wall: f64,
) -> String {
    todo!()
}
