//! Reproducible subsets of particle files.

use crate::errors::{Code, wrapping_error};
use crate::formats::star::{Document, StarError, Table};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use std::collections::BTreeSet;

wrapping_error! {
    /// Error of choosing a subset.
    pub enum SubsetError {
        /// STAR file.
        Star(StarError),
    }
}

/// Unit that is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Single particles.
    Particle,
    /// Whole micrographs, until at least the wanted number of particles is reached; keeps intensity-scale groups whole.
    Micrograph,
}

/// Rows of `n` particles drawn with `seed`, in the order of the table. The same table, `n`, `seed` and unit give the
/// same rows on every machine; a larger `n` contains the smaller one's rows.
pub fn choose(table: &Table, n: usize, seed: u64, unit: Unit) -> Result<Vec<usize>, SubsetError> {
    if n == 0 || n > table.len() {
        return Err(Code::BAD_VALUE.says(format!(
            "a subset of {n} particles was asked for, but the particle file holds {}; choose --n between 1 and that",
            table.len()
        )).into());
    }
    let mut random = Pcg64::seed_from_u64(seed);
    let mut rows = Vec::with_capacity(n);
    match unit {
        Unit::Particle => {
            let mut all: Vec<usize> = (0..table.len()).collect();
            all.shuffle(&mut random);
            rows.extend_from_slice(&all[..n]);
        }
        Unit::Micrograph => {
            let names: Vec<&str> = (0..table.len())
                .map(|row| table.text(row, "rlnMicrographName"))
                .collect::<Result<_, _>>()?;
            let mut micrographs: Vec<&str> = names
                .iter()
                .copied()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect();
            micrographs.shuffle(&mut random);
            for micrograph in micrographs {
                if rows.len() >= n {
                    break;
                }
                rows.extend((0..names.len()).filter(|&row| names[row] == micrograph));
            }
        }
    }
    rows.sort_unstable();
    Ok(rows)
}

/// The document with only these rows of its particle table (the one that holds `rlnImageName`); everything else,
/// unknown columns included, is kept.
pub fn take(document: &Document, rows: &[usize]) -> Result<Document, SubsetError> {
    let mut subset = document.clone();
    let table = particle_table_index(document)?;
    subset.tables[table].reorder(rows);
    Ok(subset)
}

/// The table with the particles of a file of any RELION version.
pub fn particle_table(document: &Document) -> Result<&Table, SubsetError> {
    Ok(&document.tables[particle_table_index(document)?])
}

fn particle_table_index(document: &Document) -> Result<usize, SubsetError> {
    document
        .tables
        .iter()
        .position(|t| t.has("rlnImageName"))
        .ok_or_else(|| {
            let path = document.path().unwrap_or_default();
            let text = "no table of it has the column rlnImageName, so it is no particle file; give a particle STAR file";
            Code::PARTICLE_FILE
                .says(text)
                .about(path.display())
                .into()
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::star::Value;

    fn document(n: usize) -> Document {
        let mut optics = Table::new_loop("optics", &["rlnOpticsGroup"]);
        optics.push_row(vec![1usize.into()]);
        let mut particles = Table::new_loop(
            "particles",
            &["rlnImageName", "rlnMicrographName", "myColumn"],
        );
        for i in 0..n {
            particles.push_row(vec![
                format!("{}@a.mrcs", i + 1).into(),
                format!("mic{}.mrc", i / 10).into(),
                Value::Integer(i as i64),
            ]);
        }
        Document {
            tables: vec![optics, particles],
            ..Document::default()
        }
    }

    #[test]
    fn subsets_are_reproducible_nested_and_in_file_order() {
        let document = document(100);
        let table = particle_table(&document).unwrap();
        let rows = |n, seed| choose(table, n, seed, Unit::Particle).unwrap();
        assert_eq!(rows(20, 7), rows(20, 7));
        assert_ne!(rows(20, 7), rows(20, 8));
        assert!(rows(20, 7).is_sorted());
        assert!(rows(20, 7).iter().all(|r| rows(50, 7).contains(r)));
        assert_eq!(rows(100, 7), (0..100).collect::<Vec<_>>());
        assert!(choose(table, 101, 1, Unit::Particle).is_err());
    }

    #[test]
    fn whole_micrographs_are_kept_together() {
        let document = document(100);
        let rows = choose(particle_table(&document).unwrap(), 25, 3, Unit::Micrograph).unwrap();
        assert_eq!(rows.len(), 30);
        assert!(rows.chunks(10).all(|c| c[9] - c[0] == 9 && c[0] % 10 == 0));
    }

    #[test]
    fn other_tables_and_columns_are_kept() {
        let subset = take(&document(12), &[3, 7]).unwrap();
        assert_eq!(subset.tables[0].len(), 1);
        let table = particle_table(&subset).unwrap();
        assert_eq!(table.len(), 2);
        assert_eq!(table.text(1, "rlnImageName").unwrap(), "8@a.mrcs");
        assert_eq!(table.integer(1, "myColumn").unwrap(), 7);
    }
}
