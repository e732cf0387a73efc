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

/// Threads that format rows of particles, and the most rows that each of them holds. Files are written beside the run, which waits where
/// those of the set before are not whole yet: formatting takes longer than the disk.
const FORMATTING: usize = 8;
const ROWS_HELD: usize = 8192;
/// Fewer rows are not worth a thread.
const ROWS_AT_LEAST: usize = 512;

fn write_particles(
    out: &mut impl Write,
    input: &Table,
    particles: &[Particle],
    labels: &[&str],
) -> io::Result<()> {
    let mut rows = LoopWriter::begin(out, "particles", labels)?;
    let part = particles
        .len()
        .div_ceil(FORMATTING)
        .clamp(ROWS_AT_LEAST, ROWS_HELD);
    for (number, several) in particles.chunks(part * FORMATTING).enumerate() {
        let first = number * part * FORMATTING;
        let formatted: Vec<io::Result<Vec<u8>>> = std::thread::scope(|scope| {
            let parts = several.chunks(part).enumerate().map(|(i, particles)| {
                scope.spawn(move || formatted(input, first + i * part, particles, labels))
            });
            let running: Vec<_> = parts.collect();
            let joined = running.into_iter().map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            joined.collect()
        });
        for part in formatted {
            rows.add_rows(&part?)?;
        }
    }
    rows.end()
}

/// Rows of `particles`, of which the first is row `first` of the table.
fn formatted(
    input: &Table,
    first: usize,
    particles: &[Particle],
    labels: &[&str],
) -> io::Result<Vec<u8>> {
    let mut columns = Vec::new();
    for label in labels {
        let texts = match written(label) {
            None => Some(input.texts_from(label, first).map_err(io::Error::other)?),
            Some(_) => None,
        };
        columns.push((written(label), kind(label), texts));
    }
    let mut text = Vec::new();
    let mut rows = LoopWriter::of_rows(&mut text);
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
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::ReadOptions;
    use super::*;
    use std::fmt::Write;

    /// Rows that several threads format stand in the order of the table, with their own texts and values.
    #[test]
    fn long_tables_are_written_in_order() {
        let count = ROWS_AT_LEAST * FORMATTING + ROWS_AT_LEAST / 2;
        let folder = tempfile::tempdir().unwrap();
        let paths = ["in.star", "out.star"].map(|name| folder.path().join(name));
        let mut text =
            "data_optics\nloop_\n_rlnOpticsGroup\n_rlnImagePixelSize\n_rlnImageSize\n1 1.0 2\n\n\
                        data_particles\nloop_\n_rlnImageName\n_rlnMicrographName\n"
                .to_string();
        for row in 0..count {
            writeln!(text, "{}@a.mrcs m{row:06}", row + 1).unwrap();
        }
        std::fs::write(&paths[0], text).unwrap();
        let mut set = ParticleSet::read(&paths[0], &ReadOptions::default()).unwrap();
        for (row, particle) in set.particles.iter_mut().enumerate() {
            particle.norm = 1.0 + row as f64;
        }
        set.write(&paths[1], false, true).unwrap();
        let found = ParticleSet::read(&paths[1], &ReadOptions::default()).unwrap();
        assert_eq!(found.particles, set.particles);
        for row in [0, ROWS_AT_LEAST, count - 1] {
            assert_eq!(found.image_name(row), format!("{}@a.mrcs", row + 1));
        }
    }
}
