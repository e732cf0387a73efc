//! Wide loads and stores of global memory: one transaction for two or four floats.

use core::arch::asm;

/// Two floats at `index`, through the read-only cache.
///
/// # Safety
/// `base` points to global memory that holds the pair, is aligned to 8 bytes and is not written while the kernel runs.
#[inline(always)]
pub unsafe fn load2(base: *const [f32; 2], index: usize) -> [f32; 2] {
    let (x, y): (f32, f32);
    // SAFETY: the caller's pointer.
    unsafe {
        asm!("{{ .reg .b64 g; cvta.to.global.u64 g, {2}; ld.global.nc.v2.f32 {{{0}, {1}}}, [g]; }}",
            out(reg32) x, out(reg32) y, in(reg64) base.add(index), options(pure, readonly, nostack))
    };
    [x, y]
}

/// Four floats at `index`, through the read-only cache.
///
/// # Safety
/// As [`load2`], aligned to 16 bytes.
#[inline(always)]
pub unsafe fn load4(base: *const [f32; 4], index: usize) -> [f32; 4] {
    let (x, y, z, w): (f32, f32, f32, f32);
    // SAFETY: the caller's pointer.
    unsafe {
        asm!("{{ .reg .b64 g; cvta.to.global.u64 g, {4}; ld.global.nc.v4.f32 {{{0}, {1}, {2}, {3}}}, [g]; }}",
            out(reg32) x, out(reg32) y, out(reg32) z, out(reg32) w, in(reg64) base.add(index),
            options(pure, readonly, nostack))
    };
    [x, y, z, w]
}

/// One float at `index`, through the read-only cache.
///
/// # Safety
/// As [`load2`], aligned to 4 bytes.
#[inline(always)]
pub unsafe fn load(base: *const f32, index: usize) -> f32 {
    let x: f32;
    // SAFETY: the caller's pointer.
    unsafe {
        asm!("{{ .reg .b64 g; cvta.to.global.u64 g, {1}; ld.global.nc.f32 {0}, [g]; }}",
            out(reg32) x, in(reg64) base.add(index), options(pure, readonly, nostack))
    };
    x
}

/// Writes two floats at `index` with one store.
///
/// # Safety
/// `base` points to global memory that holds the pair, aligned to 8 bytes; no other thread writes it.
#[inline(always)]
pub unsafe fn store2(base: *mut [f32; 2], index: usize, value: [f32; 2]) {
    // SAFETY: the caller's pointer.
    unsafe {
        asm!("{{ .reg .b64 g; cvta.to.global.u64 g, {0}; st.global.v2.f32 [g], {{{1}, {2}}}; }}",
            in(reg64) base.add(index), in(reg32) value[0], in(reg32) value[1], options(nostack))
    }
}
