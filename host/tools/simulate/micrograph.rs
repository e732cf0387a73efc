//! Defocus of the simulated micrographs: drawn from a range, or rows of a table.

use super::SimulationError;
use crate::errors::Code;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};
use std::path::Path;

/// Defocus of a micrograph or of a particle on it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Defocus {
    /// Å, positive = underfocus.
    pub u: f64,
    /// Å.
    pub v: f64,
    /// Degrees.
    pub angle: f64,
}

/// Where micrographs get their defocus from.
#[derive(Debug, Clone, PartialEq)]
pub enum DefocusSource {
    /// Uniform between two values (Å), with 300 Å of astigmatism at a random angle.
    Range(f64, f64),
    /// One of these rows, drawn at random.
    Table(Vec<Defocus>),
}

impl DefocusSource {
    /// Returns what is wrong with a range, in words.
    pub fn fault(&self) -> Option<String> {
        match self {
            Self::Range(low, high) if low > high => Some(format!(
                "the range of the defocus goes from {low} to {high} Å: give the smaller number first (--defocus MIN MAX)"
            )),
            _ => None,
        }
    }

    /// Read a CSV table: a header line, then `defocus_u,defocus_v,angle[,…]` in Å and degrees, one row a micrograph.
    pub fn read_table(path: &Path) -> Result<Self, SimulationError> {
        let fail =
            |code: Code, message: String| code.says(format!("{}: {message}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|e| {
            fail(
                Code::of_reading(&e),
                format!("the CTF table cannot be read: {e}"),
            )
        })?;
        let mut rows = Vec::new();
        for (number, line) in text.lines().enumerate().skip(1) {
            if line.trim().is_empty() {
                continue;
            }
            let values: Vec<f64> = line
                .split(',')
                .take(3)
                .map_while(|v| v.trim().parse().ok())
                .filter(|v: &f64| v.is_finite())
                .collect();
            let &[u, v, angle] = values.as_slice() else {
                return Err(fail(
                    Code::CTF_PARAMETERS,
                    format!(
                        "line {}: expected defocus_u,defocus_v,angle (Å, Å, degrees), found '{line}'",
                        number + 1
                    ),
                )
                .into());
            };
            rows.push(Defocus { u, v, angle });
        }
        if rows.is_empty() {
            return Err(fail(
                Code::CTF_PARAMETERS,
                "the CTF table has no rows after its header line; give one row for each micrograph"
                    .into(),
            )
            .into());
        }
        Ok(Self::Table(rows))
    }

    /// Defocus of a new micrograph.
    pub fn draw(&self, random: &mut impl Rng) -> Defocus {
        match self {
            Self::Range(low, high) => {
                let mean = low + (high - low) * random.random::<f64>();
                Defocus {
                    u: mean + 150.0,
                    v: mean - 150.0,
                    angle: 180.0 * random.random::<f64>(),
                }
            }
            Self::Table(rows) => rows[random.random_range(0..rows.len())],
        }
    }
}

impl Defocus {
    /// Defocus of a particle on this micrograph: both values jitter by 30 Å (its height in the ice).
    pub fn of_particle(self, random: &mut impl Rng) -> Self {
        let mut jitter = || -> f64 { 30.0 * Distribution::<f64>::sample(&StandardNormal, random) };
        Self {
            u: self.u + jitter(),
            v: self.v + jitter(),
            angle: self.angle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_pcg::Pcg64;
    use std::io::Write;

    fn table(text: &str) -> Result<DefocusSource, SimulationError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        DefocusSource::read_table(file.path())
    }

    #[test]
    fn table_rows_are_read_and_drawn() {
        let source =
            table("defocus_u,defocus_v,angle,name\n15000,14000,30,a\n\n20000, 19500, 12.5\n")
                .unwrap();
        let DefocusSource::Table(rows) = &source else {
            panic!("a table was read")
        };
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1].angle, 12.5);
        let mut random = Pcg64::seed_from_u64(1);
        assert!(rows.contains(&source.draw(&mut random)));
    }

    #[test]
    fn broken_tables_name_the_line() {
        let text = table("u,v,a\n15000,x,30\n").unwrap_err().to_string();
        assert!(text.contains("line 2"), "{text}");
        assert!(table("u,v,a\n").is_err());
    }

    #[test]
    fn range_is_respected() {
        let mut random = Pcg64::seed_from_u64(2);
        for _ in 0..100 {
            let d = DefocusSource::Range(10000.0, 30000.0).draw(&mut random);
            let mean = 0.5 * (d.u + d.v);
            assert!((10000.0..30000.0).contains(&mean) && (d.u - d.v - 300.0).abs() < 1e-9);
            assert_eq!(d.of_particle(&mut random).angle, d.angle);
        }
    }
}
