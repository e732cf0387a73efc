//! convert, second pass: differences of the children → weights, the best sample, and which samples are kept
//! (spec 01 §6).

use crate::shapes::{ONE_VALUE_WORDS, SEARCH_LIST, SELECT_WORDS};
use cuda_std::prelude::*;
use cuda_std::shared::Shared;

use super::significance::Samples;
use super::{block, significance};
use crate::samples::{Alignment, Sample, Selection};

/// Children of an image above which the search goes through them without barriers at first.
const MANY: u32 = 8 * SEARCH_LIST;
/// Children of which a thread reads the values before it goes on to compute, so that it waits for all of them at once.
const READ_AHEAD: u32 = 4;

/// The children of the samples of one image.
struct Children {
    /// Samples of the image.
    samples: *const Sample,
    /// Differences of their children.
    values: *const f32,
    /// Children of a sample.
    per_sample: u32,
    /// All children.
    count: u32,
    /// Cross-correlation: priors do not count.
    best_only: bool,
}

impl Children {
    /// ln W of child `j`.
    ///
    /// # Safety
    /// The child exists.
    #[inline(always)]
    unsafe fn log(&self, j: u32) -> f32 {
        // SAFETY: the caller's child.
        unsafe {
            let prior = if self.best_only {
                0.0
            } else {
                (*self.samples.add((j / self.per_sample) as usize)).log_prior
            };
            prior - *self.values.add(j as usize)
        }
    }

    /// Calls `visit(j, ln W)` for the children that fall to this thread, in order.
    ///
    /// # Safety
    /// The children exist.
    #[inline(always)]
    unsafe fn own(&self, mut visit: impl FnMut(u32, f32)) {
        let stride = thread::block_dim_x();
        let mut j = thread::thread_idx_x();
        // SAFETY: below the number of children.
        unsafe {
            while j + (READ_AHEAD - 1) * stride < self.count {
                let (first, second) = (self.log(j), self.log(j + stride));
                let (third, fourth) = (self.log(j + 2 * stride), self.log(j + 3 * stride));
                visit(j, first);
                visit(j + stride, second);
                visit(j + 2 * stride, third);
                visit(j + 3 * stride, fourth);
                j += READ_AHEAD * stride;
            }
            while j < self.count {
                visit(j, self.log(j));
                j += stride;
            }
        }
    }

    /// The largest ln W, and the first place of a child that has it; all threads get the answer. `order` gives the place of a
    /// child.
    ///
    /// # Safety
    /// All threads of the block take part; nobody else uses `best` and `scratch`.
    #[inline(always)]
    unsafe fn best(
        &self,
        order: &impl Fn(u32) -> u64,
        best: *mut u64,
        scratch: Shared,
    ) -> (f32, u64) {
        // SAFETY: children up to the count exist; the loop's end is the same for all threads.
        unsafe {
            if thread::thread_idx_x() == 0 {
                *best = u64::MAX;
            }
            let (mut largest, mut first_largest) = (f32::NEG_INFINITY, u64::MAX);
            self.own(|j, log| {
                if log > largest {
                    largest = log;
                    first_largest = order(j);
                } else if log == largest {
                    first_largest = first_largest.min(order(j));
                }
            });
            let best_log = block::max(largest, scratch);
            if largest == best_log {
                atomic::fetch_min_u64(best, first_largest);
            }
            thread::sync_threads();
            (best_log, atomic::fetch_min_u64(best, u64::MAX))
        }
    }
}

impl Samples for Children {
    type At = u32;

    #[inline(always)]
    fn are_many(&self) -> bool {
        self.count > MANY
    }

    #[inline(always)]
    unsafe fn visit_own(&self, _: f32, _: f32, mut visit: impl FnMut(f32)) {
        // SAFETY: these are the children.
        unsafe { self.own(|_, log| visit(log)) }
    }

    #[inline(always)]
    unsafe fn visit(&self, _: f32, _: f32, mut visit: impl FnMut(bool, u32, f32)) {
        let mut start = 0;
        while start < self.count {
            let j = start + thread::thread_idx_x();
            let there = j < self.count;
            // SAFETY: below the number of children.
            let log = if there { unsafe { self.log(j) } } else { 0.0 };
            visit(there, j, log);
            start += thread::block_dim_x();
        }
    }
}

