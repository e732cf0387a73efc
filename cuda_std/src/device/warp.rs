//! Exchange between the 32 threads of a warp. All 32 must take part.

use core::arch::asm;

/// Threads of a warp.
pub const WARP_SIZE: u32 = 32;

/// Index of the thread in its warp.
#[inline(always)]
pub fn lane_id() -> u32 {
    let lane: u32;
    // SAFETY: reads a special register.
    unsafe { asm!("mov.u32 {0}, %laneid;", out(reg32) lane, options(pure, nomem, nostack)) };
    lane
}

// Intrinsics rather than `asm!`: they are marked convergent, so the compiler never moves them into a branch.
#[allow(improper_ctypes)]
unsafe extern "C" {
    #[link_name = "llvm.nvvm.bar.warp.sync"]
    fn bar_warp_sync(lanes: u32);
    #[link_name = "llvm.nvvm.shfl.sync.down.f32"]
    fn shfl_down(lanes: u32, value: f32, delta: u32, clamp: u32) -> f32;
    #[link_name = "llvm.nvvm.shfl.sync.bfly.f32"]
    fn shfl_bfly(lanes: u32, value: f32, mask: u32, clamp: u32) -> f32;
    #[link_name = "llvm.nvvm.shfl.sync.up.i32"]
    fn shfl_up(lanes: u32, value: u32, delta: u32, clamp: u32) -> u32;
    #[link_name = "llvm.nvvm.shfl.sync.idx.i32"]
    fn shfl_idx(lanes: u32, value: u32, lane: u32, clamp: u32) -> u32;
    #[link_name = "llvm.nvvm.vote.ballot.sync"]
    fn vote_ballot(lanes: u32, condition: bool) -> u32;
}

const ALL: u32 = u32::MAX;

/// Waits for all threads of the warp.
#[inline(always)]
pub fn sync_warp() {
    // SAFETY: all lanes take part, as the module demands.
    unsafe { bar_warp_sync(ALL) }
}

/// Value of the thread `delta` lanes up (its own in the last `delta` lanes).
#[inline(always)]
pub fn shuffle_down(value: f32, delta: u32) -> f32 {
    // SAFETY: all lanes take part, as the module demands.
    unsafe { shfl_down(ALL, value, delta, 31) }
}

/// Value of the thread whose lane differs in the bits of `mask`.
#[inline(always)]
pub fn shuffle_xor(value: f32, mask: u32) -> f32 {
    // SAFETY: all lanes take part, as the module demands.
    unsafe { shfl_bfly(ALL, value, mask, 31) }
}

/// As [`shuffle_xor`], for integers.
#[inline(always)]
pub fn shuffle_xor_u32(value: u32, mask: u32) -> u32 {
    shuffle_xor(f32::from_bits(value), mask).to_bits()
}

/// Value of the thread `delta` lanes down (its own in the first `delta` lanes).
#[inline(always)]
pub fn shuffle_up_u32(value: u32, delta: u32) -> u32 {
    // SAFETY: all lanes take part, as the module demands.
    unsafe { shfl_up(ALL, value, delta, 0) }
}

/// Value of thread `lane`.
#[inline(always)]
pub fn broadcast_u32(value: u32, lane: u32) -> u32 {
    // SAFETY: all lanes take part, as the module demands.
    unsafe { shfl_idx(ALL, value, lane, 31) }
}

/// One bit per lane: the lanes whose `condition` holds.
#[inline(always)]
pub fn ballot(condition: bool) -> u32 {
    // SAFETY: all lanes take part, as the module demands.
    unsafe { vote_ballot(ALL, condition) }
}

include!("../warp_reductions.rs");
