//! `main` of a program that is one command of `gerelion` under the name that RELION has for it.

use super::usage;
use clap::{Args, Parser};
use gerelion::errors::{Failure, catch_panics, tell};
use gerelion::refinement::cli::fail_beyond_file_size_limit;
use std::process::ExitCode;

#[derive(Parser)]
#[command(version)]
struct Cli<A: Args> {
    #[command(flatten)]
    arguments: A,
}

/// Reads the command line, runs the command, and prints its error.
pub fn main<A: Args>(run: fn(&A) -> Result<(), Failure>) -> ExitCode {
    let arguments = match Cli::<A>::try_parse() {
        Ok(cli) => cli.arguments,
        Err(error) => return usage::refuse(&error),
    };
    fail_beyond_file_size_limit();
    match catch_panics(|| run(&arguments)).unwrap_or_else(|panic| Err(panic.into())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(message)) => {
            tell(&message.printed());
            ExitCode::FAILURE
        }
    }
}
