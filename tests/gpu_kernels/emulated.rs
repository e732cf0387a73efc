//! The maximisation on the emulated device (`tests/emulated_cuda`), so that a change on one side only is found without a card.

use std::os::unix::fs::symlink;
use std::process::Command;

/// Runs the tests of the maximisation in a process that finds the stand-in in the place of the libraries of CUDA.
#[test]
fn sums_become_maps_on_the_emulated_device_as_on_the_host() {
    let test = std::env::current_exe().unwrap();
    let library = test.with_file_name("libemulated_cuda.so");
    let folder = tempfile::tempdir().unwrap();
    for name in ["libcuda.so", "libcufft.so", "libcublas.so", "libnccl.so.2"] {
        symlink(&library, folder.path().join(name)).unwrap();
    }
    let output = Command::new(&test)
        .args([
            "maximization::",
            "averages::",
            "--test-threads=1",
            "--nocapture",
        ])
        .env("LD_LIBRARY_PATH", folder.path())
        .output()
        .unwrap();
    let printed = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    let printed = printed.concat();
    assert!(output.status.success(), "{printed}");
    // Each of them says how far host and device are apart; without a device they would say that they skip.
    assert!(printed.contains("symmetrise, D3"), "{printed}");
}
