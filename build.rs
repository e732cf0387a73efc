//! Build script of the root package: compiles the kernels in `gpu/` to PTX and writes `kernels.rs`, which
//! `host/device/kernels.rs` includes.
//!
//! Without a compiler for the device the build succeeds without kernels and says so. `GERELION_KERNELS=off` leaves them
//! out on purpose.

use std::fmt::Write;
use std::path::Path;

use cuda_builder::{BuildError, CudaBuilder, NvvmArch, PtxModule};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=GERELION_KERNELS");
    let mut reason = String::new();
    let modules = if std::env::var("GERELION_KERNELS").is_ok_and(|v| v == "off") {
        reason.push_str("built with GERELION_KERNELS=off");
        Vec::new()
    } else {
        let built = CudaBuilder::new("gpu")
            .source("cuda_std")
            .arch(NvvmArch::Compute70)
            .arch(NvvmArch::Compute80)
            .arch(NvvmArch::Compute90)
            .build();
        match built {
            Ok(modules) => modules,
            Err(BuildError::NoCompiler(missing)) => {
                reason = missing.to_string();
                println!("cargo:warning=building without GPU kernels: {missing}");
                Vec::new()
            }
            Err(error) => panic!("{error}"),
        }
    };
    let out = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    std::fs::write(
        Path::new(&out).join("kernels.rs"),
        embedding(&modules, &reason),
    )
    .expect("OUT_DIR is writable");
}

/// Rust source of the embedded modules.
fn embedding(modules: &[PtxModule], reason: &str) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "/// True when this program was built with kernels.");
    let _ = writeln!(
        text,
        "pub const PTX_AVAILABLE: bool = {};",
        !modules.is_empty()
    );
    let _ = writeln!(text, "/// Why there are none; empty when there are.");
    let _ = writeln!(text, "pub const WHY_NO_PTX: &str = {reason:?};");
    let _ = writeln!(
        text,
        "/// The embedded modules, by rising compute capability."
    );
    let _ = writeln!(text, "pub static VARIANTS: &[PtxVariant] = &[");
    for module in modules {
        let _ = writeln!(
            text,
            "    PtxVariant {{ capability: {}, ptx_version: {}, text: include_str!({:?}) }},",
            module.arch.capability(),
            module.arch.ptx_version(),
            module.path
        );
    }
    let _ = writeln!(text, "];");
    text
}
