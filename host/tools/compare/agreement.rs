//! How far two divisions of the same particles into classes agree.

use super::CompareError;
use crate::errors::Code;
use crate::formats::star::{Document, Table};
use crate::tools::simulate::VIEW;
use std::collections::HashMap;
use std::hash::Hash;
use std::path::Path;

/// Classes of particles by their image names; particles without a class (0) are left out.
pub(super) type Classes = HashMap<String, i64>;

/// Takes the classes from a `particles` table.
pub(super) fn classes(table: &Table) -> Result<Classes, CompareError> {
    let mut found = HashMap::with_capacity(table.len());
    for row in 0..table.len() {
        let class = table.integer(row, "rlnClassNumber")?;
        if class > 0 {
            found.insert(table.text(row, "rlnImageName")?.to_owned(), class);
        }
    }
    Ok(found)
}

/// Takes the true classes from the truth of a simulation: conformation, and preferred view where the set has such.
pub(super) fn truth(path: &Path) -> Result<HashMap<String, (i64, i64)>, CompareError> {
    let document = Document::read(path)?;
    let table = document.require("particles")?;
    let mut found = HashMap::with_capacity(table.len());
    for row in 0..table.len() {
        let view = match table.has(VIEW) {
            true => table.integer(row, VIEW)?,
            false => 0,
        };
        let class = (table.integer(row, "rlnClassNumber")?, view);
        found.insert(table.text(row, "rlnImageName")?.to_owned(), class);
    }
    Ok(found)
}

/// Agreement of two divisions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Particles with a class in both.
    pub common: usize,
    /// Share of the particles that belong to the most frequent other class of their class: 1 where every class of the division holds
    /// particles of one class of the other only.
    pub purity: f64,
    /// Rand index adjusted for chance: 1 for the same division, near 0 for unrelated ones.
    pub rand_index: f64,
}

/// Compares the division `ours` with another one.
///
/// # Errors
/// The divisions have no particle in common.
pub(super) fn agreement<T: Eq + Hash + Copy>(
    other: &HashMap<String, T>,
    ours: &Classes,
) -> Result<Agreement, CompareError> {
    let mut cells: HashMap<(T, i64), usize> = HashMap::new();
    for (name, class) in ours {
        if let Some(of) = other.get(name) {
            *cells.entry((*of, *class)).or_default() += 1;
        }
    }
    let common: usize = cells.values().sum();
    if common == 0 {
        let text = "the particle files have no image name with a class in common; compare files of the same particles";
        return Err(Code::RUNS_DIFFER.says(text).into());
    }
    let (mut rows, mut columns) = (HashMap::new(), HashMap::new());
    let mut largest: HashMap<i64, usize> = HashMap::new();
    for ((of, class), count) in &cells {
        *rows.entry(*of).or_insert(0) += count;
        *columns.entry(*class).or_insert(0) += count;
        let most = largest.entry(*class).or_default();
        *most = (*most).max(*count);
    }
    let pairs = |n: &usize| *n as f64 * (*n as f64 - 1.0) / 2.0;
    let together: f64 = cells.values().map(pairs).sum();
    let of_rows: f64 = rows.values().map(pairs).sum();
    let of_columns: f64 = columns.values().map(pairs).sum();
    let expected = of_rows * of_columns / pairs(&common).max(1.0);
    let most = (of_rows + of_columns) / 2.0;
    Ok(Agreement {
        common,
        purity: largest.values().sum::<usize>() as f64 / common as f64,
        rand_index: match most - expected {
            0.0 => 1.0,
            span => (together - expected) / span,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn division(classes: &[i64]) -> Classes {
        let named = classes.iter().enumerate().map(|(i, k)| (i.to_string(), *k));
        named.collect()
    }

    #[test]
    fn divisions_agree_whatever_the_numbers() {
        let a = division(&[1, 1, 2, 2, 3, 3]);
        let same = agreement(&a, &division(&[7, 7, 1, 1, 2, 2])).unwrap();
        assert_eq!((same.common, same.purity, same.rand_index), (6, 1.0, 1.0));
        // A finer division is pure, and not the same.
        let finer = agreement(&a, &division(&[1, 2, 3, 4, 5, 6])).unwrap();
        assert_eq!(finer.purity, 1.0);
        assert!(finer.rand_index.abs() < 1e-12, "{finer:?}");
        let one = agreement(&a, &division(&[1; 6])).unwrap();
        assert!((one.purity - 1.0 / 3.0).abs() < 1e-12 && one.rand_index.abs() < 1e-12);
    }

    /// The example of Hubert and Arabie's index: counts (5, 1, 2), (1, 4, 0), (0, 1, 3) for 17 items.
    #[test]
    fn the_index_is_that_of_the_textbook() {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for (i, row) in [[5, 1, 2], [1, 4, 0], [0, 1, 3]].iter().enumerate() {
            for (j, count) in row.iter().enumerate() {
                a.extend(vec![i as i64 + 1; *count]);
                b.extend(vec![j as i64 + 1; *count]);
            }
        }
        let found = agreement(&division(&a), &division(&b)).unwrap();
        assert!((found.purity - 12.0 / 17.0).abs() < 1e-12);
        // Σ cells 20, rows 44, columns 40, pairs 136 → expected 12.94.
        let expected = 44.0 * 40.0 / 136.0;
        let index = (20.0 - expected) / (42.0 - expected);
        assert!((found.rand_index - index).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn nothing_in_common_is_an_error() {
        let other: Classes = HashMap::from([("x".to_owned(), 1)]);
        assert!(agreement(&other, &division(&[1])).is_err());
    }
}
