//! A stand-in for libcuda, libcufft, libcublas and libnccl: the calls this program makes, on host memory, with its own kernels run
//! by the emulator of `cuda_std`. It lets the whole GPU engine run where there is no GPU: slowly, but every launch, every
//! argument and every array length is the real one. Writing beyond an array stops the program when the array is freed.
//!
//! `tests/gpu_emulated.sh` builds it and puts it in the place of the libraries.
#![allow(
    non_snake_case,
    missing_docs,
    clippy::missing_safety_doc,
    clippy::too_many_arguments
)]

mod blas;
mod driver;
mod fft;
mod kernels;
mod nccl;
mod pinned;
