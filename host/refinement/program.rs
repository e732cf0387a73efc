//! `relion_refine` from its command line to its exit status (spec 03 §3.1, §4.2–4.3).

use super::error::RunError;
use super::pipeline::{Ending, Pipeline};
use super::settings::Settings;
use super::{console, labels, launcher, resume, run};
use crate::device::{self, Device, DeviceError, map::DeviceMap};
use crate::expectation::ExpectationEngine;
use crate::expectation::cpu::CpuEngine;
use crate::expectation::cuda::CudaEngine;
use crate::geometry::symmetry::{PointGroup, SymmetryError};
use crate::options::{self, CommandLine, OptionsError, Request};
use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Mutex;

/// Why the program stopped.
#[derive(Debug, thiserror::Error)]
enum ProgramError {
    #[error(transparent)]
    Options(#[from] OptionsError),
    #[error(transparent)]
    Launch(#[from] launcher::ManyProcesses),
    #[error(transparent)]
    Resume(#[from] resume::ResumeError),
    #[error(transparent)]
    Symmetry(#[from] SymmetryError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(
        "internal error: {0}. This is a mistake in the program and not in your data; \
         please report it with the command line and this text"
    )]
    Panic(String),
}

/// Run the program on the words after its name. Status 0: done; 1: an error, printed on standard error; 2: aborted.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let words: Vec<String> = arguments
        .into_iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let pipeline = Pipeline::new(pipeline_prefix(&words));
    let mut started = false;
    let ending = match catch_panics(|| start(words, &pipeline, &mut started)) {
        Ok(()) => Ending::Success,
        Err(ProgramError::Run(RunError::Aborted)) => {
            println!(" exiting with an abort ...");
            Ending::Aborted
        }
        Err(error) => {
            print_error(&error);
            println!(" {}\n exiting with an error ...", console::version_line());
            Ending::Failure
        }
    };
    // Printing the help text is no job that has succeeded.
    if (started || ending != Ending::Success)
        && let Err(message) = pipeline.finish(ending)
    {
        eprintln!("ERROR:\n{message}");
        return ExitCode::from(Ending::Failure.exit_status());
    }
    ExitCode::from(ending.exit_status())
}

fn start(words: Vec<String>, pipeline: &Pipeline, started: &mut bool) -> Result<(), ProgramError> {
    let line = CommandLine::parse(words)?;
    match line.request() {
        Request::Help => print!("{}", options::usage()),
        Request::Version => println!("{}", console::version_line()),
        Request::SymmetryOperators => print_symmetry_operators(line.text("--sym"))?,
        Request::MetadataLabels => labels::print(),
        Request::Run => {
            *started = true;
            launcher::refuse_many_processes()?;
            pipeline.start();
            for warning in line.warnings() {
                eprintln!("WARNING: {warning}");
            }
            if line.integer("--verb") > 0 {
                for note in line.notes() {
                    println!(" {note}");
                }
            }
            refine(&line)?;
        }
    }
    Ok(())
}

/// Start a new run, or continue one.
fn refine(line: &CommandLine) -> Result<(), ProgramError> {
    if let Some(optimiser) = line.name_given("--continue") {
        let mut resumed = resume::read_optimiser(optimiser.as_ref())?;
        let changes = resumed.settings.apply_continue_options(line)?;
        resumed.apply_settings();
        resumed.settings.check_output_folder()?;
        if resumed.settings.verbosity > 0 {
            for text in resumed.notices.iter().chain(&changes) {
                println!(" {text}");
            }
        }
        let mut engine = engine(&resumed.settings)?;
        return Ok(run::resume(resumed, engine.as_mut())?);
    }
    let settings = Settings::from_command_line(line)?;
    settings.check_output_folder()?;
    for name in settings.symmetry.split(',') {
        PointGroup::parse(name)?;
    }
    let mut engine = engine(&settings)?;
    Ok(run::run(settings, engine.as_mut())?)
}

/// The engine that the options ask for: that of a GPU with `--gpu`, else that of the host.
fn engine(settings: &Settings) -> Result<Box<dyn ExpectationEngine + Send>, ProgramError> {
    let Some(map) = &settings.gpu else {
        return Ok(Box::new(CpuEngine::new()));
    };
    if settings.gridding_iterations.is_some() {
        eprintln!(
            "WARNING: reconstruction with --dont_skip_gridding runs on the CPU; everything else runs on the GPU."
        );
    }
    let devices = device::driver::devices()?;
    let chosen = DeviceMap::parse(map)?.devices_of(0, 1, devices.len())?;
    if chosen.len() > 1 {
        eprintln!("WARNING: only the first of the devices {chosen:?} is used.");
    }
    let device = Device::open(chosen[0])?;
    if settings.verbosity > 0 {
        println!(" Using device {} ({})", device.ordinal(), device.name());
    }
    let (free, _) = device.memory()?;
    let spared = free.saturating_sub((settings.free_gpu_memory as usize) << 20);
    let limit = settings
        .gpu_memory
        .map_or(spared, |bytes| spared.min(bytes as usize));
    Ok(Box::new(
        CudaEngine::new(device, Some(limit))?.with_precision(settings.gpu_precision),
    ))
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

/// "ERROR:" is what log scanners look for; then the message and its causes.
fn print_error(error: &dyn Error) {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let message = inner.to_string();
        if !text.contains(&message) {
            text.push_str("\n  because: ");
            text.push_str(&message);
        }
        cause = inner.source();
    }
    eprintln!("ERROR:\n{text}");
}

/// Turn a panic, here or in a worker thread, into an error with its text and place.
fn catch_panics(work: impl FnOnce() -> Result<(), ProgramError>) -> Result<(), ProgramError> {
    static LAST: Mutex<Option<String>> = Mutex::new(None);
    std::panic::set_hook(Box::new(|info| {
        let text = info.payload_as_str().unwrap_or("no message").to_owned();
        let place = info
            .location()
            .map(|l| format!(" (at {}:{})", l.file(), l.line()))
            .unwrap_or_default();
        if let Ok(mut last) = LAST.lock() {
            // The first panic is the cause; others follow from it.
            last.get_or_insert(format!("{text}{place}"));
        }
    }));
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    // Back to the default hook.
    let _ = std::panic::take_hook();
    result.unwrap_or_else(|_| {
        let text = LAST.lock().ok().and_then(|mut last| last.take());
        Err(ProgramError::Panic(
            text.unwrap_or_else(|| "no message".to_owned()),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_become_errors_with_their_place() {
        let error = catch_panics(|| panic!("shell {} is empty", 7)).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("internal error: shell 7 is empty (at host"),
            "{text}"
        );
    }

    #[test]
    fn the_scheduler_prefix_is_found_without_parsing() {
        let words = ["--nonsense", "--pipeline_control", "Class3D/job001/"].map(String::from);
        assert_eq!(pipeline_prefix(&words).as_deref(), Some("Class3D/job001/"));
        assert_eq!(pipeline_prefix(&words[..2]), None);
    }
}
