//! This suite on the emulated device (`tests/emulated_cuda`), so that a change on one side only is found without a card.

use std::os::unix::fs::symlink;
use std::process::Command;

/// Tests whose sizes keep a card busy, and the emulator for minutes: kernels of the expectation and matrix products, whose
/// own tests (`cargo nextest run -p gerelion-gpu`) run each in the emulator with sizes made for it.
const TOO_LARGE: [&str; 3] = ["batch::", "local::", "products_have_the_accuracy"];

/// Modules of the tests of sums and maps.
const OF_SUMS: [&str; 3] = ["maximization::", "averages::", "density_compensation::"];

/// Runs the tests of this program that `filters` choose in a process that finds the stand-in in the place of the libraries of
/// CUDA. Returns what they print.
fn run_on_emulated_device(filters: &[&str]) -> String {
    let test = std::env::current_exe().unwrap();
    let library = test.with_file_name("libemulated_cuda.so");
    let folder = tempfile::tempdir().unwrap();
    for name in ["libcuda.so", "libcufft.so", "libcublas.so", "libnccl.so.2"] {
        symlink(&library, folder.path().join(name)).unwrap();
    }
    let output = Command::new(&test)
        .args(filters)
        .args(["--test-threads=1", "--nocapture"])
        .env("LD_LIBRARY_PATH", folder.path())
        .output()
        .unwrap();
    let printed = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    let printed = printed.concat();
    assert!(output.status.success(), "{printed}");
    printed
}

#[test]
fn sums_become_maps_on_the_emulated_device_as_on_the_host() {
    let printed = run_on_emulated_device(&OF_SUMS);
    // Each of them says how far host and device are apart; without a device they would say that they skip.
    assert!(printed.contains("symmetrise, D3"), "{printed}");
}

#[test]
fn stages_full_devices_and_waits_on_the_emulated_device() {
    let skipped = TOO_LARGE.iter().chain(&OF_SUMS).chain(&["emulated::"]);
    let filters: Vec<&str> = skipped.flat_map(|name| ["--skip", *name]).collect();
    let printed = run_on_emulated_device(&filters);
    assert!(
        printed.contains("significant samples a particle"),
        "{printed}"
    );
}
