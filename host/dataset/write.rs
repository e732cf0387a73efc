//! From particles to STAR tables.

use super::labels::{carry, kind};
use super::particle_columns::{Added, COLUMNS, Written, written};
use super::{DatasetError, Particle, ParticleSet};
use crate::errors::Code;
use crate::formats::replace::Content;
use crate::formats::star::{LoopWriter, StarError, Table, replace_file};
use std::io::{self, Write};
use std::path::Path;

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
    for (when, holds) in [
        (Added::Always, true),
        (Added::WithHalves, with_halves),
        (Added::WithResults, with_statistics),
    ] {
        let added = COLUMNS
            .iter()
            .filter(|column| holds && column.added == when);
        added.map(|column| column.label).for_each(&mut add);
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
    replace_file(path, Content::Text, |out| {
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
        let texts = match written(label) {
            None => Some(input.texts(label).map_err(io::Error::other)?),
            Some(_) => None,
        };
        columns.push((written(label), kind(label), texts));
    }
    let mut rows = LoopWriter::begin(out, "particles", labels)?;
    for particle in particles {
        for (written, kind, texts) in &mut columns {
            match written {
                Some(Written::Real(value)) => rows.real(value(particle)),
                Some(Written::Integer(value)) => rows.integer(value(particle)),
                None => {
                    let text = texts.as_mut().and_then(Iterator::next);
                    carry(&mut rows, *kind, text.unwrap_or(""));
                }
            }
        }
        rows.end_row()?;
    }
    rows.end()
}
