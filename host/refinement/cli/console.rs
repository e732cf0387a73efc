//! Lines on the terminal with RELION's wording (spec 03 §4.1): functions that return text, and [`Console`] which prints.

use crate::errors;
use crate::expectation::StageTimes;
use crate::findings::Finding;
use crate::geometry::sampling::Sampling;
use crate::refinement::cli::stage_log::{Stage, StageLog, milliseconds};
use crate::refinement::state::RunState;
use std::collections::HashMap;
use std::f64::consts::PI;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Prints to standard output unless `--verb 0`, and writes `--json_log`. Of several ranks only the first does: all of them run
/// the same program.
#[derive(Debug, Clone)]
pub struct Console {
    /// `--verb`; 0 on ranks that do not print.
    pub verbosity: i32,
    /// Warnings are printed.
    warns: bool,
    log: Option<Arc<StageLog>>,
    /// Seconds that each stage took the last time.
    seconds: Arc<Mutex<HashMap<Stage, f64>>>,
}

impl Console {
    /// The console of a rank; the first rank `leads`.
    pub fn new(verbosity: i32, leads: bool) -> Self {
        Self {
            verbosity: if leads { verbosity } else { 0 },
            warns: leads,
            log: None,
            seconds: Arc::default(),
        }
    }

    /// The same console, which writes a log as well.
    pub fn logging(self, log: StageLog) -> Self {
        Self {
            log: Some(log.of_this_process()),
            ..self
        }
    }

    /// Prints a finding about the run, as a warning.
    pub fn finding(&self, finding: &Finding) {
        if self.warns {
            errors::tell(&format!(" + WARNING: {}", finding.text));
        }
        if let Some(log) = &self.log {
            log.write(
                "finding",
                [
                    ("finding", finding.kind.name().into()),
                    ("text", finding.text.as_str().into()),
                ],
            );
        }
    }

    /// Returns the log of `--json_log`, on the rank that writes it.
    pub fn log(&self) -> Option<&Arc<StageLog>> {
        self.log.as_ref()
    }

    /// Notes that a stage has ended after `seconds`.
    pub fn stage_ended(&self, stage: Stage, iteration: Option<usize>, seconds: f64) {
        let mut all = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(stage, seconds);
        if let Some(log) = &self.log {
            log.write(
                "stage",
                [
                    ("stage", stage.name().into()),
                    ("iteration", iteration.into()),
                    ("seconds", milliseconds(seconds)),
                ],
            );
        }
    }

    /// Returns the seconds that a stage took the last time, once it has ended.
    pub fn seconds_of(&self, stage: Stage) -> Option<f64> {
        let all = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&stage).copied()
    }

    /// Print lines (a newline is added) unless silent. That nobody reads them any more (`| head`) does not end a run; a log
    /// on a full disk does, since the files of the run are probably on it.
    pub fn say(&self, text: &str) {
        if self.verbosity <= 0 {
            return;
        }
        errors::end_open_line();
        if let Err(error) = writeln!(io::stdout(), "{text}")
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            panic!("failed printing to stdout: {error}");
        }
    }

    /// Print a warning on standard error, silent or not.
    pub fn warn(&self, text: &str) {
        if self.warns {
            errors::tell(text);
        }
        if let Some(log) = &self.log {
            let text = text.trim().trim_start_matches("+ ");
            log.write("warning", [("text", text.into())]);
        }
    }
}

/// A number as C++ streams print it: six significant digits, trailing zeros dropped, an exponent when needed.
fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}").to_lowercase();
    }
    let scientific = format!("{value:.5e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("{:e} prints an exponent");
    let exponent: i32 = exponent.parse().expect("{:e} prints a whole exponent");
    if (-4..6).contains(&exponent) {
        trimmed(&format!("{value:.*}", (5 - exponent) as usize)).to_string()
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs())
    }
}

/// Without zeros at the end of the decimals.
fn trimmed(digits: &str) -> &str {
    if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.')
    } else {
        digits
    }
}

/// `--version`.
pub fn version_line() -> String {
    format!("RELION version: GeRelion-{} ", env!("CARGO_PKG_VERSION"))
}

/// Version and precision.
pub fn version() -> String {
    format!(
        "{}\nPrecision: BASE=double, CPU-ACC=single ",
        version_line()
    )
}

