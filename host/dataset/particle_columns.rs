//! The columns of the particle table: one list for the reader and the writer (spec 03 §1.3).

use super::columns::Columns;
use super::optics::Optics;
use super::{DatasetError, Particle, ReadOptions};
use crate::errors::Code;
use crate::formats::star::Table;
use std::collections::HashMap;
use std::path::Path;

/// A column that holds a value of each particle. What it does not say is left to the table, whose cells are carried along.
pub(super) struct Column {
    pub label: &'static str,
    /// Whether it is added to a table that lacks it.
    pub added: Added,
    /// Value of the particle as it is now, where it is written.
    pub written: Option<Written>,
    read: Read,
}

/// When a column is added to a table that lacks it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    Never,
    Always,
    /// Where half-sets are refined.
    WithHalves,
    /// Once the particles have results.
    WithResults,
}

/// How a value is written.
#[derive(Clone, Copy)]
pub(super) enum Written {
    Real(fn(&Particle) -> f64),
    Integer(fn(&Particle) -> i64),
}

/// How a column is read into the particles.
enum Read {
    /// A real; the default where the column is missing.
    Real(f64, fn(&mut Particle, f64)),
    /// A real that leaves the particle as it is where the column is missing.
    RealIfGiven(fn(&mut Particle, f64)),
    /// An angle: 0 where there is none.
    Angle(fn(&mut Particle, f64)),
    /// The centre of a prior, if it has one.
    Prior(fn(&mut Particle, Option<f64>)),
    /// A count from 0; 0 where there is none.
    Count(fn(&mut Particle, usize)),
    /// Index of the optics group, by its number in the optics table.
    OpticsGroup(fn(&mut Particle, usize)),
    /// Half-set: 1 or 2 for all, or 0 for all.
    HalfSet(fn(&mut Particle, u8)),
    /// Read elsewhere: scale groups have names, too.
    Elsewhere,
}

/// All columns; those that are added are in RELION's order.
pub(super) static COLUMNS: [Column; 24] = [
    Column {
        label: "rlnOpticsGroup",
        added: Added::Always,
        written: Some(Written::Integer(|p| p.optics_group as i64 + 1)),
        read: Read::OpticsGroup(|p, group| p.optics_group = group),
    },
    Column {
        label: "rlnGroupNumber",
        added: Added::Always,
        written: Some(Written::Integer(|p| p.scale_group as i64 + 1)),
        read: Read::Elsewhere,
    },
    Column {
        label: "rlnRandomSubset",
        added: Added::WithHalves,
        written: Some(Written::Integer(|p| i64::from(p.half))),
        read: Read::HalfSet(|p, half| p.half = half),
    },
    carried(
        "rlnDefocusU",
        Read::Real(0.0, |p, defocus| {
            p.ctf.defocus_u = defocus;
            p.ctf.defocus_v = defocus;
        }),
    ),
    carried(
        "rlnDefocusV",
        Read::RealIfGiven(|p, defocus| p.ctf.defocus_v = defocus),
    ),
    carried(
        "rlnDefocusAngle",
        Read::Real(0.0, |p, angle| p.ctf.defocus_angle = angle),
    ),
    carried(
        "rlnCtfBfactor",
        Read::Real(0.0, |p, b_factor| p.ctf.b_factor = b_factor),
    ),
    carried(
        "rlnCtfScalefactor",
        Read::Real(1.0, |p, scale| p.ctf.scale = scale),
    ),
    carried(
        "rlnPhaseShift",
        Read::Real(0.0, |p, shift| p.ctf.phase_shift = shift),
    ),
    Column {
        label: "rlnAngleRot",
        added: Added::Always,
        written: Some(Written::Real(|p| p.rot)),
        read: Read::Angle(|p, rot| p.rot = rot),
    },
    Column {
        label: "rlnAngleTilt",
        added: Added::Always,
        written: Some(Written::Real(|p| p.tilt)),
        read: Read::Angle(|p, tilt| p.tilt = tilt),
    },
    Column {
        label: "rlnAnglePsi",
        added: Added::Always,
        written: Some(Written::Real(|p| p.psi)),
        read: Read::Angle(|p, psi| p.psi = psi),
    },
    Column {
        label: "rlnOriginXAngst",
        added: Added::Always,
        written: Some(Written::Real(|p| p.origin[0])),
        read: Read::Real(0.0, |p, x| p.origin[0] = x),
    },
    Column {
        label: "rlnOriginYAngst",
        added: Added::Always,
        written: Some(Written::Real(|p| p.origin[1])),
        read: Read::Real(0.0, |p, y| p.origin[1] = y),
    },
    carried(
        "rlnAngleRotPrior",
        Read::Prior(|p, rot| p.angle_prior[0] = rot),
    ),
    carried(
        "rlnAngleTiltPrior",
        Read::Prior(|p, tilt| p.angle_prior[1] = tilt),
    ),
    carried(
        "rlnAnglePsiPrior",
        Read::Prior(|p, psi| p.angle_prior[2] = psi),
    ),
    carried(
        "rlnOriginXPriorAngst",
        Read::Prior(|p, x| p.origin_prior[0] = x),
    ),
    carried(
        "rlnOriginYPriorAngst",
        Read::Prior(|p, y| p.origin_prior[1] = y),
    ),
    Column {
        label: "rlnClassNumber",
        added: Added::Always,
        written: Some(Written::Integer(|p| p.class as i64)),
        read: Read::Count(|p, class| p.class = class),
    },
    Column {
        label: "rlnNormCorrection",
        added: Added::Always,
        written: Some(Written::Real(|p| p.norm)),
        read: Read::Real(1.0, |p, norm| p.norm = norm),
    },
    Column {
        label: "rlnLogLikeliContribution",
        added: Added::WithResults,
        written: Some(Written::Real(|p| p.log_likelihood)),
        read: Read::Real(0.0, |p, log_likelihood| p.log_likelihood = log_likelihood),
    },
    Column {
        label: "rlnMaxValueProbDistribution",
        added: Added::WithResults,
        written: Some(Written::Real(|p| p.max_probability)),
        read: Read::Real(0.0, |p, probability| p.max_probability = probability),
    },
    Column {
        label: "rlnNrOfSignificantSamples",
        added: Added::WithResults,
        written: Some(Written::Integer(|p| p.significant_samples as i64)),
        read: Read::Count(|p, samples| p.significant_samples = samples),
    },
];

