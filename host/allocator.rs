//! Memory from the system, in huge pages where blocks are large. Where the system has none left the program ends with an
//! error like any other: a fixed text, the scheduler's marker file and status 1, all of which need no memory.
//!
//! Maps, volumes and batches of images are hundreds of megabytes that are filled once and freed soon. With pages of 4 KiB
//! the kernel spends as long on handing them out as the program on filling them.

use crate::errors::Code;
use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::CString;
use std::os::raw::c_char;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

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

/// Path of the file that is left when memory runs out; null: none.
static MARKER: AtomicPtr<c_char> = AtomicPtr::new(ptr::null_mut());

/// Leaves an empty file of this name when memory runs out from now on. The name is kept for the rest of the program.
pub fn leave_when_full(marker: CString) {
    MARKER.store(marker.into_raw(), Ordering::Release);
}

/// Keeps the allocator's address space small where the shell limits it (`ulimit -v`): otherwise every thread reserves 64 MiB
/// of it for a heap of its own, which nothing was planned for. To be called before threads are started.
pub fn mind_address_space() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let mut limit = libc::rlimit {
            rlim_cur: libc::RLIM_INFINITY,
            rlim_max: libc::RLIM_INFINITY,
        };
        // SAFETY: fills in the struct; the option sets a number in the allocator.
        unsafe {
            if libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) == 0
                && limit.rlim_cur != libc::RLIM_INFINITY
            {
                // Only address space is lost when this fails.
                libc::mallopt(libc::M_ARENA_MAX, 1);
            }
        }
    }
}

/// Passes on a block that was found, and ends the program where there is none.
fn or_end(block: *mut u8, bytes: usize) -> *mut u8 {
    if block.is_null() && bytes > 0 {
        end(bytes);
    }
    block
}

/// Ends the program because `bytes` could not be had. Nothing here allocates.
#[cold]
fn end(bytes: usize) -> ! {
    static ENDING: AtomicBool = AtomicBool::new(false);
    while ENDING.swap(true, Ordering::AcqRel) {
        // Another thread is at it.
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    // SAFETY: the path, where there is one, ends with a zero and is never freed; the calls are those of a signal handler.
    unsafe {
        let marker = MARKER.load(Ordering::Acquire);
        if !marker.is_null() {
            let file = libc::open(
                marker,
                libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC,
                0o666,
            );
            if file >= 0 {
                libc::close(file);
            }
        }
    }
    let mut code = [0; 20];
    let mut mebibytes = [0; 20];
    let code = digits(usize::from(Code::OUT_OF_MEMORY.number()), 4, &mut code);
    for part in [
        "ERROR:\nGR-",
        code,
        ": the memory of this machine, or what this job may use of it, is used up: ",
        digits(bytes.div_ceil(1 << 20), 1, &mut mebibytes),
        " MiB more were asked for. Ask the batch system for more memory, start fewer ranks on each machine, give a smaller \
         --j, --K or --pad, or coarser sampling; leave out --preread_images, and look at ulimit -v. A run that had begun \
         can be continued from its last optimiser file\nMore about it: gerelion explain GR-",
        code,
        "\n",
    ] {
        // SAFETY: the text is as long as it says.
        unsafe { libc::write(libc::STDERR_FILENO, part.as_ptr().cast(), part.len()) };
    }
    // SAFETY: ends the process; nothing is run that might need memory.
    unsafe { libc::_exit(1) }
}

/// A number in at least `least` decimal digits, written into `room`.
fn digits(mut number: usize, least: usize, room: &mut [u8; 20]) -> &str {
    let mut begin = room.len();
    while number > 0 || room.len() - begin < least {
        begin -= 1;
        room[begin] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    std::str::from_utf8(&room[begin..]).unwrap_or("")
}

// SAFETY: every call goes to the system's allocator unchanged; a block that is not there is never returned.
unsafe impl GlobalAlloc for HugePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on to the caller.
        let block = or_end(unsafe { System.alloc(layout) }, layout.size());
        if layout.size() >= LARGE {
            mark(block, layout.size());
        }
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on to the caller. Large blocks are zero already and touched by nobody yet.
        let block = or_end(unsafe { System.alloc_zeroed(layout) }, layout.size());
        if layout.size() >= LARGE {
            mark(block, layout.size());
        }
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: passed on to the caller.
        let block = or_end(unsafe { System.realloc(block, layout, size) }, size);
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

    #[test]
    fn numbers_are_written_without_memory() {
        let mut room = [0; 20];
        assert_eq!(digits(511, 4, &mut room), "0511");
        assert_eq!(digits(0, 1, &mut room), "0");
        assert_eq!(digits(usize::MAX, 1, &mut room), usize::MAX.to_string());
    }

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
