//! `gerelion validate`.

use clap::Args;
use gerelion::errors::{Failure, tell};
use gerelion::tools::progress::Progress;
use gerelion::tools::validate::{self, ValidateSettings};
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit status where a check found something bad; 1 is an error, as everywhere.
const BAD: u8 = 2;

/// Options of `gerelion validate`.
#[derive(Args)]
#[command(
    after_help = "Exit status: 0 no check is bad; 1 the checks could not be made; 2 at least one check is bad.\n\
                  PREFIX_validation.star keeps the checks, and `gerelion report PREFIX` shows them."
)]
pub struct Arguments {
    /// Output root of a finished auto-refinement: what it was given with --o, for instance Refine3D/job001/run
    #[arg(value_name = "PREFIX")]
    prefix: String,
    /// Mask of the structure (default: the refinement's own where it is found, else one made from the map)
    #[arg(long, value_name = "MRC")]
    mask: Option<PathBuf>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let found = {
        let _checking = Progress::Output.phase("Checking", 0);
        validate::run(&ValidateSettings {
            prefix: arguments.prefix.clone(),
            mask: arguments.mask.clone(),
        })?
    };
    for warning in &found.warnings {
        tell(&format!("WARNING: {warning}"));
    }
    println!("{found}");
    Ok(match found.has_bad() {
        true => ExitCode::from(BAD),
        false => ExitCode::SUCCESS,
    })
}
