//! Running sums of counts.

use crate::shapes::ONE_VALUE_WORDS;
use cuda_std::prelude::*;
use cuda_std::shared::Shared;

/// `out[i]` = Σ of the values before `i`, and `out[count]` the total; with `flags` not 0 every positive value counts as 1.
///
/// One block; shared memory: 33 words.
#[kernel(block = 512, grid = [1, 1, 1], shared = ONE_VALUE_WORDS, emulate = OneWarp)]
pub unsafe fn exclusive_scan(
    #[len(count)] values: *const u32,
    count: u32,
    flags: u32,
    #[len(count + 1)] out: *mut u32,
) {
    // SAFETY: indices are checked against the count; `out` has one element more.
    unsafe {
        let scratch = Shared::dynamic(0);
        let rank = thread::thread_idx_x();
        let (lane, own_warp) = (rank % warp::WARP_SIZE, rank / warp::WARP_SIZE);
        let warps = thread::block_dim_x() / warp::WARP_SIZE;
        let mut carry = 0;
        let mut start = 0;
        while start < count {
            let i = start + rank;
            let mut value = if i < count {
                *values.add(i as usize)
            } else {
                0
            };
            if flags != 0 {
                value = value.min(1);
            }
            let mut inclusive = value;
            let mut delta = 1;
            while delta < warp::WARP_SIZE {
                let lower = warp::shuffle_up_u32(inclusive, delta);
                if lane >= delta {
                    inclusive += lower;
                }
                delta *= 2;
            }
            if lane == warp::WARP_SIZE - 1 {
                scratch.store_u32(own_warp, inclusive);
            }
            thread::sync_threads();
            let (mut below, mut total) = (0, 0);
            for w in 0..warps {
                let of_warp = scratch.load_u32(w);
                if w < own_warp {
                    below += of_warp;
                }
                total += of_warp;
            }
            if i < count {
                *out.add(i as usize) = carry + below + inclusive - value;
            }
            carry += total;
            start += thread::block_dim_x();
            thread::sync_threads();
        }
        if rank == 0 {
            *out.add(count as usize) = carry;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cuda_std::launch::{View, emulate_as};

    #[test]
    fn running_sums_over_several_rounds() {
        let mut values: Vec<u32> = (0..203).map(|i| (i * 7) % 5).collect();
        for flags in [0, 1] {
            let mut out = vec![u32::MAX; values.len() + 1];
            let (v, o) = (View::of(&mut values), View::of(&mut out));
            // SAFETY: array sizes as the kernel demands.
            unsafe {
                emulate_as(
                    &ExclusiveScan {
                        values: v,
                        count: 203,
                        flags,
                        out: o,
                    },
                    [1, 1, 1],
                    [64, 1, 1],
                )
            };
            let mut sum = 0;
            for (i, value) in values.iter().enumerate() {
                assert_eq!(out[i], sum);
                sum += if flags == 0 {
                    *value
                } else {
                    u32::from(*value > 0)
                };
            }
            assert_eq!(out[203], sum);
        }
    }
}
