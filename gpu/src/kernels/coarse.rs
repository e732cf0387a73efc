//! convert, first pass: products → ln W of every coarse sample, significance, the list of significant samples
//! (spec 01 §6).
//!
//! `cross[o · images · shifts + i · shifts + t]` and `norm[o · images + i]` are the two matrix products; ln W is formed
//! from them whenever it is needed, so that no third array of that size exists. All of them are read once, for the largest
//! ln W of every orientation. Afterwards only those orientations are looked at again whose largest is near enough to
//! the largest of all: most have no weight at all.

use cuda_std::prelude::*;
use cuda_std::shared::Shared;

#[cfg(not(target_arch = "nvptx64"))]
pub use super::coarse_samples::LogsViews;
use super::coarse_samples::{CoarseSamples, Logs};
use super::significance::Samples;
use super::{block, significance};
use crate::samples::{Sample, Selection};
use crate::shapes::{
    BOUNDS_TILE, BOUNDS_WORDS, COARSE_BLOCK, COARSE_LIST_WORDS, COARSE_SELECT_WORDS,
    ONE_VALUE_WORDS, SELECT_WORDS,
};
#[cfg(not(target_arch = "nvptx64"))]
use cuda_std::launch::View;

/// Threads that go through the shifts of an image at an orientation together: they read neighbouring values.
const SHIFT_THREADS: u32 = 8;

/// Finds the largest ln W over the shifts of each orientation: `bounds[i · orientations + o]`; −∞ where it is not finite.
///
/// Grid: tiles of images × orientations, which leave in rows of the other order than they come; shared memory:
/// `BOUNDS_WORDS` words.
#[kernel(block = 256, grid = [logs.images.div_ceil(BOUNDS_TILE), logs.orientations.div_ceil(BOUNDS_TILE), 1], shared = BOUNDS_WORDS, emulate = OneWarp)]
pub unsafe fn coarse_bounds(
    #[group] logs: Logs,
    #[len(logs.images * logs.orientations)] bounds: *mut f32,
) {
    // SAFETY: the host passes tables of the sizes that the documentation asks for; samples are counted below
    // orientations · shifts.
    unsafe {
        let tile = Shared::dynamic(0);
        let (threads, rank) = (thread::block_dim_x(), thread::thread_idx_x());
        let (orientations, images, shifts) = (logs.orientations, logs.images, logs.shifts);
        let first_image = BOUNDS_TILE * thread::block_idx_x();
        let first_orientation = BOUNDS_TILE * thread::block_idx_y();
        let here = BOUNDS_TILE.min(orientations - first_orientation);
        let mut i = rank / SHIFT_THREADS;
        while i < BOUNDS_TILE {
            // Threads without an image of their own take part in the shuffles.
            let own = logs.of_image((first_image + i).min(images - 1));
            for o in 0..here {
                let mut largest = f32::NEG_INFINITY;
                let mut t = rank % SHIFT_THREADS;
                while t < shifts {
                    // `max` drops NaN: a sample that is not a number has no weight.
                    largest = largest.max(own.log(first_orientation + o, t));
                    t += SHIFT_THREADS;
                }
                let mut mask = SHIFT_THREADS / 2;
                while mask > 0 {
                    largest = largest.max(warp::shuffle_xor(largest, mask));
                    mask /= 2;
                }
                if rank % SHIFT_THREADS == 0 {
                    tile.store(i * (BOUNDS_TILE + 1) + o, largest);
                }
            }
            i += threads / SHIFT_THREADS;
        }
        thread::sync_threads();
        let mut at = rank;
        while at < BOUNDS_TILE * BOUNDS_TILE {
            let (i, o) = (at / BOUNDS_TILE, at % BOUNDS_TILE);
            if first_image + i < images && o < here {
                let row = (first_image + i) as usize * orientations as usize;
                *bounds.add(row + (first_orientation + o) as usize) =
                    tile.load(i * (BOUNDS_TILE + 1) + o);
            }
            at += threads;
        }
    }
}

