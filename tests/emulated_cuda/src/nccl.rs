//! NCCL: cards of one or several processes meet through files in a folder. As with the real one, calls of a group are done
//! at its end, a card can be in a group once, and arrays must be on the member's card.

use std::cell::{Cell, RefCell};
use std::ffi::{c_char, c_void};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::driver;

const SUCCESS: i32 = 0;
const SYSTEM_ERROR: i32 = 2;
const INVALID_USAGE: i32 = 5;
/// Members wait for each other so long.
const PATIENCE: Duration = Duration::from_secs(120);

#[repr(C)]
#[derive(Clone, Copy)]
pub struct UniqueId([u8; 128]);

pub struct Communicator {
    folder: PathBuf,
    member: usize,
    size: usize,
    device: usize,
    calls: Cell<usize>,
}

enum Work {
    Join,
    Sum(*mut f32, usize),
    /// From this member.
    Copy(*mut f32, usize, usize),
}

struct Call {
    communicator: *const Communicator,
    number: usize,
    work: Work,
}

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    static QUEUE: RefCell<Vec<Call>> = const { RefCell::new(Vec::new()) };
}

impl Communicator {
    fn file(&self, number: usize, member: usize) -> PathBuf {
        self.folder.join(format!("{number}-{member}"))
    }

    /// Posts the contribution of this member to a call.
    fn post(&self, number: usize, bytes: &[u8]) -> Result<(), i32> {
        let file = self.file(number, self.member);
        let part = file.with_extension("part");
        fs::write(&part, bytes)
            .and_then(|()| fs::rename(&part, &file))
            .map_err(|_| SYSTEM_ERROR)?;
        // All have posted the call before, hence have done with the one before that.
        if let Some(done) = number.checked_sub(2) {
            let _ = fs::remove_file(self.file(done, self.member));
        }
        Ok(())
    }

