//! `relion_refine` from its command line to its exit status (spec 03 §3.1, §4.2–4.3).

use crate::allocator;
use crate::comm::{FaultReport, Ranks, open_files};
use crate::dataset::scratch;
use crate::errors::{Code, Coded, Message, Panicked, catch_panics, tell};
use crate::geometry::symmetry::{PointGroup, SymmetryError};
use crate::options::{CommandLine, OptionsError, Request, output_root};
use crate::refinement::checkpoint::output_lock::OutputLock;
use crate::refinement::checkpoint::overwritten;
use crate::refinement::checkpoint::resume;
use crate::refinement::cli::console::{self, Console};
use crate::refinement::cli::crash_mark::leave_on_crash;
use crate::refinement::cli::exit_mark;
use crate::refinement::cli::job_markers::{Ending, Pipeline};
use crate::refinement::cli::launcher;
use crate::refinement::cli::metadata_labels;
use crate::refinement::cli::signals;
use crate::refinement::cli::stage_log;
use crate::refinement::error::RunError;
use crate::refinement::parallel::engines::Opening;
use crate::refinement::parallel::workers::agree;
use crate::refinement::run;
use crate::refinement::settings::Settings;
use crate::refinement::settings::lengths;
use crate::refinement::settings::not_repeated::{command_lines, not_repeated};
use crate::refinement::start_up::input_checks::warn_all;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

