//! Kernels by name, called with the arguments of a launch.

use std::ffi::c_void;

use cuda_std::emulator;
use cuda_std::launch::{KERNELS, Threads};
// The kernels are found in the list that they enter themselves in.
use gpu as _;

/// Returns the place of a kernel in the list.
pub fn index_of(name: &str) -> Option<usize> {
    KERNELS.iter().position(|k| k.name == name)
}

/// Returns the name of the kernel at a place of the list.
pub fn name_of(index: usize) -> &'static str {
    KERNELS[index].name
}

/// Runs a kernel to its end.
///
/// # Safety
/// The arguments are those of the kernel.
pub unsafe fn launch(
    index: usize,
    grid: [u32; 3],
    block: [u32; 3],
    shared: usize,
    arguments: *const *const c_void,
) {
    let kernel = &KERNELS[index];
    let thread = || {
        // SAFETY: passed on to the caller.
        unsafe { (kernel.run)(arguments) }
    };
    match kernel.threads {
        Threads::Apart => emulator::launch_apart(grid, block, thread),
        Threads::OneWarp => emulator::launch(grid, [32, 1, 1], shared, thread),
        Threads::Together => emulator::launch(grid, block, shared, thread),
    }
}
