//! NCCL: sums over cards of one machine, from card to card. The library is loaded at run time; where it is not there, sums
//! go through the host.
//!
//! `cudarc` has bindings too, which do not do here: it looks for `libnccl.so` and for the versions of CUDA after that name,
//! never for `libnccl.so.2`, the only name in NVIDIA's run-time packages (`libnccl2`, `nvidia-nccl-cu12`); it panics when the library, or
//! one of its functions, is missing; and it takes statuses as an enum, so that one that a newer library adds would be
//! undefined behaviour.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::driver::find_libraries;
use super::{Device, DeviceError, DeviceVolume};

/// Elements that one call sums: 256 MiB.
const CHUNK: usize = 16 << 20;
/// `ncclFloat32`.
const FLOAT: c_int = 7;
/// `ncclSum`.
const SUM: c_int = 0;
/// `ncclInProgress`: no error.
const IN_PROGRESS: c_int = 7;
const NAME: &CStr = c"libnccl.so.2";

type Handle = *mut c_void;

/// Names a group of cards that are to work together: made by one member, given to all.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupId([u8; 128]);

impl GroupId {
    /// Bytes on their way between processes.
    pub const BYTES: usize = 128;

    /// A new name.
    ///
    /// # Errors
    /// There is no NCCL, or it finds no way between cards.
    pub fn new() -> Result<Self, DeviceError> {
        let library = library()?;
        let mut id = Self([0; Self::BYTES]);
        // SAFETY: writes the 128 bytes.
        library.checked("naming a group of cards", unsafe {
            (library.get_unique_id)(&mut id)
        })?;
        Ok(id)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// From the bytes.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }
}

/// Version of the library, as "2.27.3".
///
/// # Errors
/// There is none.
pub fn version() -> Result<String, DeviceError> {
    let library = library()?;
    let mut version = 0;
    // SAFETY: writes one integer.
    library.checked("asking for its version", unsafe {
        (library.get_version)(&mut version)
    })?;
    Ok(format!(
        "{}.{}.{}",
        version / 10_000,
        version / 100 % 100,
        version % 100
    ))
}

/// The cards of this process in a group that sums together. Every process of the group calls the same sums and broadcasts
/// in the same order.
pub struct CardGroup {
    members: Mutex<Vec<Member>>,
}

struct Member {
    device: Arc<Device>,
    communicator: Handle,
}

// SAFETY: NCCL allows calls of a communicator from any thread, one at a time.
unsafe impl Send for Member {}

impl CardGroup {
    /// Join group `id` of `size` cards with those of this process, which are members `first` and following. Waits until all
    /// have joined.
    ///
    /// # Errors
    /// There is no NCCL; a card is in the group twice; the cards cannot reach each other.
    pub fn join(
        id: GroupId,
        devices: &[Arc<Device>],
        first: usize,
        size: usize,
    ) -> Result<Self, DeviceError> {
        let library = library()?;
        let mut handles = vec![std::ptr::null_mut(); devices.len()];
        library.together("joining a group of cards", || {
            for (place, (device, handle)) in devices.iter().zip(&mut handles).enumerate() {
                device.make_current()?;
                let member = (first + place) as c_int;
                // SAFETY: the device is current; the handles, which may be filled at the end of the calls that belong
                // together, stay where they are until then.
                let status = unsafe { (library.comm_init_rank)(handle, size as c_int, id, member) };
                library.checked("joining a group of cards", status)?;
            }
            Ok(())
        })?;
        let members = devices.iter().cloned().zip(handles);
        let members = members.map(|(device, communicator)| Member {
            device,
            communicator,
        });
        let group = Self {
            members: Mutex::new(members.collect()),
        };
        group.sum_once()?;
        Ok(group)
    }

    /// NCCL makes its connections at the first sum. Done at the start of a job, that costs no iteration its time, and shows
    /// whether the cards do work together before any particle was aligned.
    fn sum_once(&self) -> Result<(), DeviceError> {
        const VOXELS: usize = 1 << 20;
        let volumes = lock(&self.members)
            .iter()
            .map(|member| {
                let array = member.device.zeros(VOXELS)?;
                Ok(DeviceVolume::split(&member.device, array, 1).remove(0))
            })
            .collect::<Result<Vec<_>, DeviceError>>()?;
        self.sum(&volumes.iter().collect::<Vec<_>>())
    }

