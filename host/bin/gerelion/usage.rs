//! Command lines that are not understood, refused as other errors are: with a code.

use clap::error::ErrorKind;
use gerelion::errors::Code;
use std::process::ExitCode;

/// Print what is wrong, or the help text or version that was asked for. The status is 1, as for all errors (2 is a run that was
/// aborted), or 0.
pub fn refuse(error: &clap::Error) -> ExitCode {
    match code(error.kind()) {
        Some(code) => {
            let text = error.to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
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