/// Returns a column that is read, and written as it was.
const fn carried(label: &'static str, read: Read) -> Column {
    Column {
        label,
        added: Added::Never,
        written: None,
        read,
    }
}

/// Returns how the column of a label is written; None for one whose cells are carried along.
pub(super) fn written(label: &str) -> Option<Written> {
    let column = COLUMNS.iter().find(|column| column.label == label)?;
    column.written
}

/// Reads the particles in table order; stacks, scale groups and ids are set later.
pub(super) fn read_particles(
    path: &Path,
    table: &Table,
    optics: &Optics,
    options: &ReadOptions,
) -> Result<Vec<Particle>, DatasetError> {
    let columns = Columns { path, table };
    let ctf_is_used = options.need_ctf && optics.groups.iter().any(|g| !g.ctf_corrected);
    if ctf_is_used && !table.has("rlnDefocusU") {
        return Err(DatasetError::about(
            Code::CTF_PARAMETERS,
            path,
            format!(
                "CTF correction (--ctf) needs the column rlnDefocusU (and rlnDefocusV, rlnDefocusAngle) in table \
                 data_{}; estimate the CTF first, or run without --ctf",
                table.name()
            ),
        ));
    }
    let mut particles: Vec<Particle> = (0..table.len()).map(Particle::new).collect();
    for column in &COLUMNS {
        column.read_into(&mut particles, &columns, optics)?;
    }
    Ok(particles)
}

impl Column {
    fn read_into(
        &self,
        particles: &mut [Particle],
        columns: &Columns,
        optics: &Optics,
    ) -> Result<(), DatasetError> {
        let label = self.label;
        match self.read {
            Read::Real(default, set) => give(particles, columns.reals(label, default)?, set),
            Read::RealIfGiven(set) if columns.table.has(label) => {
                give(particles, columns.reals(label, 0.0)?, set);
            }
            Read::RealIfGiven(_) | Read::Elsewhere => (),
            Read::Angle(set) => give(particles, columns.angles(label)?, set),
            Read::Prior(set) => give(particles, columns.priors(label)?, set),
            Read::Count(set) => {
                let counts = columns.integers(label, 0)?;
                let counts = counts.into_iter().map(|n| n as usize).collect();
                give(particles, counts, set);
            }
            Read::OpticsGroup(set) => {
                give(particles, optics_groups(columns, label, optics)?, set);
            }
            Read::HalfSet(set) => give(particles, halves(columns, label)?, set),
        }
        Ok(())
    }
}

