//! The same names as the device's, on the host: for testing kernels.

pub mod atomic;
pub mod emulator;
mod gate;
pub mod memory;
pub mod mma;
pub mod shared;
pub mod thread;
pub mod warp;
