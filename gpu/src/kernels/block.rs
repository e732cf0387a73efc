//! Sums and extremes over the threads of a block, in an order that never changes.

use cuda_std::prelude::*;
use cuda_std::shared::Shared;

/// Sums of `N` values over the block, in every thread.
///
/// # Safety
/// All threads of the block take part; `scratch` has [`reduction_words`](crate::shapes::reduction_words)`(N)` words that nobody else uses.
#[inline(always)]
pub unsafe fn sums<const N: usize>(values: [f32; N], scratch: Shared) -> [f32; N] {
    // SAFETY: the indices stay below 33·N.
    unsafe { reduce(values, scratch, warp::sum, |a, b| a + b) }
}

/// Sum of one value over the block, in every thread.
///
/// # Safety
/// As [`sums`].
#[inline(always)]
pub unsafe fn sum(value: f32, scratch: Shared) -> f32 {
    // SAFETY: passed on to the caller.
    unsafe { sums([value], scratch)[0] }
}

/// Sums of `N` ≤ 32 values over the warp, N a power of two: value l mod N in lane l. Half the values go to another lane in
/// each step, so that 32 sums take 31 shuffles instead of 160.
#[inline(always)]
pub fn sums_by_lane<const N: usize>(mut values: [f32; N]) -> f32 {
    if N >= 32 {
        halve::<16, N>(&mut values);
    }
    if N >= 16 {
        halve::<8, N>(&mut values);
    }
    if N >= 8 {
        halve::<4, N>(&mut values);
    }
    if N >= 4 {
        halve::<2, N>(&mut values);
    }
    if N >= 2 {
        halve::<1, N>(&mut values);
    }
    let mut sum = values[0];
    let mut step = N as u32;
    while step < warp::WARP_SIZE {
        sum += warp::shuffle_xor(sum, step);
        step *= 2;
    }
    sum
}

/// Lanes without bit `H` get the sums of values i and lanes with it those of values i + `H`, i < `H`, in places i.
#[inline(always)]
fn halve<const H: usize, const N: usize>(values: &mut [f32; N]) {
    let is_upper = warp::lane_id() & H as u32 != 0;
    for i in 0..H {
        let (low, high) = (values[i], values[i + H]);
        let (own, other) = if is_upper { (high, low) } else { (low, high) };
        values[i] = own + warp::shuffle_xor(other, H as u32);
    }
}

/// Largest value of the block, in every thread.
///
/// # Safety
/// As [`sums`].
#[inline(always)]
pub unsafe fn max(value: f32, scratch: Shared) -> f32 {
    // SAFETY: the indices stay below 33.
    unsafe { reduce([value], scratch, warp::max, f32::max)[0] }
}

/// # Safety
/// As [`sums`].
#[inline(always)]
unsafe fn reduce<const N: usize>(
    values: [f32; N],
    scratch: Shared,
    of_warp: impl Fn(f32) -> f32,
    combine: impl Fn(f32, f32) -> f32,
) -> [f32; N] {
    let n = N as u32;
    let rank = thread::thread_idx_x();
    let warps = thread::block_dim_x() / warp::WARP_SIZE;
    // SAFETY: warp < 32, so indices stay below 33·N; barriers separate writers and readers.
    unsafe {
        for (k, &value) in values.iter().enumerate() {
            let value = of_warp(value);
            if warp::lane_id() == 0 {
                scratch.store(rank / warp::WARP_SIZE * n + k as u32, value);
            }
        }
        thread::sync_threads();
        if rank < n {
            let mut total = scratch.load(rank);
            for w in 1..warps {
                total = combine(total, scratch.load(w * n + rank));
            }
            scratch.store(32 * n + rank, total);
        }
        thread::sync_threads();
        let mut out = [0.0; N];
        for (k, value) in out.iter_mut().enumerate() {
            *value = scratch.load(32 * n + k as u32);
        }
        // The next reduction may overwrite the scratch words.
        thread::sync_threads();
        out
    }
}