/// Gives each particle its value.
fn give<T>(particles: &mut [Particle], values: Vec<T>, set: fn(&mut Particle, T)) {
    for (particle, value) in particles.iter_mut().zip(values) {
        set(particle, value);
    }
}

/// Returns the index of each row's optics group.
fn optics_groups(
    columns: &Columns,
    label: &str,
    optics: &Optics,
) -> Result<Vec<usize>, DatasetError> {
    let table = columns.table;
    if !table.has(label) {
        return match optics.groups.len() {
            1 => Ok(vec![0; table.len()]),
            n => Err(DatasetError::about(
                Code::OPTICS_GROUPS,
                columns.path,
                format!(
                    "there are {n} optics groups, but table data_{} has no column rlnOpticsGroup that says which \
                     particle belongs to which; add it",
                    table.name()
                ),
            )),
        };
    }
    let numbers = table.integer_column(label)?;
    let index = |(row, number): (usize, i64)| {
        optics.index.get(&number).copied().ok_or_else(|| {
            let message = format!(
                "optics group {number} is not in the optics table, which has {}; add it there, or correct the number",
                known(&optics.index)
            );
            columns.blame(Code::OPTICS_GROUPS, row, label, &message)
        })
    };
    numbers.into_iter().enumerate().map(index).collect()
}

/// Returns the numbers of groups, in words.
fn known(groups: &HashMap<i64, usize>) -> String {
    let mut numbers: Vec<i64> = groups.keys().copied().collect();
    numbers.sort_unstable();
    let words: Vec<String> = numbers.iter().map(i64::to_string).collect();
    words.join(", ")
}

/// Returns the half-set of each row: 1 or 2 for all, or 0 for all.
fn halves(columns: &Columns, label: &str) -> Result<Vec<u8>, DatasetError> {
    let numbers = columns.integers(label, 0)?;
    if let Some(row) = numbers.iter().position(|&n| n > 2) {
        let message = format!(
            "the half-set is {}; it must be 1 or 2. Correct it, or remove the column to have half-sets drawn",
            numbers[row]
        );
        return Err(columns.blame(Code::HALF_SETS, row, label, &message));
    }
    let assigned = numbers.iter().filter(|&&n| n > 0).count();
    if assigned > 0
        && let Some(row) = numbers.iter().position(|&n| n == 0)
    {
        let message = format!(
            "this particle has no half-set (0), but {assigned} others have one; assign all, or remove the column"
        );
        return Err(columns.blame(Code::HALF_SETS, row, label, &message));
    }
    Ok(numbers.into_iter().map(|n| n as u8).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::ParticleSet;

    /// Every column that is written is read back into the same field: a new one is an entry of the list, and a field.
    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let (input, output) = (
            folder.path().join("in.star"),
            folder.path().join("out.star"),
        );
        let text = "data_optics\nloop_\n_rlnOpticsGroup\n_rlnImagePixelSize\n_rlnImageSize\n1 1.0 2\n\n\
                    data_particles\nloop_\n_rlnImageName\n_rlnMicrographName\n1@a.mrcs m1\n2@a.mrcs m2\n";
        std::fs::write(&input, text).unwrap();
        let mut set = ParticleSet::read(&input, &ReadOptions::default()).unwrap();
        for (index, particle) in set.particles.iter_mut().enumerate() {
            let number = index as f64 + 1.0;
            particle.half = index as u8 + 1;
            (particle.rot, particle.tilt, particle.psi) = (number, 10.0 * number, -number);
            particle.origin = [0.5 * number, 0.25 * number];
            particle.class = index + 3;
            particle.norm = 0.5 + number;
            (particle.log_likelihood, particle.max_probability) = (100.0 * number, 0.125 * number);
            particle.significant_samples = 7 + index;
        }
        set.write(&output, true, true).unwrap();
        let found = ParticleSet::read(&output, &ReadOptions::default()).unwrap();
        for column in COLUMNS.iter().filter(|column| column.added != Added::Never) {
            for (written, read) in set.particles.iter().zip(&found.particles) {
                match column.written.expect("an added column is written") {
                    Written::Real(of) => assert_eq!(of(read), of(written), "{}", column.label),
                    Written::Integer(of) => assert_eq!(of(read), of(written), "{}", column.label),
                }
            }
        }
    }
}
