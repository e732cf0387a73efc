//! `gerelion subset`.

use clap::Args;
use gerelion::errors::Failure;
use gerelion::formats::replace::check_output;
use gerelion::formats::star::Document;
use gerelion::tools::subset::{self, Unit};
use std::path::PathBuf;

/// Options of `gerelion subset`.
#[derive(Args)]
#[command(rename_all = "snake_case")]
pub struct Arguments {
    /// Particle STAR file
    #[arg(long = "i", value_name = "STAR")]
    input: PathBuf,
    /// STAR file to write
    #[arg(long = "o", value_name = "STAR")]
    output: PathBuf,
    /// Number of particles
    #[arg(long)]
    n: usize,
    /// Seed of the choice
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Draw whole micrographs until there are at least --n particles
    #[arg(long)]
    by_micrograph: bool,
}

/// Run the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    check_output(&[&arguments.input], &arguments.output)?;
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
