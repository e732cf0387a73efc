//! Atomic additions to global memory. Relaxed, at device scope: all are counted, in any order.

use core::arch::asm;

/// Adds to `*address`.
///
/// # Safety
/// `address` points to a float in global memory.
#[inline(always)]
pub unsafe fn add_f32(address: *mut f32, value: f32) {
    // SAFETY: the caller's address.
    unsafe {
        asm!("{{ .reg .b64 g; cvta.to.global.u64 g, {0}; red.global.add.f32 [g], {1}; }}",
            in(reg64) address, in(reg32) value, options(nostack))
    }
}

/// Adds to `*address` in double precision.
///
/// # Safety
/// `address` points to a double in global memory.
#[inline(always)]
pub unsafe fn add_f64(address: *mut f64, value: f64) {
    // SAFETY: the caller's address.
    unsafe {
        asm!("{{ .reg .b64 g; cvta.to.global.u64 g, {0}; red.global.add.f64 [g], {1}; }}",
            in(reg64) address, in(reg64) value, options(nostack))
    }
}

/// Adds two consecutive floats: one instruction on sm_90, two on older cards.
///
/// # Safety
/// `address` points to two floats in global memory, aligned to 8 bytes.
#[inline(always)]
pub unsafe fn add_f32x2(address: *mut f32, value: [f32; 2]) {
    // SAFETY: the caller's address.
    unsafe {
        #[cfg(gpu_arch = "sm_90")]
        asm!("{{ .reg .b64 g; cvta.to.global.u64 g, {0}; red.global.add.v2.f32 [g], {{{1}, {2}}}; }}",
            in(reg64) address, in(reg32) value[0], in(reg32) value[1], options(nostack));
        #[cfg(not(gpu_arch = "sm_90"))]
        {
            add_f32(address, value[0]);
            add_f32(address.add(1), value[1]);
        }
    }
}

/// Adds four consecutive floats: one instruction on sm_90, four on older cards.
///
/// # Safety
/// `address` points to four floats in global memory, aligned to 16 bytes.
#[inline(always)]
pub unsafe fn add_f32x4(address: *mut f32, value: [f32; 4]) {
    // SAFETY: the caller's address.
    unsafe {
        #[cfg(gpu_arch = "sm_90")]
        asm!("{{ .reg .b64 g; cvta.to.global.u64 g, {0}; red.global.add.v4.f32 [g], {{{1}, {2}, {3}, {4}}}; }}",
            in(reg64) address, in(reg32) value[0], in(reg32) value[1], in(reg32) value[2],
            in(reg32) value[3], options(nostack));
        #[cfg(not(gpu_arch = "sm_90"))]
        {
            add_f32(address, value[0]);
            add_f32(address.add(1), value[1]);
            add_f32(address.add(2), value[2]);
            add_f32(address.add(3), value[3]);
        }
    }
}

/// Adds to `*address` and returns what was there.
///
/// # Safety
/// `address` points to an integer in global memory.
#[inline(always)]
pub unsafe fn fetch_add_u32(address: *mut u32, value: u32) -> u32 {
    let old: u32;
    // SAFETY: the caller's address.
    unsafe {
        asm!("{{ .reg .b64 g; cvta.to.global.u64 g, {1}; atom.global.add.u32 {0}, [g], {2}; }}",
            out(reg32) old, in(reg64) address, in(reg32) value, options(nostack))
    };
    old
}

/// Lowers `*address` to `value` and returns what was there.
///
/// # Safety
/// `address` points to an integer in global memory.
#[inline(always)]
pub unsafe fn fetch_min_u64(address: *mut u64, value: u64) -> u64 {
    let old: u64;
    // SAFETY: the caller's address.
    unsafe {
        asm!("{{ .reg .b64 g; cvta.to.global.u64 g, {1}; atom.global.min.u64 {0}, [g], {2}; }}",
            out(reg64) old, in(reg64) address, in(reg64) value, options(nostack))
    };
    old
}
