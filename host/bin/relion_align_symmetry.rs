//! `relion_align_symmetry`: `gerelion align-symmetry` under the name that RELION's InitialModel job calls.

#[path = "gerelion/align_symmetry.rs"]
mod align_symmetry;
#[path = "gerelion/usage.rs"]
mod usage;

use clap::Parser;
use gerelion::allocator::HugePages;
use gerelion::errors::{Failure, catch_panics, tell};
use std::process::ExitCode;

#[global_allocator]
static MEMORY: HugePages = HugePages;

/// Turn a map so that its symmetry axes lie where the point group has them.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    arguments: align_symmetry::Arguments,
}

fn main() -> ExitCode {
    let arguments = match Cli::try_parse() {
        Ok(cli) => cli.arguments,
        Err(error) => return usage::refuse(&error),
    };
    let result = catch_panics(|| align_symmetry::run(&arguments));
    match result.unwrap_or_else(|panic| Err(panic.into())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(message)) => {
            tell(&message.printed());
            ExitCode::FAILURE
        }
    }
}