    /// Element-wise sum over all members, in place, the same bits on all. `volumes` are those of this process's members,
    /// one each, in their order.
    pub fn sum(&self, volumes: &[&DeviceVolume<[f32; 4]>]) -> Result<(), DeviceError> {
        let library = library()?;
        self.in_chunks(volumes, "summing over cards", |member, address, floats| {
            let stream = member.device.stream().cu_stream().cast();
            // SAFETY: `in_chunks` gives ranges within the volume; in place is allowed.
            unsafe {
                (library.all_reduce)(
                    address,
                    address,
                    floats,
                    FLOAT,
                    SUM,
                    member.communicator,
                    stream,
                )
            }
        })
    }

    /// The content of the first member's volume, on all.
    pub fn broadcast(&self, volumes: &[&DeviceVolume<[f32; 4]>]) -> Result<(), DeviceError> {
        let library = library()?;
        self.in_chunks(
            volumes,
            "copying to other cards",
            |member, address, floats| {
                let stream = member.device.stream().cu_stream().cast();
                // SAFETY: as above.
                unsafe {
                    (library.broadcast)(
                        address,
                        address,
                        floats,
                        FLOAT,
                        0,
                        member.communicator,
                        stream,
                    )
                }
            },
        )
    }

    fn in_chunks(
        &self,
        volumes: &[&DeviceVolume<[f32; 4]>],
        doing: &'static str,
        work: impl Fn(&Member, *mut c_void, usize) -> c_int,
    ) -> Result<(), DeviceError> {
        let library = library()?;
        let members = lock(&self.members);
        assert_eq!(volumes.len(), members.len(), "a volume for each card");
        let length = volumes[0].len();
        assert!(
            volumes
                .iter()
                .zip(&*members)
                .all(|(v, m)| v.len() == length && Arc::ptr_eq(v.device(), &m.device)),
            "sums of one iteration have one shape, each on its card"
        );
        for range in chunks(length, CHUNK) {
            library.together(doing, || {
                for (member, volume) in members.iter().zip(volumes) {
                    member.device.make_current()?;
                    let address = volume.view().offset(range.start).address();
                    let address = std::ptr::with_exposed_provenance_mut(address as usize);
                    library.checked(doing, work(member, address, 4 * range.len()))?;
                }
                Ok(())
            })?;
            for member in &*members {
                member.device.synchronise()?;
            }
        }
        Ok(())
    }
}

impl Drop for CardGroup {
    fn drop(&mut self) {
        if let Ok(library) = library() {
            for member in &*lock(&self.members) {
                // SAFETY: made by this library; nothing is under way. Unlike ncclCommDestroy this waits for no other
                // process, which may have failed. What it says changes nothing now.
                unsafe { (library.comm_abort)(member.communicator) };
            }
        }
    }
}

/// A thread that panicked leaves handles that are still valid.
fn lock(members: &Mutex<Vec<Member>>) -> MutexGuard<'_, Vec<Member>> {
    members.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ranges of at most `chunk` that cover `length`, in order.
fn chunks(length: usize, chunk: usize) -> impl Iterator<Item = Range<usize>> {
    (0..length)
        .step_by(chunk)
        .map(move |first| first..length.min(first + chunk))
}

/// The calls that are used, as in nccl.h (NCCL 2).
struct Library {
    get_version: unsafe extern "C" fn(*mut c_int) -> c_int,
    get_unique_id: unsafe extern "C" fn(*mut GroupId) -> c_int,
    comm_init_rank: unsafe extern "C" fn(*mut Handle, c_int, GroupId, c_int) -> c_int,
    comm_abort: unsafe extern "C" fn(Handle) -> c_int,
    group_start: unsafe extern "C" fn() -> c_int,
    group_end: unsafe extern "C" fn() -> c_int,
    all_reduce: unsafe extern "C" fn(
        *const c_void,
        *mut c_void,
        usize,
        c_int,
        c_int,
        Handle,
        *mut c_void,
    ) -> c_int,
    broadcast: unsafe extern "C" fn(
        *const c_void,
        *mut c_void,
        usize,
        c_int,
        c_int,
        Handle,
        *mut c_void,
    ) -> c_int,
    get_error_string: unsafe extern "C" fn(c_int) -> *const c_char,
}

impl Library {
    /// Calls between `ncclGroupStart` and `ncclGroupEnd`, which one thread needs for several cards.
    fn together(
        &self,
        doing: &'static str,
        work: impl FnOnce() -> Result<(), DeviceError>,
    ) -> Result<(), DeviceError> {
        // SAFETY: every start has its end.
        self.checked(doing, unsafe { (self.group_start)() })?;
        let worked = work();
        // SAFETY: as above.
        let ended = self.checked(doing, unsafe { (self.group_end)() });
        worked.and(ended)
    }

