//! convert: the smallest set of largest weights that exceeds a fraction of their sum (spec 01 §6.3), by one block and
//! without sorting: a 16-way search over the bits of max − ln W, which order weights exactly.
//!
//! Every round of the search copies the samples between its bounds to a list in shared memory. As soon as they fit, which
//! they mostly do in the first round, later rounds go through that list only, and it becomes shorter with each. Where there are very many
//! samples, rounds whose samples cannot fit make no list: no thread waits for another then.

use cuda_std::prelude::*;
use cuda_std::shared::Shared;

use super::block;
use crate::samples::{CUTOFF, Selection};
use crate::shapes::{SEARCH_LIST, SEARCH_LIST_AT, SEARCH_WAYS as WAYS};

/// The first round tells samples apart from here to the cutoff, where posteriors have their threshold; those that are
/// nearer to the largest are one interval.
const NEAR: f32 = 1.0 / 16.0;

/// Samples of one image that a block goes through together.
pub trait Samples {
    /// Which sample.
    type At: Copy;

    /// Calls `visit(there, at, ln W)` for the samples, in order; those with `max_log` − ln W above `cutoff` may be left out.
    /// All threads call it equally often: `there` is false for those without a sample of their own.
    ///
    /// # Safety
    /// All threads of the block take part.
    unsafe fn visit(&self, max_log: f32, cutoff: f32, visit: impl FnMut(bool, Self::At, f32));

    /// Whether there are so many that it pays to go through them without a barrier until few are left between the bounds.
    fn are_many(&self) -> bool {
        false
    }

    /// Calls `visit(ln W)` for the samples that fall to this thread, in order; as [`Samples::visit`] otherwise.
    ///
    /// # Safety
    /// As [`Samples::visit`].
    #[inline(always)]
    unsafe fn visit_own(&self, max_log: f32, cutoff: f32, mut visit: impl FnMut(f32)) {
        // SAFETY: passed on to the caller.
        unsafe {
            self.visit(max_log, cutoff, |there, _, log| {
                if there {
                    visit(log);
                }
            });
        }
    }
}

/// Sums of the weights of the intervals, and the numbers of their samples.
type WaySums = [f32; 2 * WAYS];

/// Adds a sample at `x`, with these bits, to the sums: intervals of `step` begin at `edge`.
#[inline(always)]
fn add_to_way(sums: &mut WaySums, x: f32, bits: u32, edge: u32, step: u32) {
    let weight = GpuFloat::exp(-x);
    let way = bits.saturating_sub(edge) / step;
    for j in 0..WAYS {
        let mine = if way == j as u32 { 1.0 } else { 0.0 };
        sums[j] += mine * weight;
        sums[WAYS + j] += mine;
    }
}

/// Samples whose x lies in one of the intervals, and what lies before it.
#[derive(Default)]
struct Interval {
    way: u32,
    before: f64,
    count_before: u32,
    weight: f64,
    number: u32,
}

impl Interval {
    /// Samples of the interval, all alike, that are counted until the target is passed, or the limit reached; at least one.
    #[inline(always)]
    fn counted_ties(&self, target: f64, limit: u32) -> u32 {
        let each = self.weight / f64::from(self.number);
        let mut counted = 1;
        while counted < self.number
            && self.before + f64::from(counted) * each <= target
            && self.count_before + counted < limit
        {
            counted += 1;
        }
        counted
    }
}

