//! Atomic additions to global memory.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Adds `value` to the float that `word` holds.
pub(super) fn add_to(word: &AtomicU32, value: f32) {
    let _ = word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |old| {
        Some((f32::from_bits(old) + value).to_bits())
    });
}

/// Adds to `*address`.
///
/// # Safety
/// `address` points to a float.
pub unsafe fn add_f32(address: *mut f32, value: f32) {
    // SAFETY: the caller's address; floats are aligned as the atomic is.
    add_to(unsafe { AtomicU32::from_ptr(address.cast()) }, value);
}

/// Adds to `*address` in double precision.
///
/// # Safety
/// `address` points to a double.
pub unsafe fn add_f64(address: *mut f64, value: f64) {
    // SAFETY: the caller's address; doubles are aligned as the atomic is.
    let word = unsafe { AtomicU64::from_ptr(address.cast()) };
    let _ = word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |old| {
        Some((f64::from_bits(old) + value).to_bits())
    });
}

/// Adds two consecutive floats.
///
/// # Safety
/// `address` points to two floats, aligned to 8 bytes.
pub unsafe fn add_f32x2(address: *mut f32, value: [f32; 2]) {
    for (k, v) in value.into_iter().enumerate() {
        // SAFETY: the caller's address.
        unsafe { add_f32(address.add(k), v) };
    }
}

/// Adds four consecutive floats.
///
/// # Safety
/// `address` points to four floats; on the device they are aligned to 16 bytes.
pub unsafe fn add_f32x4(address: *mut f32, value: [f32; 4]) {
    for (k, v) in value.into_iter().enumerate() {
        // SAFETY: the caller's address.
        unsafe { add_f32(address.add(k), v) };
    }
}

/// Adds to `*address` and returns what was there.
///
/// # Safety
/// `address` points to an integer.
pub unsafe fn fetch_add_u32(address: *mut u32, value: u32) -> u32 {
    // SAFETY: the caller's address.
    unsafe { AtomicU32::from_ptr(address) }.fetch_add(value, Ordering::SeqCst)
}

/// Lowers `*address` to `value` and returns what was there.
///
/// # Safety
/// `address` points to an integer.
pub unsafe fn fetch_min_u64(address: *mut u64, value: u64) -> u64 {
    // SAFETY: the caller's address.
    unsafe { AtomicU64::from_ptr(address) }.fetch_min(value, Ordering::SeqCst)
}