/// Differences of the second pass → weights: those that count become W/ΣW, the others 0; and what each image's
/// alignment is.
///
/// Grid: x = images; shared memory: `SELECT_WORDS` words. The samples of image i are `first[i]`…`first[i+1]`.
/// `best` has one u64 an image. With `best_only` not 0 (cross-correlation) the best sample alone gets weight 1.
/// `limit` as in the selection of the first pass. Where `given` is not null, the sums of that selection stand and all
/// samples count (`--oversampling 0`: the first pass was the only one). `kept`, where not null, receives the number of
/// samples of each image that have a weight.
#[kernel(block = 256, grid = [images, 1, 1], shared = SELECT_WORDS, emulate = OneWarp)]
pub unsafe fn fine_weights(
    #[launch] images: u32,
    #[unchecked] samples: *const Sample,
    #[len(images + 1)] first: *const u32,
    orientation_children: u32,
    shift_children: u32,
    fraction: f32,
    limit: u32,
    best_only: u32,
    #[optional(images)] given: *const Selection,
    #[unchecked] values: *mut f32,
    #[len(images)] best: *mut u64,
    #[len(images)] out: *mut Alignment,
    #[optional(images)] kept: *mut u32,
) {
    // SAFETY: samples of the image are a contiguous range; each thread rewrites only values it alone reads after the
    // selection.
    unsafe {
        let image = thread::block_idx_x() as usize;
        let per_sample = orientation_children * shift_children;
        let (begin, end) = (*first.add(image), *first.add(image + 1));
        let count = (end - begin) * per_sample;
        let values = values.add(begin as usize * per_sample as usize);
        let samples = samples.add(begin as usize);
        let children = Children {
            samples,
            values,
            per_sample,
            count,
            best_only: best_only != 0,
        };
        // Of equal maxima the first in the order orientation, its child, shift, its child wins. A range of samples is
        // already in order but for the children of the orientation, which come before the shift.
        let order = |j: u32| -> u64 {
            let sample = *samples.add((j / per_sample) as usize);
            let (o, t) = (j % per_sample / shift_children, j % shift_children);
            ((u64::from(sample.orientation) * u64::from(orientation_children) + u64::from(o)) << 32)
                | u64::from(sample.shift * shift_children + t)
        };
        let scratch = Shared::dynamic(0);
        let (best_log, first_best) = children.best(&order, best.add(image), scratch);
        let selection = if given.is_null() {
            let fraction = if best_only != 0 { 0.0 } else { fraction };
            significance::select(&children, best_log, fraction, limit, scratch)
        } else {
            // Only ratios of weights are taken over: the differences of both passes are rounded differently.
            Selection {
                max_log: best_log,
                cutoff: f32::INFINITY,
                ..*given.add(image)
            }
        };
        let out = out.add(image);
        let mut weight = 0.0;
        children.own(|j, log| {
            let is_best = log == best_log && order(j) == first_best;
            if is_best {
                let sample = *samples.add((j / per_sample) as usize);
                (*out).best = begin * per_sample + j;
                (*out).orientation = sample.orientation;
                (*out).shift = sample.shift * shift_children + j % shift_children;
            }
            let keep = if best_only != 0 {
                is_best
            } else {
                selection.keeps(log)
            };
            let w = match (keep, best_only) {
                (false, _) => 0.0,
                (true, 0) => GpuFloat::exp(log - selection.max_log) / selection.sum,
                (true, _) => 1.0,
            };
            *values.add(j as usize) = w;
            weight += w;
        });
        let weight = block::sum(weight, scratch);
        if thread::thread_idx_x() == 0 {
            (*out).selection = selection;
            (*out).weight = weight;
            if !kept.is_null() {
                let number = selection.kept;
                *kept.add(image) = if best_only != 0 {
                    number.min(1)
                } else {
                    number
                };
            }
        }
    }
}