/// Searches `samples`, the largest ln W of which is `max_log`; all threads get the answer.
///
/// `limit` is the largest number of samples counted (`--maxsig`), u32::MAX for none.
///
/// # Safety
/// All threads of the block take part; `scratch` has [`SELECT_WORDS`](crate::shapes::SELECT_WORDS) words that nobody else uses.
#[inline(always)]
pub unsafe fn select(
    samples: &impl Samples,
    max_log: f32,
    fraction: f32,
    limit: u32,
    scratch: Shared,
) -> Selection {
    if !(max_log > f32::NEG_INFINITY && max_log < f32::INFINITY) {
        return Selection {
            max_log: f32::NEG_INFINITY,
            ..Selection::default()
        };
    }
    let list = scratch.offset(SEARCH_LIST_AT);
    let (threads, rank) = (thread::block_dim_x(), thread::thread_idx_x());
    // [low, high) holds the bits of the threshold; `before` and `count_before` belong to the samples below `low`. The first
    // interval begins at `low`, the others follow in equal steps from `edge` on.
    let (mut low, mut high, mut edge) = (0u32, CUTOFF.to_bits(), NEAR.to_bits());
    let (mut before, mut count_before) = (0.0f64, 0u32);
    let mut total = -1.0f64;
    // Samples of [low, high), where the list holds all of them.
    let mut listed = None;
    let mut lists = !samples.are_many();
    loop {
        let step = (high - edge).div_ceil(WAYS as u32);
        let mut sums: WaySums = [0.0; 2 * WAYS];
        let mut number = 0;
        if !lists {
            // SAFETY: the condition is the same for all threads.
            unsafe {
                samples.visit_own(max_log, f32::from_bits(high - 1), |log| {
                    let x = max_log - log;
                    let bits = x.to_bits();
                    if bits >= low && bits < high {
                        add_to_way(&mut sums, x, bits, edge, step);
                    }
                });
            }
            number = u32::MAX;
        }
        // SAFETY: all threads call this equally often; places in the list are checked. In a round over the list, places are
        // written that have been read: the ranking has a barrier in between.
        let mut take = |there: bool, x: f32| unsafe {
            let bits = x.to_bits();
            // Negative zero and NaN have larger bits than any number below the cutoff.
            let inside = there && bits >= low && bits < high;
            if inside {
                add_to_way(&mut sums, x, bits, edge, step);
            }
            let (place, all) = block::rank_among(inside, scratch);
            if inside && number + place < SEARCH_LIST {
                list.store(number + place, x);
            }
            number += all;
        };
        // SAFETY: the loop's conditions are the same for all threads, which reach every reduction.
        let sums = unsafe {
            match listed {
                Some(count) => {
                    let mut start = 0;
                    while start < count {
                        let there = start + rank < count;
                        take(there, if there { list.load(start + rank) } else { 0.0 });
                        start += threads;
                    }
                }
                None if lists => {
                    samples.visit(max_log, f32::from_bits(high - 1), |there, _, log| {
                        take(there, max_log - log);
                    });
                }
                None => (),
            }
            block::sums(sums, scratch)
        };
        listed = (number <= SEARCH_LIST).then_some(number);
        if total < 0.0 {
            total = sums[..WAYS].iter().map(|s| f64::from(*s)).sum();
        }
        let target = f64::from(fraction) * total;
        let chosen = choose(&sums, before, count_before, target, limit);
        lists |= chosen.number <= SEARCH_LIST;
        before = chosen.before;
        count_before = chosen.count_before;
        if chosen.way > 0 {
            low = edge + chosen.way * step;
        }
        high = high.min(edge + (chosen.way + 1) * step);
        edge = low;
        if high - low == 1 {
            return Selection {
                max_log,
                sum: total as f32,
                cutoff: f32::from_bits(low),
                counted: count_before + chosen.counted_ties(target, limit),
                kept: count_before + chosen.number,
            };
        }
    }
}

/// The interval where the target is passed, else the last one that holds samples. Its values are carried along: an index known
/// only at run time would put the sums into slow local memory.
#[inline(always)]
fn choose(sums: &WaySums, before: f64, count_before: u32, target: f64, limit: u32) -> Interval {
    let mut chosen = Interval::default();
    let mut passed = false;
    let (mut at, mut counted) = (before, count_before);
    for j in 0..WAYS {
        let (weight, number) = (f64::from(sums[j]), sums[WAYS + j] as u32);
        if number > 0 && !passed {
            chosen = Interval {
                way: j as u32,
                before: at,
                count_before: counted,
                weight,
                number,
            };
            passed = at + weight > target || counted.saturating_add(number) >= limit;
        }
        at += weight;
        counted += number;
    }
    chosen
}