    fn checked(&self, doing: &'static str, status: c_int) -> Result<(), DeviceError> {
        if status == 0 || status == IN_PROGRESS {
            return Ok(());
        }
        // SAFETY: NCCL's texts are nul-terminated and stay.
        let text = unsafe { CStr::from_ptr((self.get_error_string)(status)) };
        Err(DeviceError::Nccl {
            doing,
            message: text.to_string_lossy().into_owned(),
        })
    }

    /// Loads the library, where the loader or `driver::find_libraries` finds it.
    fn load() -> Result<Self, String> {
        find_libraries("libnccl.so");
        // SAFETY: running its initialisers; the handle is never closed.
        let handle = unsafe { libc::dlopen(NAME.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
        if handle.is_null() {
            return Err("libnccl.so.2 cannot be loaded".into());
        }
        // SAFETY: the functions of these names have these signatures in every NCCL 2.
        unsafe {
            Ok(Self {
                get_version: find(handle, c"ncclGetVersion")?,
                get_unique_id: find(handle, c"ncclGetUniqueId")?,
                comm_init_rank: find(handle, c"ncclCommInitRank")?,
                comm_abort: find(handle, c"ncclCommAbort")?,
                group_start: find(handle, c"ncclGroupStart")?,
                group_end: find(handle, c"ncclGroupEnd")?,
                all_reduce: find(handle, c"ncclAllReduce")?,
                broadcast: find(handle, c"ncclBroadcast")?,
                get_error_string: find(handle, c"ncclGetErrorString")?,
            })
        }
    }
}

/// A function of an open library.
///
/// # Safety
/// `F` is the type of a function, and that of this name has it.
unsafe fn find<F: Copy>(library: Handle, name: &CStr) -> Result<F, String> {
    assert_eq!(size_of::<F>(), size_of::<Handle>(), "a function");
    // SAFETY: an open library and a nul-terminated name.
    let address = unsafe { libc::dlsym(library, name.as_ptr()) };
    if address.is_null() {
        return Err(format!("libnccl.so.2 has no {}", name.to_string_lossy()));
    }
    // SAFETY: an address of a function, by the caller's word of this type.
    Ok(unsafe { std::mem::transmute_copy(&address) })
}

fn library() -> Result<&'static Library, DeviceError> {
    static LIBRARY: OnceLock<Result<Library, String>> = OnceLock::new();
    LIBRARY
        .get_or_init(Library::load)
        .as_ref()
        .map_err(|message| DeviceError::Nccl {
            doing: "loading it",
            message: message.clone(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_a_volume_once() {
        let found: Vec<_> = chunks(10, 4).collect();
        assert_eq!(found, [0..4, 4..8, 8..10]);
        assert_eq!(chunks(8, 4).count(), 2);
        assert_eq!(chunks(0, 4).count(), 0);
    }

    /// Without the library this is an error that says so; with it, a version.
    #[test]
    fn a_missing_library_is_an_error() {
        match version() {
            Ok(version) => assert!(version.starts_with("2."), "{version}"),
            Err(error) => assert!(error.to_string().contains("NCCL"), "{error}"),
        }
    }
}
