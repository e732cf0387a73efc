//! The driver and the libraries of CUDA, loaded at run time: the program starts without them.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cudarc::{cublas, cufft, driver};

use super::DeviceError;

/// A device as the driver describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Number, after CUDA_VISIBLE_DEVICES.
    pub ordinal: usize,
    /// Name of the card.
    pub name: String,
    /// Compute capability (major, minor).
    pub capability: (i32, i32),
    /// Memory of the card, bytes.
    pub memory: usize,
}

/// Loads and initialises the driver.
pub fn initialise() -> Result<(), DeviceError> {
    // SAFETY: opening a library runs its initialisers; libcuda's are meant to be run at any time.
    if !unsafe { driver::sys::is_culib_present() } {
        return Err(DeviceError::NoDriver);
    }
    driver::result::init().map_err(|e| match e.0 {
        driver::sys::CUresult::CUDA_ERROR_NO_DEVICE => DeviceError::NoDevice(String::new()),
        code => DeviceError::NoDevice(format!("{code:?}")),
    })
}

/// The devices this process sees.
pub fn devices() -> Result<Vec<DeviceInfo>, DeviceError> {
    initialise()?;
    let count =
        driver::result::device::get_count().map_err(|e| failed(0, "counting devices", e))?;
    (0..count as usize).map(describe).collect()
}

fn describe(ordinal: usize) -> Result<DeviceInfo, DeviceError> {
    use driver::sys::CUdevice_attribute_enum as Attribute;
    let inner = || -> Result<DeviceInfo, driver::DriverError> {
        let device = driver::result::device::get(ordinal as i32)?;
        // SAFETY: the device was just obtained.
        let (major, minor, memory) = unsafe {
            (
                driver::result::device::get_attribute(
                    device,
                    Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
                )?,
                driver::result::device::get_attribute(
                    device,
                    Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
                )?,
                driver::result::device::total_mem(device)?,
            )
        };
        Ok(DeviceInfo {
            ordinal,
            name: driver::result::device::get_name(device)?,
            capability: (major, minor),
            memory,
        })
    };
    inner().map_err(|e| failed(ordinal, "describing the device", e))
}

/// Version of CUDA the driver supports, as 12010 for 12.1.
pub fn driver_version() -> i32 {
    let mut version = 0;
    // SAFETY: writes one integer; the library is loaded (callers have initialised it).
    unsafe { driver::sys::cuDriverGetVersion(&mut version) };
    version
}

/// An error of the driver.
pub(super) fn failed(ordinal: usize, doing: &str, error: driver::DriverError) -> DeviceError {
    DeviceError::Call {
        ordinal,
        doing: doing.to_string(),
        code: format!("{:?}", error.0),
    }
}

/// Makes sure that cuFFT can be called.
pub fn require_cufft() -> Result<(), DeviceError> {
    static PRESENT: OnceLock<bool> = OnceLock::new();
    let present = PRESENT.get_or_init(|| {
        find_libraries("libcufft.so");
        // SAFETY: opening a library of the toolkit.
        unsafe { cufft::sys::is_culib_present() }
    });
    if *present {
        Ok(())
    } else {
        Err(DeviceError::NoLibrary {
            library: "cuFFT",
            package: "nvidia-cufft",
        })
    }
}

/// Makes sure that cuBLAS can be called.
pub fn require_cublas() -> Result<(), DeviceError> {
    find_libraries("libcublasLt.so");
    find_libraries("libcublas.so");
    // SAFETY: opening a library of the toolkit.
    if unsafe { cublas::sys::is_culib_present() } {
        Ok(())
    } else {
        Err(DeviceError::NoLibrary {
            library: "cuBLAS",
            package: "nvidia-cublas",
        })
    }
}

/// Opens the libraries that begin with `name` where toolkits and Python packages put them. Once open, a library is
/// found under its plain name however it was opened.
pub(super) fn find_libraries(name: &str) {
    for folder in library_folders() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.filter_map(Result::ok).map(|e| e.path()) {
            let is_it = path
                .file_name()
                .is_some_and(|f| f.to_string_lossy().starts_with(name));
            if is_it && open(&path) {
                return;
            }
        }
    }
}

fn open(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_encoded_bytes()) else {
        return false;
    };
    // SAFETY: a nul-terminated path; the handle is never closed.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    !handle.is_null()
}

/// Where the CUDA toolkit and NVIDIA's Python packages put their libraries. What LD_LIBRARY_PATH and ldconfig know is
/// searched by the loader itself.
fn library_folders() -> Vec<PathBuf> {
    let mut roots: Vec<PathBuf> = Vec::new();
    for variable in ["CUDA_HOME", "CUDA_PATH", "CUDA_ROOT"] {
        roots.extend(std::env::var_os(variable).map(PathBuf::from));
    }
    roots.push("/usr/local/cuda".into());
    roots.push("/opt/cuda".into());
    let mut folders: Vec<PathBuf> = roots
        .iter()
        .flat_map(|r| {
            [
                r.join("lib64"),
                r.join("lib"),
                r.join("targets/x86_64-linux/lib"),
            ]
        })
        .collect();
    for environment in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
        let Some(root) = std::env::var_os(environment).map(PathBuf::from) else {
            continue;
        };
        folders.push(root.join("lib"));
        for python in children(&root.join("lib")) {
            for package in children(&python.join("site-packages/nvidia")) {
                folders.push(package.join("lib"));
            }
        }
    }
    folders
}

fn children(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder)
        .map(|entries| entries.filter_map(Result::ok).map(|e| e.path()).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a machine without a driver this is an error, not an abort; with one it lists something sensible.
    #[test]
    fn a_missing_driver_is_an_error() {
        match devices() {
            Ok(list) => {
                assert!(
                    list.iter()
                        .enumerate()
                        .all(|(i, d)| d.ordinal == i && d.memory > 0)
                );
            }
            Err(error) => assert!(error.to_string().contains("driver"), "{error}"),
        }
    }

    #[test]
    fn missing_libraries_are_not_opened() {
        assert!(!open(Path::new("/nowhere/libcufft.so")));
    }
}