/// Selects the significant coarse samples of each image.
///
/// Arguments as [`coarse_bounds`], whose result is `bounds`. In cross-correlations samples within the share `fraction` of
/// the best one are kept. Grid: x = images; shared memory: `COARSE_SELECT_WORDS` words.
#[kernel(block = COARSE_BLOCK, grid = [logs.images, 1, 1], shared = COARSE_SELECT_WORDS, emulate = OneWarp)]
pub unsafe fn coarse_select(
    #[group] logs: Logs,
    #[len(logs.images * logs.orientations)] bounds: *const f32,
    fraction: f32,
    limit: u32,
    #[len(logs.images)] out: *mut Selection,
    #[len(logs.images)] kept: *mut u32,
) {
    // SAFETY: the host passes tables of the sizes that the documentation asks for; samples are counted below
    // orientations · shifts.
    unsafe {
        let image = thread::block_idx_x();
        let scratch = Shared::dynamic(0);
        let samples = CoarseSamples {
            logs: logs.of_image(image),
            orientations: logs.orientations,
            bounds: bounds.add(image as usize * logs.orientations as usize),
            scratch,
            near: Shared::dynamic(SELECT_WORDS),
        };
        let largest = samples.largest();
        let found = if samples.logs.power > 0.0 {
            significance::near_best(&samples, largest, fraction, scratch)
        } else {
            significance::select(&samples, largest, fraction, limit, scratch)
        };
        if thread::thread_idx_x() == 0 {
            *out.add(image as usize) = found;
            *kept.add(image as usize) = found.kept;
        }
    }
}

/// Writes the significant samples of each image, in order of orientation and shift, from `first[image]` on; those that
/// would be beyond `capacity` elements are left out.
///
/// Arguments as [`coarse_select`], whose `out` is `selections`. Grid: x = images; shared memory: `COARSE_LIST_WORDS` words.
#[kernel(block = COARSE_BLOCK, grid = [logs.images, 1, 1], shared = COARSE_LIST_WORDS, emulate = OneWarp)]
pub unsafe fn coarse_list(
    #[group] logs: Logs,
    #[len(logs.images * logs.orientations)] bounds: *const f32,
    #[len(logs.images)] selections: *const Selection,
    #[len(logs.images)] first: *const u32,
    capacity: u32,
    #[len(capacity)] out: *mut Sample,
) {
    // SAFETY: the host passes tables of the sizes that the documentation asks for; samples are counted below
    // orientations · shifts.
    unsafe {
        let image = thread::block_idx_x();
        let selection = *selections.add(image as usize);
        let scratch = Shared::dynamic(0);
        let samples = CoarseSamples {
            logs: logs.of_image(image),
            orientations: if selection.kept > 0 {
                logs.orientations
            } else {
                0
            },
            bounds: bounds.add(image as usize * logs.orientations as usize),
            scratch,
            near: Shared::dynamic(ONE_VALUE_WORDS),
        };
        let mut next = *first.add(image as usize);
        samples.visit(
            selection.max_log,
            selection.cutoff,
            |there, (orientation, shift), log| {
                let keep = there && selection.keeps(log);
                let (rank, all) = block::rank_among(keep, scratch);
                if keep && next + rank < capacity {
                    *out.add((next + rank) as usize) = Sample {
                        image,
                        orientation,
                        shift,
                        log_prior: samples.logs.prior(orientation, shift),
                    };
                }
                next += all;
            },
        );
    }
}

#[cfg(not(target_arch = "nvptx64"))]
impl CoarseBounds {
    /// The selection from the same samples, by their bounds.
    pub fn select(
        &self,
        fraction: f32,
        limit: u32,
        (out, kept): (View<Selection>, View<u32>),
    ) -> CoarseSelect {
        CoarseSelect {
            logs: self.logs,
            bounds: self.bounds,
            fraction,
            limit,
            out,
            kept,
        }
    }