/// " Estimating initial noise spectra from at most N particles ".
pub fn estimating_noise(particles: usize) -> String {
    format!(" Estimating initial noise spectra from at most {particles} particles ")
}

/// Three lines at the start of an auto-refine iteration (`iteration` = the one about to run).
pub fn auto_refine_status(iteration: usize, state: &RunState) -> String {
    format!(
        " Auto-refine: Iteration= {iteration}\n \
         Auto-refine: Resolution= {} (no gain for {} iter) \n \
         Auto-refine: Changes in angles= {} degrees; and in offsets= {} Angstroms (no gain for {} iter) ",
        number(1.0 / state.current_resolution),
        state.iterations_without_gain,
        number(state.changes_orientations),
        number(state.changes_offsets),
        state.iterations_without_changes,
    )
}

/// Two lines once auto-refine has converged.
pub fn converged() -> String {
    " Auto-refine: Refinement has converged, entering last iteration where two halves will be combined...\n \
     Auto-refine: The last iteration will use data to Nyquist frequency, which may take more CPU and RAM."
        .to_string()
}

/// Announcement of the accuracy estimation.
pub fn estimating_accuracies() -> String {
    " Estimating accuracies in the orientational assignment ... ".to_string()
}

/// Estimated accuracies (degrees, Å).
pub fn accuracies(rotations: f64, translations: f64) -> String {
    format!(
        " Auto-refine: Estimated accuracy angles= {} degrees; offsets= {} Angstroms",
        number(rotations),
        number(translations)
    )
}

/// Angular accuracy, degrees, from which on auto-refine warns.
const POOR_ACCURACY: f64 = 10.0;

/// Returns four warning lines for auto-refine when the angular accuracy, in degrees, is poor.
pub fn poor_accuracy(iteration: usize, accuracy_rotations: f64) -> Option<String> {
    (accuracy_rotations > POOR_ACCURACY).then(|| format!(
        " Auto-refine: WARNING: Iter = {iteration} The angular accuracy is worse than 10 degrees, so basically you cannot align your particles (yet)!\n \
         Auto-refine: WARNING: You probably need not worry if the accuracy improves during the next few iterations.\n \
         Auto-refine: WARNING: However, if the problem persists it may lead to spurious FSC curves, so be wary of inflated resolution estimates...\n \
         Auto-refine: WARNING: Sometimes it is better to tune resolution yourself by adjusting T in a 3D-classification with a single class."
    ))
}

/// Two lines on the sampling of auto-refine (oversampled steps).
pub fn auto_sampling(sampling: &Sampling, oversampling: u32, local_searches: bool) -> String {
    format!(
        " Auto-refine: Angular step= {} degrees; local searches= {local_searches}\n \
         Auto-refine: Offset search range= {} Angstroms; offset step= {} Angstroms",
        number(sampling.oversampled_angular_step(oversampling)),
        number(sampling.offset_range),
        number(sampling.offset_step / 2f64.powi(oversampling as i32)),
    )
}

/// Current resolution (1/Å) and the angular sampling it requires for a particle of `diameter` Å.
pub fn current_resolution(resolution: f64, diameter: f64) -> String {
    format!(
        " CurrentResolution= {} Angstroms, which requires orientationSampling of at least {} degrees for a particle of diameter {} Angstroms",
        number(1.0 / resolution),
        number(360.0 / (PI * diameter * resolution).ceil()),
        number(diameter)
    )
}

/// Numbers of orientations and translations of one class at one oversampling order, and of all samples (four lines, with
/// the closing rule); steps in degrees and Å.
pub fn sampling_points(
    oversampling: u32,
    relaxed: Option<&str>,
    classes: usize,
    orientations: usize,
    angular_step: f64,
    translations: usize,
    offset_step: f64,
) -> String {
    let relaxed = relaxed.map_or(String::new(), |name| {
        format!("Relaxing symmetry to {name}\n")
    });
    format!(
        " Oversampling= {oversampling} NrHiddenVariableSamplingPoints= {}\n{relaxed} \
         OrientationalSampling= {} NrOrientations= {orientations}\n \
         TranslationalSampling= {} NrTranslations= {translations}\n\
         =============================",
        classes * orientations * translations,
        number(angular_step),
        number(offset_step),
    )
}

