//! What a kernel written in Rust needs of the device.
//!
//! Names and shapes follow the `cuda_std` crate of Rust-CUDA: [`thread`] (indices, barrier), [`shared`] (dynamic
//! shared memory), [`warp`] (shuffles, reductions), [`atomic`], [`mma`] (tensor cores), [`GpuFloat`] (mathematics)
//! and the [`kernel`] attribute. Everything but the mathematics exists only for the target `nvptx64`;
//! the mathematics is plain Rust, compiled and tested on the host too.
#![cfg_attr(target_arch = "nvptx64", no_std)]
#![cfg_attr(
    target_arch = "nvptx64",
    feature(
        stdarch_nvptx,
        asm_experimental_arch,
        core_float_math,
        link_llvm_intrinsics
    ),
    allow(internal_features)
)]

#[cfg(target_arch = "nvptx64")]
pub mod atomic;
mod float;
#[cfg(target_arch = "nvptx64")]
pub mod memory;
#[cfg(target_arch = "nvptx64")]
pub mod mma;
#[cfg(target_arch = "nvptx64")]
pub mod shared;
#[cfg(target_arch = "nvptx64")]
pub mod thread;
#[cfg(target_arch = "nvptx64")]
pub mod warp;

pub use cuda_std_macros::kernel;
pub use float::GpuFloat;

/// What most kernels import.
pub mod prelude {
    pub use crate::{GpuFloat, kernel};
    #[cfg(target_arch = "nvptx64")]
    pub use crate::{atomic, memory, mma, shared, thread, warp};
}

/// A panic in a kernel (an index out of bounds, say) stops the grid; the host sees a launch failure.
#[cfg(target_arch = "nvptx64")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: `trap` has no preconditions.
    unsafe { core::arch::nvptx::trap() }
}
