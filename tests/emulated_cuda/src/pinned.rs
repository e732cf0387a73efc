//! Pinned memory and events. A copy out of pinned memory happens as late as the rules allow: when its stream or an event
//! behind it is waited for, by the host or by another stream that goes on to something else, or when its stream goes on to
//! something else. A copy into pinned memory takes what is there in its turn, but puts it down only when the host waits. A
//! program that does not wait finds what was there before, and one that writes to the memory too early copies the new
//! content.

use std::alloc::Layout;
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Mutex;
use std::time::Instant;

const SUCCESS: i32 = 0;
const ALIGNMENT: usize = 64;
/// Bytes of fresh memory: as a float a NaN.
const POISON: u8 = 0xff;

/// A copy out of pinned memory that waits.
struct Copy {
    stream: usize,
    to: u64,
    from: usize,
    bytes: usize,
}

/// A copy into pinned memory that was done, but that the host cannot see yet.
struct Arrival {
    stream: usize,
    to: usize,
    content: Vec<u8>,
}

/// A stream waits for the first copies of another one.
struct Join {
    stream: usize,
    other: usize,
    behind: usize,
}

#[derive(Default)]
struct State {
    /// Pinned ranges: begin and bytes.
    memory: HashMap<usize, usize>,
    waiting: Vec<Copy>,
    arrivals: Vec<Arrival>,
    joins: Vec<Join>,
    /// Where and when each event was recorded last.
    events: HashMap<usize, Recorded>,
    next_event: usize,
}

struct Recorded {
    stream: usize,
    /// Copies that wait before it in its stream.
    behind: usize,
    at: Instant,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);

fn state<R>(f: impl FnOnce(&mut State) -> R) -> R {
    f(STATE.lock().unwrap().get_or_insert_default())
}

impl State {
    /// Does the first `count` copies that wait in `stream`.
    fn copy(&mut self, stream: usize, count: usize) {
        let mut done = 0;
        self.waiting.retain(|copy| {
            if copy.stream != stream || done == count {
                return true;
            }
            done += 1;
            let from = std::ptr::with_exposed_provenance::<u8>(copy.from);
            // SAFETY: inside an array and inside pinned memory, checked when it was queued.
            unsafe { std::ptr::copy_nonoverlapping(from, copy.to as *mut u8, copy.bytes) };
            false
        });
        for event in self.events.values_mut().filter(|e| e.stream == stream) {
            event.behind = event.behind.saturating_sub(done);
        }
        for join in self.joins.iter_mut().filter(|j| j.other == stream) {
            join.behind = join.behind.saturating_sub(done);
        }
    }

    /// Does what waits in `stream`, and what that waits for.
    fn finish(&mut self, stream: usize) {
        let (of_stream, others) = std::mem::take(&mut self.joins)
            .into_iter()
            .partition(|join| join.stream == stream);
        self.joins = others;
        let of_stream: Vec<Join> = of_stream;
        for join in of_stream {
            self.copy(join.other, join.behind);
        }
        self.copy(stream, usize::MAX);
    }

    /// Shows the host what came down in `stream`.
    fn arrive(&mut self, stream: usize) {
        self.arrivals.retain(|arrival| {
            if arrival.stream != stream {
                return true;
            }
            let to = std::ptr::with_exposed_provenance_mut::<u8>(arrival.to);
            let (content, bytes) = (arrival.content.as_ptr(), arrival.content.len());
            // SAFETY: inside pinned memory, checked when it was queued.
            unsafe { std::ptr::copy_nonoverlapping(content, to, bytes) };
            false
        });
    }

    fn is_pinned(&self, address: usize, bytes: usize) -> bool {
        self.memory
            .iter()
            .any(|(&begin, &size)| address >= begin && address + bytes <= begin + size)
    }
}

/// Does what waits in `stream`, which goes on to something else.
pub fn finish(stream: *mut c_void) {
    state(|s| s.finish(stream.addr()));
}

/// Does what waits in `stream`, for which the host waits.
pub fn wait(stream: *mut c_void) {
    state(|s| {
        s.finish(stream.addr());
        s.arrive(stream.addr());
    });
}

