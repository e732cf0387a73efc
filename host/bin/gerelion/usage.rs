//! Command lines that `gerelion` does not understand, refused as other errors are: with a code.

use clap::error::ErrorKind;
use gerelion::errors::Code;
use std::process::ExitCode;

/// Print what is wrong, or the help text or version that was asked for. The status is 2, as usual for such errors, or 0.
pub fn refuse(error: &clap::Error) -> ExitCode {
    match code(error.kind()) {
        Some(code) => {
            let text = error.to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            gerelion::errors::tell(&code.says(text.trim_end()).printed());
        }
        // A closed pipe (gerelion --help | head) is nobody's loss.
        None => drop(error.print()),
    }
    ExitCode::from(error.exit_code() as u8)
}

/// None: the text is what the user wanted.
fn code(kind: ErrorKind) -> Option<Code> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cli;
    use clap::CommandFactory;

    #[test]
    fn refusals_have_the_code_of_their_kind() {
        let of = |line: &str| {
            let words = line.split_whitespace();
            code(
                Cli::command()
                    .try_get_matches_from(words)
                    .unwrap_err()
                    .kind(),
            )
        };
        assert_eq!(of("gerelion --help"), None);
        assert_eq!(of("gerelion --version"), None);
        assert_eq!(of("gerelion"), None);
        assert_eq!(of("gerelion nonsense"), Some(Code::UNKNOWN_OPTION));
        assert_eq!(of("gerelion demo --nonsense"), Some(Code::UNKNOWN_OPTION));
        assert_eq!(of("gerelion demo --n many"), Some(Code::BAD_VALUE));
        assert_eq!(of("gerelion demo --n"), Some(Code::BAD_VALUE));
        assert_eq!(of("gerelion fsc a.mrc"), Some(Code::MISSING_OPTION));
        let twice = of("gerelion demo --n 1 --n 2");
        assert_eq!(twice, Some(Code::CONFLICTING_OPTIONS));
    }
}
