//! Build script of the root package; the kernels join here.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
}
