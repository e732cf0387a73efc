//! The GPU: the kernels embedded in this program, and the device they run on.

pub mod kernels;
