//! `gerelion`: tools around the refinement program (which is `relion_refine`).

mod simulate;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Simulate, compare, measure: tools around `relion_refine`.
#[derive(Parser)]
#[command(version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Simulate a particle set with known truth from atomic models or a built-in phantom
    Simulate(simulate::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Simulate(arguments) => simulate::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ERROR: {error:#}");
            ExitCode::FAILURE
        }
    }
}