    /// The list of what was selected.
    pub fn list(
        &self,
        selections: View<Selection>,
        first: View<u32>,
        (out, capacity): (View<Sample>, u32),
    ) -> CoarseList {
        CoarseList {
            logs: self.logs,
            bounds: self.bounds,
            selections,
            first,
            capacity,
            out,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::test_data;
    use crate::shapes::ALL_CLASSES;
    use cuda_std::launch::emulate;

    #[test]
    fn significant_samples_are_listed_in_order() {
        let (orientations, images, shifts) = (40usize, 3usize, 5usize);
        let mut cross = test_data::values(orientations * images * shifts, 1);
        cross.iter_mut().for_each(|v| *v *= 8.0);
        let mut norm = test_data::values(orientations * images, 2);
        let mut log_prior = test_data::values(orientations, 3);
        let mut class_of: Vec<u32> = (0..orientations as u32).map(|o| o / 20).collect();
        // Class averages have offset priors of their own.
        let mut offset_prior = test_data::values(images * 2 * shifts, 4);
        // The second image visits class 1 only.
        let mut visited = vec![ALL_CLASSES, 1, ALL_CLASSES];
        let mut selections = vec![Selection::default(); images];
        let mut kept = vec![0u32; images];
        let (c, n, l) = (
            View::of(&mut cross),
            View::of(&mut norm),
            View::of(&mut log_prior),
        );
        let (k, f, v) = (
            View::of(&mut class_of),
            View::of(&mut offset_prior),
            View::of(&mut visited),
        );
        let (s, m) = (View::of(&mut selections), View::of(&mut kept));
        let mut bounds = vec![f32::NAN; images * orientations];
        let bounds = CoarseBounds {
            logs: LogsViews {
                cross: c,
                norm: n,
                log_prior: l,
                class_of: k,
                offset_log_prior: f,
                offset_lists: 2,
                visited: v,
                powers: View::null(),
                orientations: orientations as u32,
                images: images as u32,
                shifts: shifts as u32,
            },
            bounds: View::of(&mut bounds),
        };
        // SAFETY: array sizes as the kernel demands.
        unsafe {
            emulate(&bounds);
            emulate(&bounds.select(0.9, u32::MAX, (s, m)));
        }
        let mut first: Vec<u32> = (0..images).map(|i| kept[..i].iter().sum()).collect();
        let mut out = vec![Sample::default(); kept.iter().sum::<u32>() as usize];
        let p = View::of(&mut first);
        let list = |out: &mut [Sample]| {
            let (capacity, o) = (out.len() as u32, View::of(out));
            // SAFETY: array sizes as the kernel demands.
            unsafe { emulate(&bounds.list(s, p, (o, capacity))) };
        };
        list(&mut out);
        // Samples beyond the end of a list too short are left out.
        let mut short = vec![Sample::default(); out.len() / 2];
        list(&mut short);
        assert_eq!(short, out[..out.len() / 2]);
        let mut expected = Vec::new();
        for i in 0..images {
            let mut all = Vec::new();
            for o in 0..orientations {
                for t in 0..shifts {
                    if visited[i] == ALL_CLASSES || visited[i] == class_of[o] {
                        let d = norm[o * images + i] - cross[(o * images + i) * shifts + t];
                        let list = 2 * i + class_of[o] as usize;
                        let prior = log_prior[o] + offset_prior[list * shifts + t];
                        all.push((prior - d, prior, o as u32, t as u32));
                    }
                }
            }
            let mut sorted: Vec<f32> = all.iter().map(|a| a.0).collect();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let sum: f64 = sorted.iter().map(|l| f64::from(l - sorted[0]).exp()).sum();
            let mut at = 0.0;
            let last = sorted
                .iter()
                .position(|l| {
                    at += f64::from(l - sorted[0]).exp();
                    at > 0.9f32 as f64 * sum
                })
                .unwrap();
            expected.extend(all.iter().filter(|a| a.0 >= sorted[last]).map(
                |&(_, log_prior, orientation, shift)| Sample {
                    image: i as u32,
                    orientation,
                    shift,
                    log_prior,
                },
            ));
        }
        assert_eq!(out, expected);
    }
}
