//! convert: the smallest set of largest weights that exceeds a fraction of their sum (spec 01 §6.3), by one block and
//! without sorting: a 16-way search over the bits of max − ln W, which order weights exactly.

use cuda_std::prelude::*;
use cuda_std::shared::Shared;

use super::block;
use crate::samples::{CUTOFF, Selection};
use crate::shapes::SEARCH_WAYS as WAYS;

/// Samples whose x lies in one of the intervals, and what lies before it.
#[derive(Default)]
struct Interval {
    way: u32,
    before: f64,
    count_before: u32,
    weight: f64,
    number: u32,
}

/// Searches `count` samples whose ln W is `log(i)`; all threads get the answer.
///
/// `limit` is the largest number of samples counted (`--maxsig`), u32::MAX for none.
///
/// # Safety
/// All threads of the block take part; `scratch` has [`SELECT_WORDS`](crate::shapes::SELECT_WORDS) words that nobody else uses.
#[inline(always)]
pub unsafe fn select(
    count: u32,
    log: impl Fn(u32) -> f32,
    fraction: f32,
    limit: u32,
    scratch: Shared,
) -> Selection {
    // SAFETY: every reduction is reached by all threads: the loop conditions come from reductions.
    unsafe {
        let threads = thread::block_dim_x();
        let first = thread::thread_idx_x();
        let mut largest = f32::NEG_INFINITY;
        let mut i = first;
        while i < count {
            // `max` drops NaN: a sample that is not a number has no weight.
            largest = largest.max(log(i));
            i += threads;
        }
        let max_log = block::max(largest, scratch);
        if !(max_log > f32::NEG_INFINITY && max_log < f32::INFINITY) {
            return Selection {
                max_log: f32::NEG_INFINITY,
                ..Selection::default()
            };
        }
        // [low, high) holds the bits of the cutoff; `before` and `count_before` belong to the samples below `low`.
        let (mut low, mut high) = (0u32, CUTOFF.to_bits());
        let (mut before, mut count_before) = (0.0f64, 0u32);
        let mut total = -1.0f64;
        loop {
            let step = (high - low).div_ceil(WAYS as u32);
            let mut sums = [0.0f32; 2 * WAYS];
            let mut i = first;
            while i < count {
                let x = max_log - log(i);
                let bits = x.to_bits();
                // Negative zero and NaN have larger bits than any number below the cutoff.
                if bits >= low && bits < high {
                    let weight = GpuFloat::exp(-x);
                    let way = (bits - low) / step;
                    for j in 0..WAYS {
                        let mine = if way == j as u32 { 1.0 } else { 0.0 };
                        sums[j] += mine * weight;
                        sums[WAYS + j] += mine;
                    }
                }
                i += threads;
            }
            let sums = block::sums(sums, scratch);
            if total < 0.0 {
                total = sums[..WAYS].iter().map(|s| f64::from(*s)).sum();
            }
            let target = f64::from(fraction) * total;
            // The interval where the target is passed, else the last one that holds samples. Its values are carried
            // along: an index known only at run time would put the sums into slow local memory.
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
            before = chosen.before;
            count_before = chosen.count_before;
            low += chosen.way * step;
            high = high.min(low + step);
            if high - low == 1 {
                let ties = chosen.number;
                let each = chosen.weight / f64::from(ties);
                let mut counted = 1;
                while counted < ties
                    && before + f64::from(counted) * each <= target
                    && count_before + counted < limit
                {
                    counted += 1;
                }
                return Selection {
                    max_log,
                    sum: total as f32,
                    cutoff: f32::from_bits(low),
                    counted: count_before + counted,
                    kept: count_before + ties,
                };
            }
        }
    }
}

/// The samples within `tolerance` (a share) of the largest of `count` values; all threads get the answer.
///
/// # Safety
/// As [`select`].
#[inline(always)]
pub unsafe fn near_best(
    count: u32,
    value: impl Fn(u32) -> f32,
    tolerance: f32,
    scratch: Shared,
) -> Selection {
    // SAFETY: passed on to the caller; all threads reach both reductions.
    unsafe {
        let threads = thread::block_dim_x();
        let mut largest = f32::NEG_INFINITY;
        let mut i = thread::thread_idx_x();
        while i < count {
            // `max` drops NaN: a sample that is not a number cannot be the best.
            largest = largest.max(value(i));
            i += threads;
        }
        let max_log = block::max(largest, scratch);
        if !(max_log > f32::NEG_INFINITY && max_log < f32::INFINITY) {
            return Selection {
                max_log: f32::NEG_INFINITY,
                ..Selection::default()
            };
        }
        let mut selection = Selection {
            max_log,
            sum: 1.0,
            cutoff: tolerance * max_log.abs(),
            counted: 1,
            kept: 0,
        };
        let mut near = 0.0;
        let mut i = thread::thread_idx_x();
        while i < count {
            if selection.keeps(value(i)) {
                near += 1.0;
            }
            i += threads;
        }
        selection.kept = block::sum(near, scratch) as u32;
        selection
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::test_data;
    use cuda_std::emulator::{DevicePointer, launch};

    fn run(logs: &[f32], fraction: f32, limit: u32) -> Selection {
        let mut out = vec![Selection::default(); 64];
        let o = DevicePointer::of(&mut out);
        launch(
            [1, 1, 1],
            [64, 1, 1],
            4 * crate::shapes::SELECT_WORDS as usize,
            || {
                let log = |i: u32| logs[i as usize];
                // SAFETY: one element a thread.
                unsafe {
                    let found = select(logs.len() as u32, log, fraction, limit, Shared::dynamic(0));
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
                    let found = near_best(200, |i| values[i as usize], 4e-6, Shared::dynamic(0));
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
        let largest = logs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
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
