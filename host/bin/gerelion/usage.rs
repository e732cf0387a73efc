//! Command lines that are not understood, refused as other errors are: with a code.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use gerelion::errors::Code;
use gerelion::refinement::cli::job_markers::{Ending, Pipeline};
use std::error::Error;
use std::process::ExitCode;

/// Print what is wrong, or the help text or version that was asked for. The status is 1, as for all errors (2 is a run that was
/// aborted), or 0.
pub fn refuse(error: &clap::Error) -> ExitCode {
    match code(error.kind()) {
        Some(code) => {
            mark_job();
            let text = impossible_value(error).unwrap_or_else(|| {
                let text = error.to_string();
                text.strip_prefix("error: ").unwrap_or(&text).to_owned()
            });
            gerelion::errors::tell(&code.says(text.trim_end()).printed());
            ExitCode::FAILURE
        }
        None => {
            // A closed pipe (gerelion --help | head) is nobody's loss.
            let _ = error.print();
            match error.use_stderr() {
                true => ExitCode::FAILURE,
                false => ExitCode::SUCCESS,
            }
        }
    }
}

/// Leaves the marker file of a failed job where `--pipeline_control` asks for it: without it RELION's interface would take the
/// job for a running one.
fn mark_job() {
    let mut words = std::env::args_os().skip_while(|word| word != "--pipeline_control");
    let prefix = words.nth(1).and_then(|word| word.into_string().ok());
    let pipeline = Pipeline::new(prefix);
    // The words of the error are what matters.
    let _ = pipeline.start();
    // The error itself is what is told, not that of a folder that is missing as well.
    let _ = pipeline.finish(Ending::Failure);
}

/// Says of the value of an option what `relion_refine` would say of it.
fn impossible_value(error: &clap::Error) -> Option<String> {
    let ContextValue::String(option) = error.get(ContextKind::InvalidArg)? else {
        return None;
    };
    let ContextValue::String(value) = error.get(ContextKind::InvalidValue)? else {
        return None;
    };
    let reason = error.source()?;
    let option = option.split(' ').next()?;
    Some(format!("{option} {value} is not possible: {reason}"))
}

/// None: the text is what the user wanted.
pub fn code(kind: ErrorKind) -> Option<Code> {
    Some(match kind {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => return None,
        ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand => Code::UNKNOWN_OPTION,
        ErrorKind::MissingRequiredArgument | ErrorKind::MissingSubcommand => Code::MISSING_OPTION,
        ErrorKind::ArgumentConflict => Code::CONFLICTING_OPTIONS,
        ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => Code::MISSING_VALUE,
        _ => Code::BAD_VALUE,
    })
}
