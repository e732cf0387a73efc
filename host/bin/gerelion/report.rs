//! `gerelion report`.

use clap::Args;
use gerelion::errors::{Failure, Message};
use gerelion::options::Range;
use gerelion::tools::progress::Progress;
use gerelion::tools::report::{self, Wanted, Written};
use std::path::PathBuf;

/// Options of `gerelion report`.
#[derive(Args)]
pub struct Arguments {
    /// Output root of the run: what it was given with --o, for instance Class3D/job001/run
    #[arg(value_name = "PREFIX")]
    prefix: String,
    /// Page to write (default: PREFIX_report.html)
    #[arg(long = "o", value_name = "HTML")]
    output: Option<PathBuf>,
    /// Mass of the molecule, kDa: its surface is drawn at the contour that encloses so much protein
    #[arg(long, value_name = "KDA", value_parser = Range::between(1.0, 1e6).real("kDa"))]
    mass: Option<f64>,
    /// Look for new iterations at this interval, and write the page again until the run has ended
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    watch: Option<u64>,
}

/// Run the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let wanted = Wanted {
        prefix: &arguments.prefix,
        page: arguments.output.as_deref(),
        mass: arguments.mass,
    };
    match arguments.watch {
        None => {
            let written = {
                let _writing = Progress::Output.phase("Writing the page", 0);
                report::write(wanted, None)?
            };
            tell(&written);
        }
        Some(seconds) => report::watch(wanted, seconds, |outcome| match outcome {
            Ok(written) => tell(written),
            Err(error) => {
                gerelion::errors::tell(&format!("WARNING: {}", Message::of(error).line()))
            }
        })?,
    }
    Ok(())
}

fn tell(written: &Written) {
    let plural = if written.iterations == 1 { "" } else { "s" };
    println!(
        "{} iteration{plural}: {}",
        written.iterations,
        written.page.display()
    );
}
