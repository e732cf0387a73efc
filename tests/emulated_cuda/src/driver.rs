//! The driver: memory with guards, modules without content, launches by name. There are as many devices as
//! `EMULATED_DEVICES` says (1), each with memory of its own: contexts, streams, functions and arrays know their device, and
//! using them with another ends the program.
//!
//! Faults of a card can be asked for:
//! * `EMULATED_MEMORY`: bytes of each device (8 GiB);
//! * `EMULATED_FULL`: `kernel:n`, the device is full for the next array after the n-th launch of that kernel (from 1 on);
//! * `EMULATED_FAULT`: `kernel:n`, the n-th launch of that kernel fails.
//!
//! `kernel:n+` means the n-th launch and all later ones.

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_void};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use crate::{kernels, pinned};

const SUCCESS: i32 = 0;
const OUT_OF_MEMORY: i32 = 2;
const NOT_FOUND: i32 = 500;
const LAUNCH_FAILED: i32 = 719;
/// Bytes before and after every array, and what they hold.
const GUARD: usize = 64;
const MARK: u8 = 0xa5;
/// Bytes of fresh memory: as a float a NaN.
const POISON: u8 = 0xff;
/// Bytes of a device unless `EMULATED_MEMORY` says otherwise.
const MEMORY: usize = 8 << 30;

/// Returns the bytes of a device.
fn memory() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| {
        std::env::var("EMULATED_MEMORY").map_or(MEMORY, |n| n.parse().expect("a number of bytes"))
    })
}

/// True for a launch of `kernel` that `variable` names as `kernel:n` or `kernel:n+`; `launches` counts those of the kernel.
fn is_named(variable: &str, kernel: &str, launches: &AtomicUsize) -> bool {
    let Ok(named) = std::env::var(variable) else {
        return false;
    };
    let (name, number) = named.split_once(':').expect("kernel:number");
    let first = number.strip_suffix('+');
    let number: usize = first
        .unwrap_or(number)
        .parse()
        .expect("the number of a launch");
    if name != kernel {
        return false;
    }
    let launch = launches.fetch_add(1, Ordering::SeqCst) + 1;
    launch == number || (first.is_some() && launch > number)
}

/// There is no room for the next array.
static FULL: AtomicBool = AtomicBool::new(false);

/// Functions are their index in the table plus this times their device.
const FUNCTIONS: usize = 1 << 20;

/// An array that exists.
struct Array {
    bytes: usize,
    device: usize,
}

static ARRAYS: Mutex<Option<HashMap<u64, Array>>> = Mutex::new(None);

fn arrays<R>(f: impl FnOnce(&mut HashMap<u64, Array>) -> R) -> R {
    f(ARRAYS.lock().unwrap().get_or_insert_default())
}

