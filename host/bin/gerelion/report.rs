//! `gerelion report`.

use clap::Args;
use gerelion::errors::{Failure, Message};
use gerelion::tools::report::{self, Written};
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
    /// Look for new iterations every so many seconds, and write the page again until the run has ended
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    watch: Option<u64>,
}

/// Run the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let page = arguments.output.as_deref();
    match arguments.watch {
        None => tell(&report::write(&arguments.prefix, page, None)?),
        Some(seconds) => {
            report::watch(&arguments.prefix, page, seconds, |outcome| match outcome {
                Ok(written) => tell(written),
                Err(error) => {
                    gerelion::errors::tell(&format!("WARNING: {}", Message::of(error).line()))
                }
            })?
        }
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
