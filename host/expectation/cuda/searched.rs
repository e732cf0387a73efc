//! Orientations of a batch's particles in local searches: all of them, each once, and which of them a particle has.

use super::super::orientations::{OrientationList, classes_of, local_list};
use super::super::priors::{mean_prior, relative_log_priors};
use super::super::{BatchItem, IterationInput};
use super::ranked_set::{Marks, RankedSet};
use gpu::samples::OwnOrientation;
use rayon::prelude::*;

/// Orientations of a batch. Their rows are in order of class, direction and psi.
pub(super) struct SearchedOrientations {
    /// Classes and orientations of each particle.
    of_image: Vec<(Vec<usize>, OrientationList)>,
    /// class · directions + direction of those that have a row.
    directions: RankedSet,
    /// rank of the direction · n_psi + psi of each row.
    rows: RankedSet,
    /// (class, direction · n_psi + psi) of each row.
    index: Vec<(u32, u32)>,
}

impl SearchedOrientations {
    /// Lists the orientations of `items`.
    pub(super) fn of(input: &IterationInput, items: &[&BatchItem]) -> Self {
        let of_item = |item: &&BatchItem| {
            let classes = classes_of(input, item.position);
            (classes, local_list(input, item.particle))
        };
        let of_image: Vec<_> = items.par_iter().map(of_item).collect();
        let grid = Grid::of(input);
        let directions = Marks::below(input.model.classes.len() * grid.directions);
        of_image.par_iter().for_each(|(classes, list)| {
            for &class in classes {
                for &o in &list.index {
                    directions.add(grid.direction(class, o));
                }
            }
        });
        let directions = directions.ranked();
        let rows = Marks::below(directions.len() * grid.n_psi);
        of_image.par_iter().for_each(|(classes, list)| {
            for &class in classes {
                for &o in &list.index {
                    rows.add(grid.place(&directions, class, o));
                }
            }
        });
        let rows = rows.ranked();
        let begins = directions.map(|place| {
            let (class, direction) = (place / grid.directions, place % grid.directions);
            (class as u32, direction * grid.n_psi)
        });
        let index = rows.map(|place| {
            let (class, first) = begins[place / grid.n_psi];
            (class, (first + place % grid.n_psi) as u32)
        });
        Self {
            of_image,
            directions,
            rows,
            index,
        }
    }

    /// Takes out (class, direction · n_psi + psi) of each row.
    pub(super) fn take_index(&mut self) -> Vec<(u32, u32)> {
        std::mem::take(&mut self.index)
    }

    /// Returns how many orientations each particle has, in all its classes.
    pub(super) fn counts(&self) -> Vec<usize> {
        let counts = self.of_image.iter();
        counts
            .map(|(classes, list)| classes.len() * list.index.len())
            .collect()
    }

    /// Writes the orientations of particle `image` of the batch to `out`, class after class.
    pub(super) fn write(&self, input: &IterationInput, image: usize, out: &mut [OwnOrientation]) {
        let (classes, list) = &self.of_image[image];
        let grid = Grid::of(input);
        // All classes have the same list, so the mean over classes is that of one.
        let log_priors = relative_log_priors(input, list, mean_prior([list]));
        let of_classes = out.chunks_exact_mut(list.index.len().max(1));
        for ((place, &class), out) in classes.iter().enumerate().zip(of_classes) {
            for ((out, &o), &log_prior) in out.iter_mut().zip(&list.index).zip(&log_priors) {
                *out = OwnOrientation {
                    image: image as u32,
                    row: self.rows.rank(grid.place(&self.directions, class, o)),
                    place: place as u32,
                    log_prior: log_prior as f32,
                };
            }
        }
    }
}

/// Numbers of directions and psi angles of the sampling.
struct Grid {
    directions: usize,
    n_psi: usize,
}

impl Grid {
    fn of(input: &IterationInput) -> Self {
        Self {
            directions: input.sampling.directions.len(),
            n_psi: input.sampling.n_psi(),
        }
    }

    /// Returns class · directions + direction of an orientation.
    fn direction(&self, class: usize, orientation: u32) -> usize {
        class * self.directions + orientation as usize / self.n_psi
    }

    /// Returns rank of the direction among `directions` · n_psi + psi of an orientation.
    fn place(&self, directions: &RankedSet, class: usize, orientation: u32) -> usize {
        let rank = directions.rank(self.direction(class, orientation)) as usize;
        rank * self.n_psi + orientation as usize % self.n_psi
    }
}
