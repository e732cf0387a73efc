//! Arithmetic and `#[repr(C)]` structs that device kernels and the host engine share.
//!
//! Compiled twice: as an ordinary library for the host, and (by the kernel toolchain) to PTX.
#![cfg_attr(target_arch = "nvptx64", no_std, feature(abi_ptx, core_float_math))]

pub mod ctf;
#[cfg(any(test, target_arch = "nvptx64"))]
pub mod kernels;
pub mod mask;
pub mod math;
pub mod slice;