thread_local! {
    /// Device of this thread's current context, counted from 1; 0 without.
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// Returns the handle of a device's context, and of its module.
fn handle(device: usize) -> *mut c_void {
    std::ptr::without_provenance_mut(device + 1)
}

/// Streams are their device's handle plus this times their number.
pub const STREAMS: usize = 1 << 10;

/// Device of a context, stream or module.
pub fn device_of(handle: *mut c_void) -> usize {
    (handle.addr() % STREAMS)
        .checked_sub(1)
        .expect("a context or stream")
}

pub fn current() -> usize {
    CURRENT.get().checked_sub(1).expect("a current context")
}

/// Bytes of a device that are in use.
fn used(device: usize) -> usize {
    arrays(|a| {
        a.values()
            .filter(|a| a.device == device)
            .map(|a| a.bytes)
            .sum()
    })
}

fn devices() -> i32 {
    std::env::var("EMULATED_DEVICES").map_or(1, |n| n.parse().expect("a number of devices"))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuInit(_flags: u32) -> i32 {
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDriverGetVersion(version: *mut i32) -> i32 {
    // SAFETY: the caller's integer.
    unsafe { *version = 13000 };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetCount(count: *mut i32) -> i32 {
    // SAFETY: the caller's integer.
    unsafe { *count = devices() };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGet(device: *mut i32, ordinal: i32) -> i32 {
    // SAFETY: the caller's integer.
    unsafe { *device = ordinal };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetName(name: *mut c_char, length: i32, _device: i32) -> i32 {
    let text = c"emulated on the host";
    // SAFETY: the caller's buffer of `length` bytes, longer than the text.
    unsafe {
        assert!(length as usize > text.count_bytes());
        std::ptr::copy_nonoverlapping(text.as_ptr(), name, text.count_bytes() + 1);
    }
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceTotalMem_v2(bytes: *mut usize, _device: i32) -> i32 {
    // SAFETY: the caller's integer.
    unsafe { *bytes = MEMORY };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetAttribute(
    value: *mut i32,
    attribute: i32,
    _device: i32,
) -> i32 {
    // 75, 76: compute capability; 115: memory pools.
    let known = match attribute {
        75 => 9,
        115 => 1,
        _ => 0,
    };
    // SAFETY: the caller's integer.
    unsafe { *value = known };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetUuid_v2(uuid: *mut [u8; 16], device: i32) -> i32 {
    // SAFETY: the caller's 16 bytes.
    unsafe { *uuid = [device as u8 + 1; 16] };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDevicePrimaryCtxRetain(context: *mut *mut c_void, device: i32) -> i32 {
    // SAFETY: the caller's pointer.
    unsafe { *context = handle(device as usize) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxRelease_v2(_device: i32) -> i32 {
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetCurrent(context: *mut c_void) -> i32 {
    CURRENT.set(context.addr());
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetCurrent(context: *mut *mut c_void) -> i32 {
    // SAFETY: the caller's pointer.
    unsafe { *context = std::ptr::without_provenance_mut(CURRENT.get()) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSynchronize() -> i32 {
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetDefaultMemPool(pool: *mut *mut c_void, _device: i32) -> i32 {
    // SAFETY: the caller's pointer.
    unsafe { *pool = std::ptr::without_provenance_mut(32) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolSetAttribute(
    _pool: *mut c_void,
    _attribute: i32,
    _value: *mut c_void,
) -> i32 {
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) -> i32 {
    let used = used(current());
    // SAFETY: the caller's integers.
    unsafe {
        *free = memory().saturating_sub(used);
        *total = memory();
    }
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamCreate(stream: *mut *mut c_void, _flags: u32) -> i32 {
    static NUMBER: AtomicUsize = AtomicUsize::new(1);
    let number = NUMBER.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the caller's pointer.
    unsafe { *stream = handle(current()).map_addr(|a| a + number * STREAMS) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamDestroy_v2(stream: *mut c_void) -> i32 {
    pinned::wait(stream);
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamSynchronize(stream: *mut c_void) -> i32 {
    pinned::wait(stream);
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAllocAsync(
    pointer: *mut u64,
    bytes: usize,
    stream: *mut c_void,
) -> i32 {
    let device = device_of(stream);
    if FULL.swap(false, Ordering::SeqCst) || used(device) + bytes > memory() {
        return OUT_OF_MEMORY;
    }
    let mut memory = vec![MARK; bytes + 2 * GUARD].into_boxed_slice();
    memory[GUARD..GUARD + bytes].fill(POISON);
    let address = Box::into_raw(memory).cast::<u8>() as u64 + GUARD as u64;
    arrays(|a| a.insert(address, Array { bytes, device }));
    // SAFETY: the caller's integer.
    unsafe { *pointer = address };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemFreeAsync(pointer: u64, stream: *mut c_void) -> i32 {
    pinned::finish(stream);
    let bytes = arrays(|a| a.remove(&pointer))
        .expect("an array is freed once")
        .bytes;
    let start = (pointer - GUARD as u64) as *mut u8;
    // SAFETY: allocated with this length above.
    let memory =
        unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(start, bytes + 2 * GUARD)) };
    let intact = |range: std::ops::Range<usize>| memory[range].iter().all(|b| *b == MARK);
    if !intact(0..GUARD) || !intact(GUARD + bytes..bytes + 2 * GUARD) {
        eprintln!("emulated device: something wrote beyond an array of {bytes} bytes");
        std::process::abort();
    }
    SUCCESS
}

/// The range must lie within one array of this device.
pub fn check(address: u64, bytes: usize, device: usize) {
    let found = arrays(|a| {
        a.iter()
            .find(|(begin, array)| {
                address >= **begin && address + bytes as u64 <= *begin + array.bytes as u64
            })
            .map(|(_, array)| array.device)
    });
    match found {
        Some(owner) if owner == device => {}
        Some(owner) => {
            eprintln!(
                "emulated device: device {device} copies to or from an array of device {owner}"
            );
            std::process::abort();
        }
        None => {
            eprintln!("emulated device: a copy of {bytes} bytes leaves its array");
            std::process::abort();
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemsetD8Async(
    address: u64,
    value: u8,
    bytes: usize,
    stream: *mut c_void,
) -> i32 {
    check(address, bytes, device_of(stream));
    pinned::finish(stream);
    // SAFETY: inside an array.
    unsafe { std::ptr::write_bytes(address as *mut u8, value, bytes) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyHtoDAsync_v2(
    to: u64,
    from: *const c_void,
    bytes: usize,
    stream: *mut c_void,
) -> i32 {
    check(to, bytes, device_of(stream));
    if pinned::defer(stream, to, from, bytes) {
        return SUCCESS;
    }
    // SAFETY: inside an array; the caller's memory.
    unsafe { std::ptr::copy_nonoverlapping(from.cast::<u8>(), to as *mut u8, bytes) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyDtoHAsync_v2(
    to: *mut c_void,
    from: u64,
    bytes: usize,
    stream: *mut c_void,
) -> i32 {
    check(from, bytes, device_of(stream));
    // SAFETY: inside an array; the caller's memory.
    unsafe {
        if !pinned::keep_back(stream, to, from as *const u8, bytes) {
            std::ptr::copy_nonoverlapping(from as *const u8, to.cast::<u8>(), bytes);
        }
    }
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyDtoDAsync_v2(
    to: u64,
    from: u64,
    bytes: usize,
    stream: *mut c_void,
) -> i32 {
    check(from, bytes, device_of(stream));
    check(to, bytes, device_of(stream));
    pinned::finish(stream);
    // SAFETY: inside two arrays, which do not overlap.
    unsafe { std::ptr::copy_nonoverlapping(from as *const u8, to as *mut u8, bytes) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyPeerAsync(
    to: u64,
    to_context: *mut c_void,
    from: u64,
    from_context: *mut c_void,
    bytes: usize,
    _stream: *mut c_void,
) -> i32 {
    check(to, bytes, device_of(to_context));
    check(from, bytes, device_of(from_context));
    // SAFETY: inside two arrays.
    unsafe { std::ptr::copy_nonoverlapping(from as *const u8, to as *mut u8, bytes) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleLoadData(module: *mut *mut c_void, _image: *const c_void) -> i32 {
    // SAFETY: the caller's pointer.
    unsafe { *module = handle(current()) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleUnload(_module: *mut c_void) -> i32 {
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleGetFunction(
    function: *mut *mut c_void,
    module: *mut c_void,
    name: *const c_char,
) -> i32 {
    // SAFETY: a nul-terminated name.
    let name = unsafe { CStr::from_ptr(name) }.to_str().unwrap();
    let Some(index) = kernels::index_of(name) else {
        return NOT_FOUND;
    };
    // A function is its index, counted from 1, and its device.
    let function_of_device = device_of(module) * FUNCTIONS + index + 1;
    // SAFETY: the caller's pointer.
    unsafe { *function = std::ptr::without_provenance_mut(function_of_device) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuLaunchKernel(
    function: *mut c_void,
    grid_x: u32,
    grid_y: u32,
    grid_z: u32,
    block_x: u32,
    block_y: u32,
    block_z: u32,
    shared: u32,
    stream: *mut c_void,
    arguments: *const *const c_void,
    _extra: *const c_void,
) -> i32 {
    static BEFORE_FULL: AtomicUsize = AtomicUsize::new(0);
    static BEFORE_FAULT: AtomicUsize = AtomicUsize::new(0);
    let (device, function) = (
        (function.addr() - 1) / FUNCTIONS,
        (function.addr() - 1) % FUNCTIONS,
    );
    assert_eq!(
        device,
        device_of(stream),
        "a function runs on its own device"
    );
    pinned::finish(stream);
    let name = kernels::name_of(function);
    if is_named("EMULATED_FULL", name, &BEFORE_FULL) {
        FULL.store(true, Ordering::SeqCst);
    }
    if is_named("EMULATED_FAULT", name, &BEFORE_FAULT) {
        return LAUNCH_FAILED;
    }
    // SAFETY: the caller's arguments are those of the kernel.
    unsafe {
        kernels::launch(
            function,
            [grid_x, grid_y, grid_z],
            [block_x, block_y, block_z],
            shared as usize,
            arguments,
        );
    }
    SUCCESS
}
