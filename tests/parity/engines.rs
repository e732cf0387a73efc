//! Runs of the program on the host and on the emulated device.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The stand-in for the libraries of CUDA, which cargo builds beside this test.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let library = test.with_file_name("libemulated_cuda.so");
    assert!(
        library.is_file(),
        "{} is missing: cargo builds it as a dependency of the tests",
        library.display()
    );
    library
}

/// Puts the stand-in into `folder` under the names of the libraries that the program loads.
pub fn emulated_libraries(folder: &Path) -> PathBuf {
    let libraries = folder.join("libraries");
    std::fs::create_dir(&libraries).unwrap();
    for name in ["libcuda.so", "libcufft.so", "libcublas.so", "libnccl.so.2"] {
        symlink(library(), libraries.join(name)).unwrap();
    }
    libraries
}

/// Runs the program in `folder` with `words`; with `libraries` of a device on that device. Output files begin with `root`.
/// Returns the root and the warnings.
pub fn run(
    folder: &Path,
    words: &[String],
    root: &str,
    libraries: Option<&Path>,
) -> (PathBuf, Vec<String>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relion_refine"));
    command
        .current_dir(folder)
        .args(words)
        .args(["--o", root, "--j", "1"]);
    if let Some(libraries) = libraries {
        command
            .args(["--gpu", "0"])
            .env("LD_LIBRARY_PATH", libraries);
    }
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{words:?}\n{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    let errors = text(&output.stderr);
    let warnings = errors.lines().filter(|line| line.contains(" + WARNING: "));
    (
        folder.join(root),
        warnings.map(|line| line.replace(root, "root")).collect(),
    )
}