    /// Waits for the contribution of another member.
    fn wait_for(&self, number: usize, member: usize) -> Result<Vec<u8>, i32> {
        let begin = Instant::now();
        loop {
            match fs::read(self.file(number, member)) {
                Ok(bytes) => return Ok(bytes),
                Err(_) if begin.elapsed() > PATIENCE => return Err(SYSTEM_ERROR),
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    fn wait_for_all(&self, number: usize) -> Result<Vec<Vec<u8>>, i32> {
        (0..self.size)
            .map(|member| self.wait_for(number, member))
            .collect()
    }
}

impl Call {
    fn communicator(&self) -> &Communicator {
        // SAFETY: made by `ncclCommInitRank` and not yet given back.
        unsafe { &*self.communicator }
    }

    fn begin(&self) -> Result<(), i32> {
        let own = self.communicator();
        match self.work {
            Work::Join => own.post(self.number, &own.device.to_le_bytes()),
            Work::Sum(values, floats) => own.post(self.number, bytes_of(values, floats)),
            Work::Copy(values, floats, from) if from == own.member => {
                own.post(self.number, bytes_of(values, floats))
            }
            Work::Copy(..) => own.post(self.number, &[]),
        }
    }

    fn end(&self) -> Result<(), i32> {
        let own = self.communicator();
        let all = own.wait_for_all(self.number)?;
        match self.work {
            Work::Join => {
                let mut devices = all.clone();
                devices.sort();
                devices.dedup();
                if devices.len() < own.size {
                    return Err(INVALID_USAGE);
                }
            }
            Work::Sum(values, floats) => {
                let mut sum = vec![0.0; floats];
                for bytes in &all {
                    assert_eq!(bytes.len(), 4 * floats, "members sum arrays of one length");
                    let theirs = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b));
                    sum.iter_mut().zip(theirs).for_each(|(a, b)| *a += b);
                }
                // SAFETY: checked when the call was queued.
                unsafe { std::ptr::copy_nonoverlapping(sum.as_ptr(), values, floats) };
            }
            Work::Copy(values, floats, from) => {
                assert_eq!(all[from].len(), 4 * floats, "arrays of one length");
                // SAFETY: as above.
                unsafe {
                    std::ptr::copy_nonoverlapping(all[from].as_ptr(), values.cast(), 4 * floats);
                }
            }
        }
        Ok(())
    }
}

fn bytes_of<'a>(values: *mut f32, floats: usize) -> &'a [u8] {
    // SAFETY: checked when the call was queued; nothing writes there until it is done.
    unsafe { std::slice::from_raw_parts(values.cast(), 4 * floats) }
}

/// Queues a call; outside a group it is done at once.
fn queue(communicator: *const Communicator, work: Work) -> i32 {
    // SAFETY: the caller's communicator.
    let calls = unsafe { &(*communicator).calls };
    let number = calls.get();
    calls.set(number + 1);
    QUEUE.with_borrow_mut(|queue| {
        queue.push(Call {
            communicator,
            number,
            work,
        });
    });
    match DEPTH.get() {
        0 => run(),
        _ => SUCCESS,
    }
}

fn run() -> i32 {
    let calls = QUEUE.take();
    let done = calls
        .iter()
        .try_for_each(Call::begin)
        .and_then(|()| calls.iter().try_for_each(Call::end));
    done.err().unwrap_or(SUCCESS)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclGetVersion(version: *mut i32) -> i32 {
    // SAFETY: the caller's integer.
    unsafe { *version = 20_000 };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclGetUniqueId(id: *mut UniqueId) -> i32 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let name = format!(
        "emulated-nccl-{}-{}",
        std::process::id(),
        now.map_or(0, |t| t.as_nanos())
    );
    let folder = std::env::temp_dir().join(name);
    if fs::create_dir(&folder).is_err() {
        return SYSTEM_ERROR;
    }
    let mut bytes = [0; 128];
    let path = folder.as_os_str().as_encoded_bytes();
    bytes[..path.len()].copy_from_slice(path);
    // SAFETY: the caller's 128 bytes.
    unsafe { *id = UniqueId(bytes) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclCommInitRank(
    communicator: *mut *const Communicator,
    size: i32,
    id: UniqueId,
    member: i32,
) -> i32 {
    let length = id.0.iter().position(|b| *b == 0).unwrap_or(128);
    let made = Box::into_raw(Box::new(Communicator {
        folder: String::from_utf8_lossy(&id.0[..length]).into_owned().into(),
        member: member as usize,
        size: size as usize,
        device: driver::current(),
        calls: Cell::new(0),
    }));
    // SAFETY: the caller's pointer.
    unsafe { *communicator = made };
    queue(made, Work::Join)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclCommAbort(communicator: *mut Communicator) -> i32 {
    // SAFETY: made by `ncclCommInitRank`, and given back once.
    drop(unsafe { Box::from_raw(communicator) });
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclGroupStart() -> i32 {
    DEPTH.set(DEPTH.get() + 1);
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclGroupEnd() -> i32 {
    DEPTH.set(DEPTH.get() - 1);
    match DEPTH.get() {
        0 => run(),
        _ => SUCCESS,
    }
}

/// The array must lie on the member's card, whose stream is used.
fn check(communicator: *const Communicator, values: *mut f32, floats: usize, stream: *mut c_void) {
    // SAFETY: the caller's communicator.
    let device = unsafe { (*communicator).device };
    assert_eq!(device, driver::device_of(stream), "the stream of the card");
    driver::check(values as u64, 4 * floats, device);
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclAllReduce(
    from: *const f32,
    to: *mut f32,
    floats: usize,
    kind: i32,
    operation: i32,
    communicator: *const Communicator,
    stream: *mut c_void,
) -> i32 {
    assert_eq!((from, kind, operation), (to.cast_const(), 7, 0));
    check(communicator, to, floats, stream);
    queue(communicator, Work::Sum(to, floats))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclBroadcast(
    from: *const f32,
    to: *mut f32,
    floats: usize,
    kind: i32,
    root: i32,
    communicator: *const Communicator,
    stream: *mut c_void,
) -> i32 {
    assert_eq!((from, kind), (to.cast_const(), 7));
    check(communicator, to, floats, stream);
    queue(communicator, Work::Copy(to, floats, root as usize))
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclGetErrorString(status: i32) -> *const c_char {
    match status {
        INVALID_USAGE => c"invalid usage: a card is in the group twice",
        _ => c"unhandled system error",
    }
    .as_ptr()
}
