//! The largest classes in some of the iterations, side by side.

use super::averages;
use super::files::SetName;
use super::history::Set;
use crate::formats::volume::read_map;
use ndarray::Array2;

/// Iterations that are shown at most, the first and the last among them.
const MOST_SETS: usize = 8;

/// Classes that are shown at most.
const MOST_CLASSES: usize = 12;

/// Images of classes in some iterations.
#[derive(Debug)]
pub(crate) struct Film {
    /// The iterations.
    pub sets: Vec<SetName>,
    /// Class (from 0), and its images in these iterations: averages, or projections along z. None where there is none.
    pub rows: Vec<(usize, Vec<Option<Array2<f32>>>)>,
}

impl Film {
    /// Reads the images of iterations that have them; None where fewer than two have.
    pub(crate) fn read(prefix: &str, sets: &[Set]) -> Option<Self> {
        let last = &sets.last()?.model;
        let tail = |k: usize| match last.is_2d {
            true => "_classes.mrcs".to_owned(),
            false => format!("_class{:03}.mrc", k + 1),
        };
        let known: Vec<&Set> = sets
            .iter()
            .filter(|set| set.name.existing(prefix, &tail(0)).is_some())
            .collect();
        if known.len() < 2 {
            return None;
        }
        let shown: Vec<SetName> = spread(known.len(), MOST_SETS)
            .map(|i| known[i].name)
            .collect();
        let mut classes = last.by_occupancy();
        classes.truncate(MOST_CLASSES);
        let image = |name: SetName, k: usize| {
            let path = name.existing(prefix, &tail(k))?;
            // What cannot be read is told of by the other sections, or is of an earlier iteration and no loss.
            match last.is_2d {
                true => averages::thumbnail(&path, k).ok()?,
                false => Some(averages::projection(&read_map(&path).ok()?.data)),
            }
        };
        Some(Self {
            rows: classes
                .into_iter()
                .map(|k| (k, shown.iter().map(|name| image(*name, k)).collect()))
                .collect(),
            sets: shown,
        })
    }
}

/// Returns at most `most` of the numbers below `count`, evenly spread, the first and the last among them.
pub(super) fn spread(count: usize, most: usize) -> impl Iterator<Item = usize> {
    let shown = count.min(most);
    (0..shown).map(move |i| match shown {
        1 => 0,
        _ => (i * (count - 1) + (shown - 1) / 2) / (shown - 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iterations_are_spread_evenly() {
        assert_eq!(spread(3, 8).collect::<Vec<_>>(), [0, 1, 2]);
        let of_21: Vec<usize> = spread(21, 8).collect();
        assert_eq!(of_21, [0, 3, 6, 9, 11, 14, 17, 20]);
    }
}
