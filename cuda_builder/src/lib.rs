//! Compiles a crate of kernels to PTX from a build script.
//!
//! ```no_run
//! # use cuda_builder::{CudaBuilder, NvvmArch};
//! let modules = CudaBuilder::new("gpu")
//!     .arch(NvvmArch::Compute70)
//!     .arch(NvvmArch::Compute90)
//!     .build()
//!     .unwrap();
//! println!("{}", modules[0].path.display());
//! ```
//!
//! The shape is that of Rust-CUDA's `cuda_builder`; the compiler is rustc's own `nvptx64-nvidia-cuda` target (see
//! `docs/kernels.md`). PTX is kept under the hash of its sources, so nothing is compiled twice.

mod arch;
mod builder;
mod cache;
mod compiler;
mod module_text;

pub use arch::NvvmArch;
pub use builder::{BuildError, CudaBuilder, PtxModule};
pub use compiler::{KernelCompiler, MissingCompiler};
