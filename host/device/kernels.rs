//! The PTX embedded in this program (written by `build.rs`).

/// The kernels compiled for one virtual architecture.
#[derive(Debug, Clone, Copy)]
pub struct PtxVariant {
    /// 70, 80 or 90: the smallest compute capability (10·major + minor) it runs on.
    pub capability: u32,
    /// Version of the PTX language, 70 or 81; decides which driver is too old.
    pub ptx_version: u32,
    /// PTX, compiled by the driver when the module is loaded.
    pub text: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// The embedded variant with the most instructions that a card of `capability` (10·major + minor) can run.
pub fn variant_for(capability: u32) -> Option<&'static PtxVariant> {
    VARIANTS.iter().rev().find(|v| v.capability <= capability)
}