/// Keeps the content of a copy back, when it is into pinned memory.
///
/// # Safety
/// `from` has so many bytes.
pub unsafe fn keep_back(
    stream: *mut c_void,
    to: *mut c_void,
    from: *const u8,
    bytes: usize,
) -> bool {
    state(|s| {
        s.finish(stream.addr());
        let is_pinned = s.is_pinned(to.addr(), bytes);
        if is_pinned {
            // SAFETY: by the caller's word.
            let content = unsafe { std::slice::from_raw_parts(from, bytes) }.to_vec();
            s.arrivals.push(Arrival {
                stream: stream.addr(),
                to: to.addr(),
                content,
            });
        }
        is_pinned
    })
}

/// Defers a copy where it comes from pinned memory; returns whether it did.
pub fn defer(stream: *mut c_void, to: u64, from: *const c_void, bytes: usize) -> bool {
    state(|s| {
        let from = from.addr();
        let is_pinned = s.is_pinned(from, bytes);
        if is_pinned {
            s.waiting.push(Copy {
                stream: stream.addr(),
                to,
                from,
                bytes,
            });
        }
        is_pinned
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemHostAlloc(
    pointer: *mut *mut c_void,
    bytes: usize,
    _flags: u32,
) -> i32 {
    let layout = Layout::from_size_align(bytes, ALIGNMENT).expect("a size");
    // SAFETY: not empty: the program asks for megabytes.
    let memory = unsafe { std::alloc::alloc(layout) };
    // SAFETY: just allocated.
    unsafe { std::ptr::write_bytes(memory, POISON, bytes) };
    state(|s| s.memory.insert(memory.expose_provenance(), bytes));
    // SAFETY: the caller's pointer.
    unsafe { *pointer = memory.cast() };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemFreeHost(pointer: *mut c_void) -> i32 {
    let bytes = state(|s| {
        let begin = pointer.addr();
        let bytes = s.memory.remove(&begin).expect("memory is freed once");
        let is_read = |c: &Copy| c.from >= begin && c.from < begin + bytes;
        if s.waiting.iter().any(is_read) {
            eprintln!("emulated device: pinned memory is freed before it was copied");
            std::process::abort();
        }
        let is_written = |a: &Arrival| a.to >= begin && a.to < begin + bytes;
        if s.arrivals.iter().any(is_written) {
            eprintln!(
                "emulated device: pinned memory is freed before a copy into it was waited for"
            );
            std::process::abort();
        }
        bytes
    });
    let layout = Layout::from_size_align(bytes, ALIGNMENT).expect("a size");
    // SAFETY: allocated with this layout above.
    unsafe { std::alloc::dealloc(pointer.cast(), layout) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventCreate(event: *mut *mut c_void, _flags: u32) -> i32 {
    let number = state(|s| {
        s.next_event += 1;
        s.next_event
    });
    // SAFETY: the caller's pointer.
    unsafe { *event = std::ptr::without_provenance_mut(number) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventRecord(event: *mut c_void, stream: *mut c_void) -> i32 {
    state(|s| {
        let stream = stream.addr();
        let behind = s.waiting.iter().filter(|c| c.stream == stream).count();
        let at = Instant::now();
        s.events
            .insert(event.addr(), Recorded { stream, behind, at });
    });
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventSynchronize(event: *mut c_void) -> i32 {
    state(|s| {
        if let Some(&Recorded { stream, behind, .. }) = s.events.get(&event.addr()) {
            s.copy(stream, behind);
            s.arrive(stream);
        }
    });
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamWaitEvent(stream: *mut c_void, event: *mut c_void, _flags: u32) -> i32 {
    state(|s| {
        let &Recorded {
            stream: other,
            behind,
            ..
        } = s.events.get(&event.addr()).expect("was recorded");
        s.joins.push(Join {
            stream: stream.addr(),
            other,
            behind,
        });
    });
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventElapsedTime_v2(
    milliseconds: *mut f32,
    begin: *mut c_void,
    end: *mut c_void,
) -> i32 {
    let (begin, end) = state(|s| {
        let at = |event: *mut c_void| s.events.get(&event.addr()).expect("was recorded").at;
        (at(begin), at(end))
    });
    // SAFETY: the caller's number.
    unsafe { *milliseconds = 1e3 * (end - begin).as_secs_f32() };
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventDestroy_v2(event: *mut c_void) -> i32 {
    state(|s| s.events.remove(&event.addr()));
    SUCCESS
}
