//! `gerelion subset`.

use clap::Args;
use gerelion::errors::{Code, Failure};
use gerelion::formats::replace::{Content, check_output, check_place};
use gerelion::formats::star::Document;
use gerelion::options::Range;
use gerelion::tools::subset::{self, Unit};
use std::path::PathBuf;

/// Options of `gerelion subset`.
#[derive(Args)]
#[command(rename_all = "snake_case", allow_negative_numbers = true)]
pub struct Arguments {
    /// Particle STAR file
    #[arg(long = "i", value_name = "STAR")]
    input: PathBuf,
    /// STAR file to write
    #[arg(long = "o", value_name = "STAR")]
    output: PathBuf,
    /// Number of particles
    #[arg(long, value_parser = Range::between(1.0, 1e9).whole::<usize>("particles"))]
    n: usize,
    /// Seed of the choice
    #[arg(long, default_value_t = 1, value_parser = Range::between(0.0, 9e15).whole::<u64>(""))]
    seed: u64,
    /// Draw whole micrographs until there are at least --n particles
    #[arg(long)]
    by_micrograph: bool,
    /// Replace the file if it is there
    #[arg(long)]
    overwrite: bool,
}

/// Run the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    check_output(&[&arguments.input], &arguments.output)?;
    check_place(&arguments.output, Content::Text)?;
    if arguments.output.exists() && !arguments.overwrite {
        let text =
            "this file is there and would be lost; give another --o, or --overwrite to replace it";
        let message = Code::BAD_VALUE.says(text);
        return Err(message.about(arguments.output.display()).into());
    }
    let document = Document::read(&arguments.input)?;
    let table = subset::particle_table(&document)?;
    let unit = if arguments.by_micrograph {
        Unit::Micrograph
    } else {
        Unit::Particle
    };
    let rows = subset::choose(table, arguments.n, arguments.seed, unit)?;
    let of = table.len();
    subset::take(&document, &rows)?.write(&arguments.output)?;
    println!(
        "{} of {of} particles written to {}",
        rows.len(),
        arguments.output.display()
    );
    Ok(())
}
