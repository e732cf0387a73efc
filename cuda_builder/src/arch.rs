//! The virtual architectures PTX is built for.

/// A compute capability, with the oldest PTX version that has all its instructions the kernels use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NvvmArch {
    /// Volta and Turing: V100, T4, RTX 20.
    Compute70,
    /// Ampere and Ada: A100, RTX 30, RTX 40, L40.
    Compute80,
    /// Hopper and later: H100, H200, and by forward compatibility Blackwell.
    Compute90,
}

impl NvvmArch {
    /// 70, 80 or 90.
    pub fn capability(self) -> u32 {
        match self {
            NvvmArch::Compute70 => 70,
            NvvmArch::Compute80 => 80,
            NvvmArch::Compute90 => 90,
        }
    }

    /// `sm_70` and so on.
    pub fn target_cpu(self) -> String {
        format!("sm_{}", self.capability())
    }

    /// Version of the PTX language. 7.0 came with CUDA 11.0 (TF32 `mma`), 8.1 with CUDA 12.1 (vector `red`):
    /// the lower, the older the driver that still takes the module.
    pub fn ptx_version(self) -> u32 {
        match self {
            NvvmArch::Compute70 | NvvmArch::Compute80 => 70,
            NvvmArch::Compute90 => 81,
        }
    }
}
