//! `main` of a program that is one command of `gerelion` under the name that RELION has for it.

use super::usage;
use clap::{Args, CommandFactory, FromArgMatches, Parser};
use gerelion::errors::{Failure, catch_panics, tell};
use gerelion::refinement::cli::job_markers::Pipeline;
use gerelion::refinement::cli::{fail_beyond_file_size_limit, leave_on_crash};
use std::process::ExitCode;

#[derive(Parser)]
#[command(version)]
struct Cli<A: Args> {
    #[command(flatten)]
    arguments: A,
}

/// Reads the command line, runs the command, and prints its error. The help begins with `about`.
pub fn main<A: Args>(about: &'static str, run: fn(&A) -> Result<(), Failure>) -> ExitCode {
    let command = Cli::<A>::command().about(about);
    let matches = command.try_get_matches();
    let arguments = match matches.and_then(|matches| Cli::<A>::from_arg_matches(&matches)) {
        Ok(cli) => cli.arguments,
        Err(error) => return usage::refuse(&error),
    };
    fail_beyond_file_size_limit();
    leave_on_crash(&Pipeline::default());
    match catch_panics(|| run(&arguments)).unwrap_or_else(|panic| Err(panic.into())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(message)) => {
            tell(&message.printed());
            ExitCode::FAILURE
        }
    }
}