/// " Expectation iteration I[ of M]".
pub fn expectation(iteration: usize, last: Option<usize>) -> String {
    match last {
        Some(last) => format!(" Expectation iteration {iteration} of {last}"),
        None => format!(" Expectation iteration {iteration}"),
    }
}

/// Two lines on the low-resolution join of the halves up to `resolution` Å.
pub fn joining_halves(resolution: f64) -> String {
    format!(
        " Averaging half-reconstructions up to {} Angstrom resolution to prevent diverging orientations ...\n \
         Note that only for higher resolutions the FSC-values are according to the gold-standard!",
        number(resolution)
    )
}

/// " Calculating gold-standard FSC ...".
pub fn gold_standard_fsc() -> String {
    " Calculating gold-standard FSC ...".to_string()
}

/// Returns the warning that the FSC fell and rose again: the `higher` resolution counts, Å, not the `lower` one.
pub fn dipped_fsc(higher: f64, lower: f64) -> String {
    format!(
        " WARNING: FSC dipped below 0.5 and rose again. Using higher resolution of {} A, instead of {} A.",
        number(higher),
        number(lower)
    )
}

/// " Maximization...".
pub fn maximization() -> String {
    " Maximization...".to_string()
}

/// Closing lines of the iteration of `--join_random_halves`.
pub fn joined(root: &str) -> String {
    format!(
        " Auto-refine: the half-sets were joined in this iteration (--join_random_halves), which ends the run\n \
         Auto-refine: + The map of all particles is saved as: {root}_class001.mrc\n \
         Auto-refine: + Go on with the half-sets from the last numbered optimiser file"
    )
}

