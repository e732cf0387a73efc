//! Memory from the system, in huge pages where blocks are large.
//!
//! Maps, volumes and batches of images are hundreds of megabytes that are filled once and freed soon. With pages of 4 KiB
//! the kernel spends as long on handing them out as the program on filling them.

use std::alloc::{GlobalAlloc, Layout, System};

/// Blocks from this size on ask for huge pages, bytes.
const LARGE: usize = 8 << 20;

/// The system's allocator; large blocks are marked for huge pages. What the kernel makes of the mark is its own business.
pub struct HugePages;

/// Marks the huge pages that lie wholly within a block.
fn mark(block: *mut u8, bytes: usize) {
    #[cfg(target_os = "linux")]
    {
        const HUGE: usize = 2 << 20;
        let begin = block.addr().next_multiple_of(HUGE);
        let end = (block.addr() + bytes) / HUGE * HUGE;
        if !block.is_null() && begin < end {
            // SAFETY: the range lies within the block. The advice changes no content; a failure costs speed only.
            unsafe {
                libc::madvise(
                    block.with_addr(begin).cast(),
                    end - begin,
                    libc::MADV_HUGEPAGE,
                )
            };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (block, bytes);
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for HugePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on to the caller.
        let block = unsafe { System.alloc(layout) };
        if layout.size() >= LARGE {
            mark(block, layout.size());
        }
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on to the caller. Large blocks are zero already and touched by nobody yet.
        let block = unsafe { System.alloc_zeroed(layout) };
        if layout.size() >= LARGE {
            mark(block, layout.size());
        }
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: passed on to the caller.
        let block = unsafe { System.realloc(block, layout, size) };
        if size >= LARGE {
            mark(block, size);
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: passed on to the caller.
        unsafe { System.dealloc(block, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of every kind keep their content, and zeroed ones are zero.
    #[test]
    fn large_blocks_hold_what_is_put_into_them() {
        let bytes = 3 * LARGE + 123;
        let layout = Layout::from_size_align(bytes, 64).unwrap();
        // SAFETY: one layout for each block; accesses stay inside.
        unsafe {
            let block = HugePages.alloc_zeroed(layout);
            assert!((0..bytes).step_by(4099).all(|i| *block.add(i) == 0));
            *block.add(bytes - 1) = 7;
            let block = HugePages.realloc(block, layout, 2 * bytes);
            assert_eq!((*block, *block.add(bytes - 1)), (0, 7));
            HugePages.dealloc(block, Layout::from_size_align(2 * bytes, 64).unwrap());
            let block = HugePages.alloc(layout);
            block.write_bytes(5, bytes);
            assert_eq!(*block.add(bytes / 2), 5);
            HugePages.dealloc(block, layout);
        }
    }
}
