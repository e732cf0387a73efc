//! Dynamic shared memory: its size is chosen at launch, its content by the kernel.

use core::arch::{asm, global_asm};

global_asm!(".extern .shared .align 16 .b8 dyn_smem[];");

/// A stretch of dynamic shared memory, addressed in 4-byte words.
///
/// Reads and writes are unsafe: indices are not checked, and threads must be separated by
/// [`sync_threads`](super::thread::sync_threads) as in any kernel.
#[derive(Clone, Copy)]
pub struct Shared {
    address: u32,
}

impl Shared {
    /// The dynamic shared memory from word `offset` on.
    #[inline(always)]
    pub fn dynamic(offset: u32) -> Self {
        let base: u32;
        // SAFETY: takes the address of a symbol.
        unsafe {
            asm!(
                "mov.u32 {0}, dyn_smem;",
                out(reg32) base,
                options(pure, nomem, nostack)
            )
        };
        Self {
            address: base + 4 * offset,
        }
    }

    /// The words from `offset` on.
    #[inline(always)]
    pub fn offset(self, offset: u32) -> Self {
        Self {
            address: self.address + 4 * offset,
        }
    }

    /// Word `i` as a float.
    ///
    /// # Safety
    /// `i` lies in the block's dynamic shared memory.
    #[inline(always)]
    pub unsafe fn load(self, i: u32) -> f32 {
        let value: f32;
        // SAFETY: the caller keeps `i` inside.
        unsafe {
            asm!("ld.shared.f32 {0}, [{1}];", out(reg32) value, in(reg32) self.address + 4 * i,
                options(pure, readonly, nostack))
        };
        value
    }

    /// Words `i` and `i` + 1, `i` even.
    ///
    /// # Safety
    /// As [`Shared::load`].
    #[inline(always)]
    pub unsafe fn load2(self, i: u32) -> [f32; 2] {
        let (x, y): (f32, f32);
        // SAFETY: the caller keeps `i` inside and even.
        unsafe {
            asm!("ld.shared.v2.f32 {{{0}, {1}}}, [{2}];", out(reg32) x, out(reg32) y,
                in(reg32) self.address + 4 * i, options(pure, readonly, nostack))
        };
        [x, y]
    }

    /// Words `i` … `i` + 3, `i` a multiple of 4.
    ///
    /// # Safety
    /// As [`Shared::load`].
    #[inline(always)]
    pub unsafe fn load4(self, i: u32) -> [f32; 4] {
        let (x, y, z, w): (f32, f32, f32, f32);
        // SAFETY: the caller keeps `i` inside and a multiple of 4.
        unsafe {
            asm!("ld.shared.v4.f32 {{{0}, {1}, {2}, {3}}}, [{4}];", out(reg32) x, out(reg32) y,
                out(reg32) z, out(reg32) w, in(reg32) self.address + 4 * i,
                options(pure, readonly, nostack))
        };
        [x, y, z, w]
    }

    /// Writes word `i`.
    ///
    /// # Safety
    /// As [`Shared::load`].
    #[inline(always)]
    pub unsafe fn store(self, i: u32, value: f32) {
        // SAFETY: the caller keeps `i` inside.
        unsafe {
            asm!("st.shared.f32 [{0}], {1};", in(reg32) self.address + 4 * i, in(reg32) value,
                options(nostack))
        }
    }

    /// Writes words `i` and `i` + 1, `i` even.
    ///
    /// # Safety
    /// As [`Shared::load`].
    #[inline(always)]
    pub unsafe fn store2(self, i: u32, value: [f32; 2]) {
        // SAFETY: the caller keeps `i` inside and even.
        unsafe {
            asm!("st.shared.v2.f32 [{0}], {{{1}, {2}}};", in(reg32) self.address + 4 * i,
                in(reg32) value[0], in(reg32) value[1], options(nostack))
        }
    }

    /// Writes words `i` … `i` + 3, `i` a multiple of 4.
    ///
    /// # Safety
    /// As [`Shared::load`].
    #[inline(always)]
    pub unsafe fn store4(self, i: u32, value: [f32; 4]) {
        // SAFETY: the caller keeps `i` inside and a multiple of 4.
        unsafe {
            asm!("st.shared.v4.f32 [{0}], {{{1}, {2}, {3}, {4}}};", in(reg32) self.address + 4 * i,
                in(reg32) value[0], in(reg32) value[1], in(reg32) value[2], in(reg32) value[3],
                options(nostack))
        }
    }

    /// Word `i` as an integer.
    ///
    /// # Safety
    /// As [`Shared::load`].
    #[inline(always)]
    pub unsafe fn load_u32(self, i: u32) -> u32 {
        // SAFETY: passed on to the caller.
        unsafe { self.load(i) }.to_bits()
    }

    /// Writes word `i` as an integer.
    ///
    /// # Safety
    /// As [`Shared::load`].
    #[inline(always)]
    pub unsafe fn store_u32(self, i: u32, value: u32) {
        // SAFETY: passed on to the caller.
        unsafe { self.store(i, f32::from_bits(value)) }
    }

    /// Adds to word `i` and returns what was there; concurrent additions are all counted.
    ///
    /// # Safety
    /// As [`Shared::load`].
    #[inline(always)]
    pub unsafe fn fetch_add_u32(self, i: u32, value: u32) -> u32 {
        let old: u32;
        // SAFETY: the caller keeps `i` inside.
        unsafe {
            asm!("atom.shared.add.u32 {0}, [{1}], {2};", out(reg32) old,
                in(reg32) self.address + 4 * i, in(reg32) value, options(nostack))
        };
        old
    }

    /// Adds to word `i`; concurrent additions are all counted, in any order.
    ///
    /// # Safety
    /// As [`Shared::load`].
    #[inline(always)]
    pub unsafe fn add(self, i: u32, value: f32) {
        // SAFETY: the caller keeps `i` inside.
        unsafe {
            asm!("red.shared.add.f32 [{0}], {1};", in(reg32) self.address + 4 * i,
                in(reg32) value, options(nostack))
        }
    }
}
