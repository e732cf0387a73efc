//! Arithmetic and `#[repr(C)]` structs that device kernels and the host engine share.
//!
//! Compiled twice: as an ordinary library for the host, and (by the kernel toolchain) to PTX.
#![cfg_attr(target_arch = "nvptx64", no_std, feature(abi_ptx))]

#[cfg(not(target_arch = "nvptx64"))]
pub use cuda_std::launch;

pub mod correlation;
pub mod ctf;
pub mod gridding;
pub mod image;
pub mod kernels;
pub mod mask;
pub mod math;
pub mod offset;
pub mod random;
pub mod samples;
pub mod shapes;
pub mod slice;
pub mod volume;
