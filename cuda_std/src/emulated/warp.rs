//! Exchange between the 32 threads of a warp. All 32 must take part.

use super::emulator::{exchange, here};

/// Threads of a warp.
pub const WARP_SIZE: u32 = 32;

/// Index of the thread in its warp.
pub fn lane_id() -> u32 {
    here(|c| c.rank % 32)
}

/// Waits for all threads of the warp.
pub fn sync_warp() {
    exchange(&[], |_| ());
}

/// Value of the thread `delta` lanes up (its own in the last `delta` lanes).
pub fn shuffle_down(value: f32, delta: u32) -> f32 {
    let from = lane_id() + delta;
    let from = if from < WARP_SIZE { from } else { lane_id() };
    f32::from_bits(exchange(&[value.to_bits()], |all| all(from, 0)))
}

/// Value of the thread whose lane differs in the bits of `mask`.
pub fn shuffle_xor(value: f32, mask: u32) -> f32 {
    f32::from_bits(shuffle_xor_u32(value.to_bits(), mask))
}

/// As [`shuffle_xor`], for integers.
pub fn shuffle_xor_u32(value: u32, mask: u32) -> u32 {
    let from = lane_id() ^ mask;
    exchange(&[value], |all| all(from, 0))
}

/// Value of the thread `delta` lanes down (its own in the first `delta` lanes).
pub fn shuffle_up_u32(value: u32, delta: u32) -> u32 {
    let from = lane_id().checked_sub(delta).unwrap_or_else(lane_id);
    exchange(&[value], |all| all(from, 0))
}

/// Value of thread `lane`.
pub fn broadcast_u32(value: u32, lane: u32) -> u32 {
    exchange(&[value], |all| all(lane, 0))
}

/// One bit per lane: the lanes whose `condition` holds.
pub fn ballot(condition: bool) -> u32 {
    exchange(&[u32::from(condition)], |all| {
        (0..WARP_SIZE).fold(0, |mask, lane| mask | all(lane, 0) << lane)
    })
}

include!("../warp_reductions.rs");