/// Why the program stopped.
#[derive(Debug, thiserror::Error)]
enum ProgramError {
    #[error(transparent)]
    Options(#[from] OptionsError),
    #[error(transparent)]
    Launch(#[from] launcher::LaunchError),
    #[error(transparent)]
    Resume(#[from] resume::ResumeError),
    #[error(transparent)]
    Symmetry(#[from] SymmetryError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Panic(#[from] Panicked),
}

impl Coded for ProgramError {
    fn code(&self) -> Code {
        match self {
            Self::Options(error) => error.code(),
            Self::Launch(error) => error.code(),
            Self::Resume(error) => error.code(),
            Self::Symmetry(error) => error.code(),
            Self::Run(error) => error.code(),
            Self::Panic(error) => error.code(),
        }
    }
}

/// Runs the program on the words after its name. Status 0: done; 1: an error, printed on standard error; 2: aborted.
/// Of several ranks the first prints and leaves the scheduler's marker file.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let status = run_on(arguments.into_iter().collect());
    exit_mark::over();
    status
}

fn run_on(arguments: Vec<OsString>) -> ExitCode {
    let words: Vec<String> = arguments
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let pipeline = Pipeline::new(pipeline_prefix(&words));
    let report = fault_report(&pipeline);
    // Before anything else: a batch system may end a job as soon as it has begun.
    let listening = listen_for_signals(&pipeline, &report);
    allocator::mind_address_space();
    if let Some(marker) = pipeline.failure_marker() {
        allocator::leave_when_full(marker);
    }
    exit_mark::leave_unless_over(&pipeline);
    leave_on_crash(&pipeline);
    let failed = |error: &Message| {
        report(error);
        ExitCode::from(Ending::Failure.exit_status())
    };
    if let Some(word) = arguments.iter().find(|word| word.to_str().is_none()) {
        return failed(&Code::BAD_VALUE.says(format!(
            "the word {word:?} of the command line is not UTF-8, and files would be written under another name: rename the \
             file or folder"
        )));
    }
    if let Err(error) = open_files::prepare() {
        return failed(&error);
    }
    let listener = match listening {
        Ok(listener) => listener,
        Err(error) => return failed(&error),
    };
    let ranks = match launcher::ranks(&words, &report) {
        Ok(ranks) => Arc::new(ranks),
        Err(error) => return failed(&Message::of(&error)),
    };
    listener.know(&ranks);
    // MPI has handlers of its own, that know of no marker.
    leave_on_crash(&pipeline);
    let mut started = false;
    let result = catch_panics(|| start(words, &ranks, &pipeline, &mut started))
        .unwrap_or_else(|panic| Err(panic.into()));
    if let Err(error) = &result
        && ranks.size() > 1
        && !matches!(
            error,
            ProgramError::Run(RunError::Rank(_) | RunError::Aborted)
        )
    {
        // The others do not know of it and may wait for this rank.
        report(&Message::of(error).about(ranks.name(ranks.rank())));
        ranks.abort(1);
    }
    ranks.watch().end();
    let ending = match &result {
        Ok(()) => Ending::Success,
        Err(ProgramError::Run(RunError::Aborted)) => Ending::Aborted,
        Err(_) => Ending::Failure,
    };
    if ranks.leads() {
        return say_goodbye(result, ending, started, &pipeline);
    }
    ExitCode::from(ending.exit_status())
}

/// Last words and marker file of the first rank.
fn say_goodbye(
    result: Result<(), ProgramError>,
    ending: Ending,
    started: bool,
    pipeline: &Pipeline,
) -> ExitCode {
    // A folder that another run writes to has that run's marker.
    let is_of_another = match &result {
        Err(error) => Message::of(error).code == Code::OUTPUT_IN_USE,
        Ok(()) => false,
    };
    // The marker first: the terminal may be gone, and the disk with the log full. `--help` must not leave one.
    let marked = match (started || ending != Ending::Success) && !is_of_another {
        true => pipeline.finish(ending),
        false => Ok(()),
    };
    let mut said = None;
    match result {
        Ok(()) => {}
        Err(error @ ProgramError::Run(RunError::Aborted)) => {
            let line = Message::of(&error).line();
            let _ = writeln!(io::stdout(), " {line}\n exiting with an abort ...");
        }
        Err(error) => {
            let message = Message::of(&error);
            print_failure(&message);
            said = Some(message);
        }
    }
    if let Err(message) = marked {
        // That markers cannot be left is what ended a run that did not begin.
        let is_said = |said: &Message| said.text.ends_with(&message.text);
        if !said.as_ref().is_some_and(is_said) {
            tell(&message.printed());
        }
        return ExitCode::from(Ending::Failure.exit_status());
    }
    ExitCode::from(ending.exit_status())
}

fn print_failure(message: &Message) {
    tell(&message.printed());
    // Where the log cannot be written, which may be the error, a marker file can be left nevertheless.
    let _ = writeln!(
        io::stdout(),
        " {}\n exiting with an error ...",
        console::version_line()
    );
}

/// Returns the action by which this rank ends the whole job.
fn fault_report(pipeline: &Pipeline) -> FaultReport {
    let pipeline = pipeline.clone();
    Arc::new(move |fault| {
        let marked = pipeline.finish(Ending::Failure);
        print_failure(fault);
        if let Err(message) = marked {
            tell(&message.line());
        }
        stage_log::end_by_force(fault);
        // Last, since removing large copies takes a while.
        scratch::leave_before_exit();
    })
}

fn listen_for_signals(
    pipeline: &Pipeline,
    report: &FaultReport,
) -> Result<signals::Listener, Message> {
    let ways = signals::Ways {
        report: report.clone(),
        pipeline: pipeline.clone(),
        speaks_first: launcher::is_first(),
    };
    signals::listen(ways)
}

fn start(
    words: Vec<String>,
    ranks: &Arc<Ranks>,
    pipeline: &Pipeline,
    started: &mut bool,
) -> Result<(), ProgramError> {
    let line = agree(ranks, CommandLine::parse(words).map_err(ProgramError::from))?;
    let leads = ranks.leads();
    match line.request() {
        Request::Run => {}
        _ if !leads => return Ok(()),
        Request::Help(help) => print!("{}", help.text()),
        Request::Version => println!("{}", console::version_line()),
        Request::SymmetryOperators => print_symmetry_operators(line.text("--sym"))?,
        Request::MetadataLabels => metadata_labels::print(),
    }
    if line.request() != &Request::Run {
        return Ok(());
    }
    *started = true;
    launcher::refuse_strangers(ranks)?;
    let begun = match leads {
        true => pipeline.start().map_err(RunError::from),
        false => Ok(()),
    };
    agree(ranks, begun)?;
    if leads {
        for warning in line.warnings() {
            tell(&format!("WARNING: {warning}"));
        }
        if line.integer("--verb") > 0 {
            for note in line.notes() {
                println!(" {note}");
            }
        }
    }
    refine(&line, ranks)
}

/// Start a new run, or continue one.
fn refine(line: &CommandLine, ranks: &Arc<Ranks>) -> Result<(), ProgramError> {
    if let Some(optimiser) = line.name_given("--continue") {
        ranks.watch().enter("reading the files of the run");
        let (resumed, changes) = agree(ranks, continued(line, optimiser))?;
        let console = Console::new(resumed.settings.verbosity, ranks.leads());
        let _lock = agree(ranks, lock(&resumed.settings, ranks))?;
        let mut staff = Opening::begin(&resumed.settings, ranks);
        for text in resumed.notices.iter().chain(&changes) {
            console.say(&format!(" {text}"));
        }
        warn_all(&console, &resumed.warnings);
        let first = resumed.state.iteration + 1;
        let other_run = overwritten::warn_of_other_run(&resumed.settings, first);
        warn_all(&console, other_run.as_slice());
        warn_all(&console, odd_root(&resumed.settings).as_slice());
        return Ok(run::resume(resumed, &mut staff)?);
    }
    let settings = agree(ranks, fresh(line))?;
    let console = Console::new(settings.verbosity, ranks.leads());
    let _lock = agree(ranks, lock(&settings, ranks))?;
    let mut staff = Opening::begin(&settings, ranks);
    let earlier_run = overwritten::warn_of_earlier_run(&settings);
    warn_all(&console, earlier_run.as_slice());
    warn_all(&console, odd_root(&settings).as_slice());
    Ok(run::run(settings, &mut staff)?)
}

/// A hint about an output root that looks like a folder or a file.
fn odd_root(settings: &Settings) -> Option<String> {
    output_root::hint(&settings.output_root, "_it000_data.star")
}

/// The right of the first rank to write files of `--o`.
fn lock(settings: &Settings, ranks: &Ranks) -> Result<Option<OutputLock>, RunError> {
    match ranks.leads() {
        true => Ok(OutputLock::take(&settings.output_root)?),
        false => Ok(None),
    }
}

fn fresh(line: &CommandLine) -> Result<Settings, ProgramError> {
    let settings = Settings::from_command_line(line)?;
    settings.check_output_folder()?;
    overwritten::check(&settings, 0).map_err(RunError::from)?;
    for name in settings.symmetry.split(',') {
        PointGroup::parse(name)?;
    }
    Ok(settings)
}

/// The run to be continued, and what the command line changes in it.
fn continued(
    line: &CommandLine,
    optimiser: &str,
) -> Result<(resume::Resumed, Vec<String>), ProgramError> {
    let mut resumed = resume::read_optimiser(optimiser.as_ref())?;
    let before = command_lines(&resumed.settings.command_line);
    let dropped = not_repeated(&before, line);
    resumed.warnings.extend(dropped);
    let changes = resumed.settings.apply_continue_options(line)?;
    if let Some([range, step]) = resumed.changed_offsets() {
        lengths::check_offset_steps(range, step)?;
        lengths::check_offsets([range, step], resumed.models[0].box_size)
            .map_err(RunError::from)?;
    }
    resumed.apply_settings()?;
    resumed.settings.check_output_folder()?;
    overwritten::check(&resumed.settings, resumed.state.iteration + 1).map_err(RunError::from)?;
    Ok((resumed, changes))
}

/// Row by row, as RELION prints them; the identity first.
fn print_symmetry_operators(name: &str) -> Result<(), SymmetryError> {
    let group = PointGroup::parse(name)?;
    println!(
        " Symmetry group {} has {} operators",
        group.name(),
        group.order()
    );
    let identity = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    for (number, operator) in std::iter::once(&identity)
        .chain(group.operators())
        .enumerate()
    {
        println!(" Operator {}", number + 1);
        for row in operator {
            println!(" {:10.6} {:10.6} {:10.6}", row[0], row[1], row[2]);
        }
    }
    Ok(())
}

/// The prefix of `--pipeline_control`, found even on a command line that is refused.
fn pipeline_prefix(words: &[String]) -> Option<String> {
    let at = words
        .iter()
        .rposition(|word| word == "--pipeline_control")?;
    words.get(at + 1).filter(|word| !word.is_empty()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheduler_prefix_is_found_without_parsing() {
        let words = ["--nonsense", "--pipeline_control", "Class3D/job001/"].map(String::from);
        assert_eq!(pipeline_prefix(&words).as_deref(), Some("Class3D/job001/"));
        assert_eq!(pipeline_prefix(&words[..2]), None);
    }
}
