//! The device as a kernel written in Rust sees it.
//!
//! Names and shapes follow the `cuda_std` crate of Rust-CUDA: [`thread`] (indices, barrier), [`shared`] (dynamic
//! shared memory), [`warp`] (shuffles, reductions), [`atomic`], [`mma`] (tensor cores), [`memory`] (wide loads),
//! [`GpuFloat`] (mathematics) and the [`kernel`] attribute.
//!
//! On the host the same names work inside [`emulator::launch`], which runs a kernel with a coroutine for each thread of a
//! block: barriers, shuffles and atomics do what they do on the device, so kernels are unit tested without one.
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

// `#[kernel]` names this crate.
extern crate self as cuda_std;

#[cfg(target_arch = "nvptx64")]
mod device;
#[cfg(not(target_arch = "nvptx64"))]
mod emulated;
mod float;
#[cfg(not(target_arch = "nvptx64"))]
pub mod launch;

pub use cuda_std_macros::{group, kernel, with_fields};
#[cfg(target_arch = "nvptx64")]
pub use device::{atomic, memory, mma, shared, thread, warp};
#[cfg(not(target_arch = "nvptx64"))]
pub use emulated::{atomic, emulator, memory, mma, shared, thread, warp};
pub use float::GpuFloat;

/// Imports of most kernels.
pub mod prelude {
    pub use crate::{GpuFloat, atomic, group, kernel, memory, mma, shared, thread, warp};
}
