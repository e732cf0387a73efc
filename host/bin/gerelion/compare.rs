//! `gerelion fsc` and `gerelion compare`.

use clap::Args;
use gerelion::errors::{Failure, tell};
use gerelion::options::Range;
use gerelion::tools::compare::{CompareOptions, aligned, compare_runs};
use gerelion::tools::density::is_of_one_map;
use gerelion::tools::fsc::compare_files;
use gerelion::tools::progress::Progress;
use std::path::PathBuf;

/// Options of `gerelion fsc`.
#[derive(Args)]
pub struct FscArguments {
    /// First map
    a: PathBuf,
    /// Second map, of the same box and pixel size
    b: PathBuf,
    /// Multiply both maps by this mask first
    #[arg(long, value_name = "MAP")]
    mask: Option<PathBuf>,
    /// Rotate and shift the second map onto the first, in whichever hand fits better, before they are compared
    #[arg(long, conflicts_with = "mask")]
    align: bool,
    /// Print the FSC of every shell as well
    #[arg(long)]
    curve: bool,
}

/// Options of `gerelion compare`.
#[derive(Args)]
pub struct RunArguments {
    /// Prefix of the reference iteration, e.g. golden/class3d/run_it003
    reference: String,
    /// Prefix of the iteration to be judged
    ours: String,
    /// Point group under which poses are the same
    #[arg(long, default_value = "C1")]
    sym: String,
    /// Angular step in degrees, for the share of poses within one step
    #[arg(long, default_value_t = 7.5, value_parser = Range::between(0.01, 360.0).real("degrees"))]
    step: f64,
    /// Compare the model and maps of this half-set
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=2))]
    half: Option<u8>,
    /// Turn and shift maps onto each other first, in the better of both hands: for initial models
    #[arg(long)]
    align: bool,
    /// Truth of the simulation that both runs classify (PREFIX_truth.star of gerelion simulate)
    #[arg(long, value_name = "STAR")]
    truth: Option<PathBuf>,
}

/// Run `gerelion fsc`.
pub fn fsc(arguments: &FscArguments) -> Result<(), Failure> {
    let found = match arguments.align {
        true => {
            let laid = aligned(&arguments.a, &arguments.b, Progress::Error)?;
            println!("{laid}");
            laid.fsc
        }
        false => {
            let _comparing = Progress::Error.phase("Comparing the maps", 0);
            compare_files(&arguments.a, &arguments.b, arguments.mask.as_deref())?
        }
    };
    for warning in &found.warnings {
        gerelion::errors::tell(&format!("WARNING: {warning}"));
    }
    if !arguments.align {
        println!("{found}");
    }
    if is_of_one_map(&found.curve) {
        tell(
            "WARNING: the two maps are the same, or multiples of each other. Where they stand for two half-sets, their FSC \
             says nothing about the resolution.",
        );
    }
    if arguments.curve {
        let shells: Vec<String> = found.curve.iter().map(|c| format!("{c:.3}")).collect();
        println!("{}", shells.join(" "));
    }
    Ok(())
}

/// Run `gerelion compare`.
pub fn runs(arguments: &RunArguments) -> Result<(), Failure> {
    let options = CompareOptions {
        symmetry: arguments.sym.clone(),
        step: arguments.step,
        half: arguments.half,
        align: arguments.align,
        truth: arguments.truth.clone(),
    };
    let found = {
        let _comparing = Progress::Error.phase("Comparing the runs", 0);
        compare_runs(&arguments.reference, &arguments.ours, &options)?
    };
    print!("{found}");
    Ok(())
}