/// Closing lines of auto-refine; `resolution` in Å, `masked` with `--solvent_correct_fsc`, accuracy in degrees.
pub fn finished(
    root: &str,
    resolution: f64,
    masked: bool,
    tau2_fudge: f64,
    accuracy_rotations: f64,
) -> String {
    let mut lines = vec![
        "Refinement has converged, stopping now... ".to_string(),
        format!("+ Final reconstruction from all particles is saved as: {root}_class001.mrc"),
        format!("+ Final model parameters are stored in: {root}_model.star"),
        format!("+ Final data parameters are stored in: {root}_data.star"),
    ];
    let resolution = number(resolution);
    if tau2_fudge > 1.0 {
        lines.push(format!(
            "+ SEVERE WARNING: Because you used a tau2_fudge of {} your resolution during this refinement will be inflated!",
            number(tau2_fudge)
        ));
        lines.push(
            "+ SEVERE WARNING: You have to run a postprocessing on the unfil.mrc maps to get a gold-standard resolution estimate!"
                .to_string(),
        );
    } else if masked {
        lines.push(format!(
            "+ Final resolution (already with masking) is: {resolution}"
        ));
    } else {
        lines.push(format!(
            "+ Final resolution (without masking) is: {resolution}"
        ));
        lines.push(
            "+ But you may want to run relion_postprocess to mask the unfil.mrc maps and calculate a higher resolution FSC"
                .to_string(),
        );
    }
    if accuracy_rotations > POOR_ACCURACY {
        lines.extend(
            [
                "+ WARNING: The angular accuracy is worse than 10 degrees, so basically you cannot align your particles!",
                "+ WARNING: This has been observed to lead to spurious FSC curves, so be VERY wary of inflated resolution estimates...",
                "+ WARNING: You most probably do NOT want to publish these results!",
                "+ WARNING: Sometimes it is better to tune resolution yourself by adjusting T in a 3D-classification with a single class.",
            ]
            .map(str::to_string),
        );
    }
    lines
        .iter()
        .map(|line| format!(" Auto-refine: {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// How much of the time of the expectation step each rank was at work, the rest waiting for the slowest; from the seconds
/// each of them was busy.
pub fn busy_shares(seconds: &[f64]) -> String {
    let longest = seconds.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let shares: Vec<String> = seconds
        .iter()
        .enumerate()
        .map(|(rank, busy)| format!("{rank}: {:.0} %", 100.0 * busy / longest))
        .collect();
    format!(" Busy share of the ranks: {}", shares.join(", "))
}

/// Where the wall time of an iteration went, under the paper's names; the parts add up to `wall` (seconds).
pub fn stage_report(iteration: usize, times: &StageTimes, maximization: f64, wall: f64) -> String {
    let named = [
        ("getImg", times.get_img),
        ("getDiff", times.get_diff),
        ("convert", times.convert),
        ("store", times.store),
        ("maximization", maximization),
    ];
    let others = wall - named.iter().map(|(_, seconds)| seconds).sum::<f64>();
    let parts: Vec<String> = named
        .into_iter()
        .chain([("others", others)])
        .map(|(name, seconds)| format!("{name} {seconds:.2}"))
        .collect();
    format!(
        " Iteration {iteration} took {wall:.2} s: {}",
        parts.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_c_prints_them() {
        for (value, text) in [
            (0.0, "0"),
            (15.0, "15"),
            (999.0, "999"),
            (42.0 + 2.0 / 3.0, "42.6667"),
            (6.356684, "6.35668"),
            (1.875, "1.875"),
            (0.00012345678, "0.000123457"),
            (0.000012345678, "1.23457e-05"),
            (1_234_567.0, "1.23457e+06"),
            (999_999.6, "1e+06"),
            (-3.5, "-3.5"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn resolutions_have_six_digits() {
        let text = dipped_fsc(256.0 / 14.0, 25.6);
        assert!(text.contains("18.2857 A, instead of 25.6 A"), "{text}");
    }

    fn state() -> RunState {
        RunState {
            iterations_without_gain: 1,
            iterations_without_changes: 0,
            changes_orientations: 67.841512,
            changes_offsets: 10.526489,
            current_resolution: 6.0 / 256.0,
            ..RunState::new(7)
        }
    }

    /// Lines of the reference run `refine3d_c4`.
    #[test]
    fn auto_refine_lines_are_relions() {
        assert_eq!(
            auto_refine_status(2, &state()),
            " Auto-refine: Iteration= 2\n \
             Auto-refine: Resolution= 42.6667 (no gain for 1 iter) \n \
             Auto-refine: Changes in angles= 67.8415 degrees; and in offsets= 10.5265 Angstroms (no gain for 0 iter) "
        );
        assert_eq!(
            current_resolution(6.0 / 256.0, 170.0),
            " CurrentResolution= 42.6667 Angstroms, which requires orientationSampling of at least 27.6923 degrees for a particle of diameter 170 Angstroms"
        );
        assert_eq!(
            sampling_points(1, None, 1, 9216, 7.5, 84, 4.0),
            " Oversampling= 1 NrHiddenVariableSamplingPoints= 774144\n \
             OrientationalSampling= 7.5 NrOrientations= 9216\n \
             TranslationalSampling= 4 NrTranslations= 84\n\
             ============================="
        );
        assert_eq!(expectation(3, Some(25)), " Expectation iteration 3 of 25");
        assert_eq!(expectation(3, None), " Expectation iteration 3");
    }

    #[test]
    fn closing_lines_name_the_files_and_the_resolution() {
        let text = finished("job/run", 8.827586, false, 1.0, 3.0);
        assert_eq!(
            text,
            " Auto-refine: Refinement has converged, stopping now... \n \
             Auto-refine: + Final reconstruction from all particles is saved as: job/run_class001.mrc\n \
             Auto-refine: + Final model parameters are stored in: job/run_model.star\n \
             Auto-refine: + Final data parameters are stored in: job/run_data.star\n \
             Auto-refine: + Final resolution (without masking) is: 8.82759\n \
             Auto-refine: + But you may want to run relion_postprocess to mask the unfil.mrc maps and calculate a higher resolution FSC"
        );
        let masked = finished("run", 5.0, true, 1.0, 12.0);
        assert!(masked.contains("Final resolution (already with masking) is: 5\n"));
        assert_eq!(masked.matches("WARNING").count(), 4);
        assert_eq!(
            finished("run", 5.0, false, 4.0, 1.0)
                .matches("SEVERE WARNING")
                .count(),
            2
        );
    }

    #[test]
    fn stage_times_add_up_to_the_wall_time() {
        let times = StageTimes {
            get_img: 1.0,
            get_diff: 5.25,
            convert: 0.5,
            store: 2.0,
        };
        assert_eq!(
            stage_report(4, &times, 1.0, 10.0),
            " Iteration 4 took 10.00 s: getImg 1.00, getDiff 5.25, convert 0.50, store 2.00, maximization 1.00, others 0.25"
        );
    }
}