/// The samples within `tolerance` (a share) of the largest, `max_log`; all threads get the answer.
///
/// # Safety
/// As [`select`].
#[inline(always)]
pub unsafe fn near_best(
    samples: &impl Samples,
    max_log: f32,
    tolerance: f32,
    scratch: Shared,
) -> Selection {
    if !(max_log > f32::NEG_INFINITY && max_log < f32::INFINITY) {
        return Selection {
            max_log: f32::NEG_INFINITY,
            ..Selection::default()
        };
    }
    let selection = Selection {
        max_log,
        sum: 1.0,
        cutoff: tolerance * max_log.abs(),
        counted: 1,
        kept: 0,
    };
    let mut near = 0.0;
    // SAFETY: passed on to the caller; all threads reach the reduction.
    unsafe {
        samples.visit(max_log, selection.cutoff, |there, _, value| {
            if there && selection.keeps(value) {
                near += 1.0;
            }
        });
        Selection {
            kept: block::sum(near, scratch) as u32,
            ..selection
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::test_data;
    use cuda_std::emulator::{DevicePointer, launch};

    struct Slice<'a> {
        logs: &'a [f32],
        are_many: bool,
    }

    impl Samples for Slice<'_> {
        type At = usize;

        fn are_many(&self) -> bool {
            self.are_many
        }

        unsafe fn visit(&self, _: f32, _: f32, mut visit: impl FnMut(bool, usize, f32)) {
            let mut start = 0;
            while start < self.logs.len() {
                let i = start + thread::thread_idx_x() as usize;
                visit(i < self.logs.len(), i, *self.logs.get(i).unwrap_or(&0.0));
                start += thread::block_dim_x() as usize;
            }
        }
    }

    fn largest(logs: &[f32]) -> f32 {
        logs.iter().copied().fold(f32::NEG_INFINITY, f32::max)
    }

    /// Selections found with and without rounds that make no list, which must be the same.
    fn run(logs: &[f32], fraction: f32, limit: u32) -> Selection {
        let found = run_as(logs, fraction, limit, false);
        assert_eq!(found, run_as(logs, fraction, limit, true));
        found
    }

    fn run_as(logs: &[f32], fraction: f32, limit: u32, are_many: bool) -> Selection {
        let mut out = vec![Selection::default(); 64];
        let o = DevicePointer::of(&mut out);
        launch(
            [1, 1, 1],
            [64, 1, 1],
            4 * crate::shapes::SELECT_WORDS as usize,
            || {
                // SAFETY: one element a thread.
                unsafe {
                    let samples = Slice { logs, are_many };
                    let scratch = Shared::dynamic(0);
                    let found = select(&samples, largest(logs), fraction, limit, scratch);
                    *o.get().add(thread::thread_idx_x() as usize) = found;
                }
            },
        );
        assert!(
            out.iter().all(|s| *s == out[0]),
            "all threads get the same answer"
        );
        out[0]
    }

    #[test]
    fn values_near_the_best_are_counted() {
        let mut values: Vec<f32> = (0..200).map(|i| -0.5 - 0.001 * i as f32).collect();
        values[70] = 0.5;
        values[71] = 0.5 * (1.0 - 1e-6);
        values[150] = 0.5 * (1.0 - 1e-5);
        values[3] = f32::NAN;
        let mut out = vec![Selection::default(); 64];
        let o = DevicePointer::of(&mut out);
        launch(
            [1, 1, 1],
            [64, 1, 1],
            4 * crate::shapes::SELECT_WORDS as usize,
            || {
                // SAFETY: one element a thread.
                unsafe {
                    let samples = Slice {
                        logs: &values,
                        are_many: false,
                    };
                    let found = near_best(&samples, largest(&values), 4e-6, Shared::dynamic(0));
                    *o.get().add(thread::thread_idx_x() as usize) = found;
                }
            },
        );
        assert!(
            out.iter()
                .all(|s| (s.kept, s.counted, s.max_log) == (2, 1, 0.5))
        );
    }

    /// The rule of the host: sort, accumulate from the largest, stop when the fraction is exceeded.
    fn sorted(logs: &[f32], fraction: f64, limit: usize) -> (usize, usize, f64) {
        let largest = largest(logs);
        let mut x: Vec<f32> = logs
            .iter()
            .map(|l| largest - l)
            .filter(|x| *x < CUTOFF)
            .collect();
        x.sort_by(f32::total_cmp);
        let sum: f64 = x.iter().map(|x| f64::from(-x).exp()).sum();
        let (mut at, mut counted) = (0.0, 0);
        for x in &x {
            at += f64::from(-x).exp();
            counted += 1;
            if at > fraction * sum || counted >= limit {
                break;
            }
        }
        let kept = x.iter().filter(|v| **v <= x[counted - 1]).count();
        (counted, kept, sum)
    }

    #[test]
    fn the_search_agrees_with_sorting() {
        for (seed, spread) in [(1, 1.0f32), (2, 20.0), (3, 200.0)] {
            let logs: Vec<f32> = test_data::values(1500, seed)
                .iter()
                .map(|v| 1000.0 + v * spread)
                .collect();
            for fraction in [0.5, 0.9, 0.999] {
                let found = run(&logs, fraction, u32::MAX);
                let (counted, kept, sum) = sorted(&logs, f64::from(fraction), usize::MAX);
                assert_eq!(
                    (found.counted as usize, found.kept as usize),
                    (counted, kept)
                );
                assert!((f64::from(found.sum) / sum - 1.0).abs() < 1e-5);
                assert_eq!(logs.iter().filter(|l| found.keeps(**l)).count(), kept);
            }
            let found = run(&logs, 0.999, 7);
            let (counted, kept, _) = sorted(&logs, 0.999, 7);
            assert_eq!(
                (found.counted as usize, found.kept as usize),
                (counted, kept)
            );
        }
    }

    /// More samples within the cutoff than the list takes: all, or all that are left after one round, or two.
    #[test]
    fn more_samples_than_the_list_takes() {
        for spread in [0.02f32, 1.5, 15.0, 40.0] {
            let logs: Vec<f32> = test_data::values(3 * SEARCH_LIST as usize, 9)
                .iter()
                .map(|v| -200.0 + v * spread)
                .collect();
            for (fraction, limit) in [(0.5, u32::MAX), (0.999, u32::MAX), (0.999, 5000)] {
                let found = run(&logs, fraction, limit);
                let (counted, kept, sum) = sorted(&logs, f64::from(fraction), limit as usize);
                assert!((f64::from(found.sum) / sum - 1.0).abs() < 1e-5);
                // Sums in single precision may stop a few of these samples earlier or later.
                assert!((found.counted as usize).abs_diff(counted) <= 3);
                assert!((found.kept as usize).abs_diff(kept) <= 3);
                let number = logs.iter().filter(|l| found.keeps(**l)).count();
                assert_eq!(found.kept as usize, number);
            }
        }
    }

    #[test]
    fn ties_are_kept_but_not_all_counted() {
        let found = run(&[0.0, -1.0, -1.0, -30.0], 0.7, u32::MAX);
        assert_eq!((found.counted, found.kept), (2, 3));
        // Fraction 0, for cross-correlation: the best alone.
        let found = run(&[-3.0, 5.0, 4.9, 5.0], 0.0, u32::MAX);
        assert_eq!((found.counted, found.kept), (1, 2));
    }

    #[test]
    fn nothing_finite_selects_nothing() {
        assert_eq!(run(&[f32::NEG_INFINITY; 5], 0.999, u32::MAX).kept, 0);
        assert_eq!(run(&[f32::NAN; 5], 0.999, u32::MAX).kept, 0);
        assert_eq!(run(&[f32::NAN, 2.0], 0.999, u32::MAX).kept, 1);
    }

    #[test]
    fn fraction_one_keeps_all_that_have_a_weight() {
        let logs = [0.0, -3.0, -44.0, -46.0];
        assert_eq!(run(&logs, 1.0, u32::MAX).kept, 3);
    }
}
