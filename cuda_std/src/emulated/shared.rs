//! Dynamic shared memory: its size is chosen at launch, its content by the kernel.

use std::sync::atomic::{AtomicU32, Ordering};

use super::emulator::here;

/// A stretch of dynamic shared memory, addressed in 4-byte words. An index outside panics.
#[derive(Clone, Copy)]
pub struct Shared {
    first: u32,
}

impl Shared {
    /// The dynamic shared memory from word `offset` on.
    pub fn dynamic(offset: u32) -> Self {
        Self { first: offset }
    }

    /// The words from `offset` on.
    pub fn offset(self, offset: u32) -> Self {
        Self {
            first: self.first + offset,
        }
    }

    fn word<R>(self, i: u32, f: impl FnOnce(&AtomicU32) -> R) -> R {
        here(|c| f(&c.team.shared[(self.first + i) as usize]))
    }

    /// Word `i` as a float.
    ///
    /// # Safety
    /// `i` lies in the block's dynamic shared memory.
    pub unsafe fn load(self, i: u32) -> f32 {
        self.word(i, |w| f32::from_bits(w.load(Ordering::SeqCst)))
    }

    /// Words `i` and `i` + 1, `i` even.
    ///
    /// # Safety
    /// As [`Shared::load`].
    pub unsafe fn load2(self, i: u32) -> [f32; 2] {
        assert_eq!((self.first + i) % 2, 0, "misaligned");
        // SAFETY: passed on to the caller.
        unsafe { [self.load(i), self.load(i + 1)] }
    }

    /// Words `i` … `i` + 3, `i` a multiple of 4.
    ///
    /// # Safety
    /// As [`Shared::load`].
    pub unsafe fn load4(self, i: u32) -> [f32; 4] {
        assert_eq!((self.first + i) % 4, 0, "misaligned");
        // SAFETY: passed on to the caller.
        unsafe {
            [
                self.load(i),
                self.load(i + 1),
                self.load(i + 2),
                self.load(i + 3),
            ]
        }
    }

    /// Writes word `i`.
    ///
    /// # Safety
    /// As [`Shared::load`].
    pub unsafe fn store(self, i: u32, value: f32) {
        self.word(i, |w| w.store(value.to_bits(), Ordering::SeqCst));
    }

    /// Writes words `i` and `i` + 1, `i` even.
    ///
    /// # Safety
    /// As [`Shared::load`].
    pub unsafe fn store2(self, i: u32, value: [f32; 2]) {
        assert_eq!((self.first + i) % 2, 0, "misaligned");
        // SAFETY: passed on to the caller.
        unsafe {
            self.store(i, value[0]);
            self.store(i + 1, value[1]);
        }
    }

    /// Writes words `i` … `i` + 3, `i` a multiple of 4.
    ///
    /// # Safety
    /// As [`Shared::load`].
    pub unsafe fn store4(self, i: u32, value: [f32; 4]) {
        assert_eq!((self.first + i) % 4, 0, "misaligned");
        for (k, v) in value.into_iter().enumerate() {
            // SAFETY: passed on to the caller.
            unsafe { self.store(i + k as u32, v) };
        }
    }

    /// Word `i` as an integer.
    ///
    /// # Safety
    /// As [`Shared::load`].
    pub unsafe fn load_u32(self, i: u32) -> u32 {
        self.word(i, |w| w.load(Ordering::SeqCst))
    }

    /// Writes word `i` as an integer.
    ///
    /// # Safety
    /// As [`Shared::load`].
    pub unsafe fn store_u32(self, i: u32, value: u32) {
        self.word(i, |w| w.store(value, Ordering::SeqCst));
    }

    /// Adds to word `i` and returns what was there; concurrent additions are all counted.
    ///
    /// # Safety
    /// As [`Shared::load`].
    pub unsafe fn fetch_add_u32(self, i: u32, value: u32) -> u32 {
        self.word(i, |w| w.fetch_add(value, Ordering::SeqCst))
    }

    /// Adds to word `i`; concurrent additions are all counted, in any order.
    ///
    /// # Safety
    /// As [`Shared::load`].
    pub unsafe fn add(self, i: u32, value: f32) {
        self.word(i, |w| super::atomic::add_to(w, value));
    }
}
