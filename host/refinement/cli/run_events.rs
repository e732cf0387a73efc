//! The lines of `--json_log` about the run as a whole: its beginning, each iteration, findings, its end.

use crate::comm::Ranks;
use crate::errors::Message;
use crate::refinement::cli::console::Console;
use crate::refinement::cli::stage_log::{FORMAT, StageLog, milliseconds};
use crate::refinement::error::RunError;
use crate::refinement::job::Job;
use crate::refinement::parallel::workers::agree;
use crate::refinement::settings::Settings;
use crate::refinement::start_up;
use serde_json::Value;

/// Accuracies and changes that are not known yet are 999 in the state of a run.
const UNKNOWN: f64 = 999.0;

/// Makes the console of a rank; the first one opens `--json_log` and writes its first line. A collective.
///
/// # Errors
/// The log cannot be opened.
pub fn console(settings: &Settings, ranks: &Ranks) -> Result<Console, RunError> {
    let console = Console::new(settings.verbosity, ranks.leads());
    let goes_on = settings.continue_from.is_some();
    let opened = match &settings.json_log {
        Some(path) if ranks.leads() => StageLog::open(path, goes_on).map(Some),
        _ => Ok(None),
    };
    let Some(log) = agree(ranks, opened.map_err(RunError::from))? else {
        return Ok(console);
    };
    let last = start_up::last_iteration(settings);
    log.write(
        "run",
        [
            ("format", FORMAT.into()),
            (
                "program",
                concat!("GeRelion ", env!("CARGO_PKG_VERSION")).into(),
            ),
            ("process_id", std::process::id().into()),
            ("host", ranks.hosts()[0].name.as_str().into()),
            ("ranks", ranks.size().into()),
            ("gpu", settings.gpu.is_some().into()),
            ("output_root", settings.output_root.as_str().into()),
            ("command_line", settings.command_line.as_str().into()),
            ("continues", goes_on.into()),
            ("auto_refine", settings.auto_refine.into()),
            (
                "last_iteration",
                (!settings.auto_refine).then_some(last).into(),
            ),
        ],
    );
    Ok(console.logging(log))
}

/// Writes the line of an iteration that took `seconds`.
pub fn iteration_done(console: &Console, job: &Job, seconds: f64) {
    let Some(log) = console.log() else {
        return;
    };
    let (state, model) = (&job.state, &job.models[0]);
    let oversampling = job.expectation.oversampling;
    let last = start_up::last_iteration(&job.settings);
    let fixed = !job.settings.auto_refine;
    let left = last.saturating_sub(state.iteration) as f64 * seconds;
    let shares = model.classes.iter().map(|class| class.fraction);
    log.write(
        "iteration",
        [
            ("iteration", state.iteration.into()),
            ("last_iteration", fixed.then_some(last).into()),
            ("seconds", milliseconds(seconds)),
            ("remaining_s", fixed.then(|| milliseconds(left)).into()),
            ("resolution_angstrom", angstroms(state.current_resolution)),
            ("average_pmax", model.average_pmax.into()),
            ("current_image_size_px", state.current_size.into()),
            (
                "angular_step_deg",
                job.sampling.oversampled_angular_step(oversampling).into(),
            ),
            ("offset_range_angstrom", job.sampling.offset_range.into()),
            (
                "offset_step_angstrom",
                (job.sampling.offset_step / f64::from(1u32 << oversampling)).into(),
            ),
            ("local_searches", model.local_search.is_some().into()),
            ("accuracy_rotations_deg", known(state.accuracy_rotations)),
            (
                "accuracy_translations_angstrom",
                known(state.accuracy_translations),
            ),
            ("change_orientations_deg", known(state.changes_orientations)),
            ("change_offsets_angstrom", known(state.changes_offsets)),
            ("converged", state.converged.into()),
            ("class_shares", shares.collect::<Vec<f64>>().into()),
        ],
    );
}

/// Writes the last line: how the run ended.
pub fn ended(console: &Console, result: &Result<(), RunError>) {
    let Some(log) = console.log() else {
        return;
    };
    match result {
        Ok(()) => log.write("end", [("status", "finished".into())]),
        Err(RunError::Aborted) => log.write("end", [("status", "aborted".into())]),
        Err(error) => log.failed(&Message::of(error)),
    }
}

/// Å of a resolution in 1/Å; null for none.
fn angstroms(resolution: f64) -> Value {
    (1.0 / resolution).into()
}

fn known(value: f64) -> Value {
    Some(value).filter(|value| *value < UNKNOWN).into()
}
