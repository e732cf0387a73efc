//! From particles to STAR tables.

use super::labels::{carry, kind};
use super::{DatasetError, Particle, ParticleSet};
use crate::errors::Code;
use crate::formats::star::{LoopWriter, StarError, Table, replace_file};
use std::io::{self, Write};
use std::path::Path;

/// Where the cells of an output column come from.
enum Source {
    /// From the particle as it is now.
    Real(fn(&Particle) -> f64),
    /// From the particle as it is now.
    Integer(fn(&Particle) -> i64),
    /// From the table that was read.
    Table,
}

/// Returns the source of the values of a column of the particle table.
fn source(label: &str) -> Source {
    match label {
        "rlnOpticsGroup" => Source::Integer(|p| p.optics_group as i64 + 1),
        "rlnGroupNumber" => Source::Integer(|p| p.scale_group as i64 + 1),
        "rlnAngleRot" => Source::Real(|p| p.rot),
        "rlnAngleTilt" => Source::Real(|p| p.tilt),
        "rlnAnglePsi" => Source::Real(|p| p.psi),
        "rlnOriginXAngst" => Source::Real(|p| p.origin[0]),
        "rlnOriginYAngst" => Source::Real(|p| p.origin[1]),
        "rlnClassNumber" => Source::Integer(|p| p.class as i64),
        "rlnNormCorrection" => Source::Real(|p| p.norm),
        "rlnRandomSubset" => Source::Integer(|p| i64::from(p.half)),
        "rlnLogLikeliContribution" => Source::Real(|p| p.log_likelihood),
        "rlnMaxValueProbDistribution" => Source::Real(|p| p.max_probability),
        "rlnNrOfSignificantSamples" => Source::Integer(|p| p.significant_samples as i64),
        _ => Source::Table,
    }
}

/// Columns added when the input lacks them, in RELION's order (spec 03 §1.3).
const ADDED: &[&str] = &[
    "rlnOpticsGroup",
    "rlnGroupNumber",
    "rlnAngleRot",
    "rlnAngleTilt",
    "rlnAnglePsi",
    "rlnOriginXAngst",
    "rlnOriginYAngst",
    "rlnClassNumber",
    "rlnNormCorrection",
];

/// Added once the particles have results.
const STATISTICS: &[&str] = &[
    "rlnLogLikeliContribution",
    "rlnMaxValueProbDistribution",
    "rlnNrOfSignificantSamples",
];

pub(super) fn write(
    set: &ParticleSet,
    path: &Path,
    comment: Option<&str>,
    with_halves: bool,
    with_statistics: bool,
) -> Result<(), DatasetError> {
    let input = &set.particle_table;
    let mut labels = input.labels();
    let mut add = |label: &'static str| {
        if !labels.contains(&label) {
            labels.push(label);
        }
    };
    ADDED.iter().copied().for_each(&mut add);
    if with_halves {
        add("rlnRandomSubset");
    }
    if with_statistics {
        STATISTICS.iter().copied().for_each(&mut add);
    }
    if set.particles.len() != input.len() {
        return Err(StarError {
            code: Code::RUN_FILES_DIFFER,
            path: path.display().to_string(),
            message: format!(
                "{} particles do not fit the {} rows of {}",
                set.particles.len(),
                input.len(),
                set.source.display()
            ),
        }
        .into());
    }
    replace_file(path, |out| {
        if let Some(comment) = comment {
            writeln!(out, "# {comment}")?;
        }
        write_optics(out, &set.optics_table)?;
        write_particles(out, input, &set.particles, &labels)
    })?;
    Ok(())
}

pub(super) fn write_optics(out: &mut impl Write, table: &Table) -> io::Result<()> {
    let labels = table.labels();
    let mut rows = LoopWriter::begin(out, "optics", &labels)?;
    for row in 0..table.len() {
        for label in &labels {
            let text = table.text(row, label).map_err(io::Error::other)?;
            carry(&mut rows, kind(label), text);
        }
        rows.end_row()?;
    }
    rows.end()
}

fn write_particles(
    out: &mut impl Write,
    input: &Table,
    particles: &[Particle],
    labels: &[&str],
) -> io::Result<()> {
    let mut columns = Vec::new();
    for label in labels {
        let texts = match source(label) {
            Source::Table => Some(input.texts(label).map_err(io::Error::other)?),
            _ => None,
        };
        columns.push((source(label), kind(label), texts));
    }
    let mut rows = LoopWriter::begin(out, "particles", labels)?;
    for particle in particles {
        for (source, kind, texts) in &mut columns {
            match source {
                Source::Real(value) => rows.real(value(particle)),
                Source::Integer(value) => rows.integer(value(particle)),
                Source::Table => {
                    let text = texts.as_mut().and_then(Iterator::next);
                    carry(&mut rows, *kind, text.unwrap_or(""));
                }
            }
        }
        rows.end_row()?;
    }
    rows.end()
}
