//! `gerelion`: tools around the refinement program (which is `relion_refine`).

mod align_symmetry;
mod bench;
mod compare;
mod demo;
mod explain;
mod job;
mod localsym;
mod mask;
mod pages;
mod postprocess;
mod reconstruct;
mod relion_tool;
mod report;
mod selfcheck;
mod simulate;
mod subset;
mod subtract;
mod usage;
mod validate;
mod watch;

use clap::{Parser, Subcommand};
use gerelion::allocator::HugePages;
use gerelion::errors::{Failure, catch_panics, show};
use gerelion::refinement::cli::job_markers::Pipeline;
use gerelion::refinement::cli::{fail_beyond_file_size_limit, leave_on_crash};
use gerelion::{options::options_page, tools::doctor};
use std::process::ExitCode;

#[global_allocator]
static MEMORY: HugePages = HugePages;

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
    /// Print the FSC of two maps: resolution at 0.5 and 0.143, mean over shells
    Fsc(compare::FscArguments),
    /// Compare one iteration of two runs through the files they wrote
    Compare(compare::RunArguments),
    #[command(about = postprocess::about(false))]
    Postprocess(Box<postprocess::Arguments>),
    #[command(about = reconstruct::ABOUT)]
    Reconstruct(Box<reconstruct::Arguments>),
    #[command(about = postprocess::about(true))]
    Localres(Box<postprocess::Arguments>),
    #[command(about = mask::ABOUT)]
    Mask(mask::Arguments),
    /// Write a page about a run, finished or still running: progress, FSC, maps, orientations
    Report(report::Arguments),
    /// Watch running jobs, in the terminal or on a page for a browser on this machine: resolution, Pmax, time left, GPUs
    Watch(watch::Arguments),
    /// Check a finished auto-refinement before its map is deposited: half maps, mask, orientations, particles
    Validate(validate::Arguments),
    #[command(about = align_symmetry::ABOUT)]
    AlignSymmetry(align_symmetry::Arguments),
    #[command(about = localsym::ABOUT)]
    Localsym(localsym::Arguments),
    #[command(about = subtract::ABOUT)]
    Subtract(subtract::Arguments),
    /// Write a random, reproducible subset of a particle file
    Subset(subset::Arguments),
    /// Go from simulated images to a map: 2D classes, initial model, refinement, comparison with the truth; a few minutes on two cores
    Demo(demo::Arguments),
    /// Time a whole run and print where the time went, under the names of the method's paper
    Bench(bench::Arguments),
    /// List what this machine offers: processor, memory, GPUs, libraries
    Doctor,
    /// Compute the same small job on one thread, on all and on GPUs, and compare the results
    Selfcheck(selfcheck::Arguments),
    /// Print the page of all options of `relion_refine`
    Options,
    /// Explain an error code: meaning, causes, what to try; without a code, print the page of all codes
    Explain(explain::Arguments),
    /// Write the manual pages of all programs
    #[command(hide = true)]
    Man(pages::ManArguments),
    /// Write or print the shell completions of all programs
    #[command(hide = true)]
    Completions(pages::CompletionArguments),
}

fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => return usage::refuse(&error),
    };
    fail_beyond_file_size_limit();
    leave_on_crash(&Pipeline::default());
    match catch_panics(|| run(command)).unwrap_or_else(|panic| Err(panic.into())) {
        Ok(status) => status,
        Err(Failure(message)) => {
            gerelion::errors::tell(&message.printed());
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Validate(arguments) => return validate::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Fsc(arguments) => compare::fsc(&arguments),
        Command::Compare(arguments) => compare::runs(&arguments),
        Command::Reconstruct(arguments) => reconstruct::run(&arguments),
        Command::Localsym(arguments) => localsym::run(&arguments),
        Command::Subtract(arguments) => subtract::run(&arguments),
        Command::Postprocess(arguments) => postprocess::run(&arguments, false),
        Command::Localres(arguments) => postprocess::run(&arguments, true),
        Command::Mask(arguments) => mask::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Watch(arguments) => watch::run(&arguments),
        Command::AlignSymmetry(arguments) => align_symmetry::run(&arguments),
        Command::Subset(arguments) => subset::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Doctor => {
            for finding in doctor::examine() {
                println!("{finding}");
            }
            Ok(())
        }
        Command::Selfcheck(arguments) => selfcheck::run(&arguments),
        Command::Options => show(&options_page()),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Man(arguments) => pages::man(&arguments),
        Command::Completions(arguments) => pages::completions(&arguments),
    }?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use gerelion::errors::Code;

    #[test]
    fn refusals_have_the_code_of_their_kind() {
        let of = |line: &str| {
            let words = line.split_whitespace();
            usage::code(
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
        let twice = of("gerelion demo --n 500 --n 600");
        assert_eq!(twice, Some(Code::CONFLICTING_OPTIONS));
    }
}
