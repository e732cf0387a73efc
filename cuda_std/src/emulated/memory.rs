//! Wide loads and stores of global memory.

/// Two floats at `index`.
///
/// # Safety
/// `base` points to memory that holds the pair; on the device it is aligned to 8 bytes and not written meanwhile.
pub unsafe fn load2(base: *const [f32; 2], index: usize) -> [f32; 2] {
    // SAFETY: the caller's pointer.
    unsafe { *base.add(index) }
}

/// Four floats at `index`.
///
/// # Safety
/// As [`load2`], aligned to 16 bytes on the device.
pub unsafe fn load4(base: *const [f32; 4], index: usize) -> [f32; 4] {
    // SAFETY: the caller's pointer.
    unsafe { *base.add(index) }
}

/// One float at `index`.
///
/// # Safety
/// As [`load2`], aligned to 4 bytes.
pub unsafe fn load(base: *const f32, index: usize) -> f32 {
    // SAFETY: the caller's pointer.
    unsafe { *base.add(index) }
}

/// Writes two floats at `index`.
///
/// # Safety
/// As [`load2`]; no other thread writes the pair.
pub unsafe fn store2(base: *mut [f32; 2], index: usize, value: [f32; 2]) {
    // SAFETY: the caller's pointer.
    unsafe { *base.add(index) = value }
}