/// Number of threads below this one whose `condition` holds, and the number in the whole block.
///
/// # Safety
/// All threads of the block take part; `scratch` has 33 words that nobody else uses.
#[inline(always)]
pub unsafe fn rank_among(condition: bool, scratch: Shared) -> (u32, u32) {
    let mask = warp::ballot(condition);
    let rank = thread::thread_idx_x();
    let own_warp = rank / warp::WARP_SIZE;
    let warps = thread::block_dim_x() / warp::WARP_SIZE;
    // SAFETY: warp < 32.
    unsafe {
        if warp::lane_id() == 0 {
            scratch.store_u32(own_warp, mask.count_ones());
        }
        thread::sync_threads();
        let (mut below, mut total) = (0, 0);
        for w in 0..warps {
            let count = scratch.load_u32(w);
            if w < own_warp {
                below += count;
            }
            total += count;
        }
        thread::sync_threads();
        let lanes_below = mask & ((1u32 << warp::lane_id()) - 1);
        (below + lanes_below.count_ones(), total)
    }
}

/// Sets the first `words` words of shared memory to zero.
///
/// # Safety
/// All threads of the block take part; `words` words exist.
#[inline(always)]
pub unsafe fn clear_words(words_of_block: Shared, words: u32) {
    let mut i = thread::thread_idx_x();
    while i < words {
        // SAFETY: below `words`.
        unsafe { words_of_block.store(i, 0.0) };
        i += thread::block_dim_x();
    }
    thread::sync_threads();
}

/// Adds the first `words` words of shared memory to `out`, when all threads have put their share there.
///
/// # Safety
/// As [`clear_words`]; `out` has as many elements.
#[inline(always)]
pub unsafe fn flush_words(words_of_block: Shared, words: u32, out: *mut f64) {
    thread::sync_threads();
    let mut i = thread::thread_idx_x();
    while i < words {
        // SAFETY: below `words`.
        unsafe {
            let value = words_of_block.load(i);
            if value != 0.0 {
                atomic::add_f64(out.add(i as usize), f64::from(value));
            }
        }
        i += thread::block_dim_x();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cuda_std::emulator::{DevicePointer, launch};

    #[test]
    fn every_thread_gets_the_sum_and_the_largest() {
        let mut out = vec![[0.0f32; 3]; 96];
        let p = DevicePointer::of(&mut out);
        launch(
            [1, 1, 1],
            [96, 1, 1],
            4 * crate::shapes::reduction_words(2) as usize,
            || {
                // SAFETY: one element a thread.
                unsafe {
                    let i = thread::thread_idx_x();
                    let scratch = Shared::dynamic(0);
                    let [a, b] = sums([i as f32, 1.0], scratch);
                    let largest = max(-(i as f32), scratch);
                    *p.get().add(i as usize) = [a, b, largest];
                }
            },
        );
        assert!(out.iter().all(|v| *v == [95.0 * 48.0, 96.0, 0.0]));
    }

    #[test]
    fn each_lane_gets_its_sum() {
        let mut out = vec![[0.0f32; 2]; 32];
        let p = DevicePointer::of(&mut out);
        launch([1, 1, 1], [32, 1, 1], 0, || {
            let lane = thread::thread_idx_x();
            let value = |k: usize| (lane * 100) as f32 + k as f32;
            let all = sums_by_lane::<32>(core::array::from_fn(value));
            let few = sums_by_lane::<8>(core::array::from_fn(value));
            // SAFETY: one element a thread.
            unsafe { *p.get().add(lane as usize) = [all, few] };
        });
        let expected = |k: usize| (31 * 16 * 100 + 32 * k) as f32;
        for (lane, found) in out.iter().enumerate() {
            assert_eq!(*found, [expected(lane), expected(lane % 8)]);
        }
    }

    #[test]
    fn ranks_count_the_chosen_threads_below() {
        let mut out = vec![(0u32, 0u32); 96];
        let p = DevicePointer::of(&mut out);
        launch([1, 1, 1], [96, 1, 1], 4 * 33, || {
            // SAFETY: one element a thread.
            unsafe {
                let i = thread::thread_idx_x();
                *p.get().add(i as usize) = rank_among(i.is_multiple_of(3), Shared::dynamic(0));
            }
        });
        for (i, &(below, total)) in out.iter().enumerate() {
            assert_eq!((below as usize, total), (i.div_ceil(3), 32));
        }
    }
}