/// Writes the samples of each image whose value is above 0, in order, from `kept_first[image]` to `kept_first[image + 1]`:
/// the significant ones of a first pass over particle-specific orientations. One value a sample. Those that would be beyond
/// `capacity` elements are left out.
///
/// Grid: x = images; shared memory: 33 words.
#[kernel(block = 256, grid = [images, 1, 1], shared = ONE_VALUE_WORDS, emulate = OneWarp)]
pub unsafe fn list_kept(
    #[launch] images: u32,
    #[unchecked] samples: *const Sample,
    #[len(images + 1)] first: *const u32,
    #[unchecked] values: *const f32,
    #[len(images + 1)] kept_first: *const u32,
    capacity: u32,
    #[len(capacity)] out: *mut Sample,
) {
    // SAFETY: samples of the image are a contiguous range; places are checked.
    unsafe {
        let image = thread::block_idx_x() as usize;
        let (mut start, end) = (*first.add(image), *first.add(image + 1));
        let mut next = *kept_first.add(image);
        // An image without a finite difference has places for no sample, whatever its values are.
        let last = capacity.min(*kept_first.add(image + 1));
        while start < end {
            let s = (start + thread::thread_idx_x()) as usize;
            let keep = s < end as usize && *values.add(s) > 0.0;
            let (rank, all) = block::rank_among(keep, Shared::dynamic(0));
            if keep && next + rank < last {
                *out.add((next + rank) as usize) = *samples.add(s);
            }
            next += all;
            start += thread::block_dim_x();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::test_data;
    use cuda_std::launch::{View, emulate_as};

    #[test]
    fn weights_of_significant_samples_add_up_and_the_first_best_wins() {
        let mut samples = Vec::new();
        for image in 0..2u32 {
            for (orientation, shift) in [(2, 0), (2, 3), (5, 1)] {
                let log_prior = -0.5 * shift as f32;
                samples.push(Sample {
                    image,
                    orientation,
                    shift,
                    log_prior,
                });
            }
        }
        let (children, shift_children) = (2usize, 2usize);
        let per_sample = children * shift_children;
        let mut differences: Vec<f32> = test_data::values(samples.len() * per_sample, 8)
            .iter()
            .map(|v| 3.0 * v)
            .collect();
        // Two equal maxima in image 1: (orientation 2, child 1, shift 0, 0) and (orientation 2, child 0, shift 3, 1);
        // the second comes first in the order of the method.
        differences[3 * per_sample + 2] = -10.0;
        differences[4 * per_sample + 1] = -11.5;
        let mut values = differences.clone();
        let mut first = vec![0u32, 3, 6];
        let mut best = vec![0u64; 2];
        let mut out = vec![Alignment::default(); 2];
        let (s, f, v) = (
            View::of(&mut samples),
            View::of(&mut first),
            View::of(&mut values),
        );
        let mut counts = vec![u32::MAX; 2];
        let (b, o, k) = (
            View::of(&mut best),
            View::of(&mut out),
            View::of(&mut counts),
        );
        // SAFETY: array sizes as the kernel demands.
        unsafe {
            emulate_as(
                &FineWeights {
                    images: 2,
                    samples: s,
                    first: f,
                    orientation_children: children as u32,
                    shift_children: shift_children as u32,
                    fraction: 0.95,
                    limit: u32::MAX,
                    best_only: 0,
                    given: View::null(),
                    values: v,
                    best: b,
                    out: o,
                    kept: k,
                },
                [2, 1, 1],
                [32, 1, 1],
            )
        };
        assert_eq!(
            (out[1].best, out[1].orientation, out[1].shift),
            (4 * 4 + 1, 2, 7)
        );
        for (image, found) in out.iter().enumerate() {
            let range = image * 3 * per_sample..(image + 1) * 3 * per_sample;
            let logs: Vec<f64> = range
                .clone()
                .map(|j| f64::from(samples[j / per_sample].log_prior - differences[j]))
                .collect();
            let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = logs.iter().map(|l| (l - largest).exp()).sum();
            let kept: f64 = values[range.clone()].iter().map(|w| f64::from(*w)).sum();
            assert!(kept > 0.95 && kept <= 1.0 + 1e-6);
            assert!((f64::from(found.weight) - kept).abs() < 1e-6);
            let number = values[range.clone()].iter().filter(|w| **w > 0.0).count();
            assert_eq!(counts[image] as usize, number);
            for (w, log) in values[range].iter().zip(&logs) {
                let exact = (log - largest).exp() / sum;
                assert!(*w == 0.0 || (f64::from(*w) / exact - 1.0).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn kept_samples_are_listed_in_order() {
        let mut samples: Vec<Sample> = (0..200)
            .map(|i| Sample {
                image: i / 100,
                orientation: i,
                ..Sample::default()
            })
            .collect();
        let mut values: Vec<f32> = test_data::values(200, 4)
            .iter()
            .map(|v| v.max(0.0))
            .collect();
        let kept =
            |range: std::ops::Range<usize>| values[range].iter().filter(|v| **v > 0.0).count();
        let counts = [kept(0..100), kept(100..200)];
        let expected: Vec<Sample> = (0..200)
            .filter(|i| values[*i] > 0.0)
            .map(|i| samples[i])
            .collect();
        let mut first = vec![0u32, 100, 200];
        let mut kept_first = vec![0u32, counts[0] as u32, (counts[0] + counts[1]) as u32];
        let mut out = vec![Sample::default(); counts[0] + counts[1]];
        let (s, f, v) = (
            View::of(&mut samples),
            View::of(&mut first),
            View::of(&mut values),
        );
        let (k, o) = (View::of(&mut kept_first), View::of(&mut out));
        // SAFETY: array sizes as the kernel demands.
        unsafe {
            emulate_as(
                &ListKept {
                    images: 2,
                    samples: s,
                    first: f,
                    values: v,
                    kept_first: k,
                    capacity: expected.len() as u32,
                    out: o,
                },
                [2, 1, 1],
                [64, 1, 1],
            )
        };
        assert_eq!(out, expected);
        // Samples beyond the end of a list too short are left out.
        let capacity = counts[0] + 7;
        let mut short = vec![Sample::default(); capacity];
        let o = View::of(&mut short);
        // SAFETY: array sizes as the kernel demands.
        unsafe {
            emulate_as(
                &ListKept {
                    images: 2,
                    samples: s,
                    first: f,
                    values: v,
                    kept_first: k,
                    capacity: capacity as u32,
                    out: o,
                },
                [2, 1, 1],
                [64, 1, 1],
            )
        };
        assert_eq!(short, expected[..capacity]);
    }
}
