//! `relion_reconstruct` on the host against the GPU: the same maps of the same particles.

use crate::engines::emulated_libraries;
use crate::particles::{DIAMETER, Set};
use gerelion::device::kernels::{PTX_AVAILABLE, WHY_NO_PTX};
use gerelion::formats::volume::read_map;
use gerelion::fourier::shape::{Dimensions, VolumeShape};
use material::{Need, skip};
use ndarray::Array3;
use std::process::{Command, Output};

/// Returns the program in the folder of a set, on the cards of a list where it is given.
fn command(set: &Set, options: &str, output: &str, cards: Option<&str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relion_reconstruct"));
    command
        .current_dir(set.path())
        .args(["--i", "poses.star", "--o", output])
        .args(options.split_whitespace());
    if let Some(cards) = cards {
        command
            .args(["--gpu", cards])
            .env("EMULATED_DEVICES", "2")
            .env("LD_LIBRARY_PATH", set.path().join("libraries"));
    }
    command
}

fn run(set: &Set, options: &str, output: &str, cards: Option<&str>) -> Output {
    command(set, options, output, cards).output().unwrap()
}

fn map(set: &Set, options: &str, output: &str, cards: Option<&str>) -> Array3<f64> {
    let made = run(set, options, output, cards);
    let printed = String::from_utf8_lossy(&made.stdout).into_owned();
    let errors = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{options}: {printed}{errors}");
    for card in cards.iter().flat_map(|cards| cards.split(',')) {
        assert!(printed.contains(&format!("GPU {card} (")), "{printed}");
    }
    read(set, output)
}

fn read(set: &Set, output: &str) -> Array3<f64> {
    let path = set.path().join(output);
    read_map(&path).unwrap().data.mapv(f64::from)
}

/// Returns the difference of two maps, relative L2.
fn difference(found: &Array3<f64>, expected: &Array3<f64>) -> f64 {
    let norm = |map: &Array3<f64>| map.iter().map(|v| v * v).sum::<f64>().sqrt();
    assert!(norm(expected) > 0.0);
    norm(&(found - expected)) / norm(expected)
}

/// Single precision in the sums and in the transform.
const ROUNDING: f64 = 1e-5;

/// Asserts that both maps differ by rounding alone.
fn agree(set: &Set, options: &str, cards: &str) {
    if !PTX_AVAILABLE {
        skip(Need::Kernels, WHY_NO_PTX);
        return;
    }
    emulated_libraries(set.path());
    let host = map(set, options, "host.mrc", None);
    let device = map(set, options, "device.mrc", Some(cards));
    let difference = difference(&device, &host);
    println!("{options}: {difference:.1e}");
    assert!(difference < ROUNDING, "{options}: {difference}");
}

/// Cards without room for the sums, or for slices beside them: the processor does their work, and the user is told.
#[test]
fn full_cards() {
    if !PTX_AVAILABLE {
        skip(Need::Kernels, WHY_NO_PTX);
        return;
    }
    let set = Set::of("C1", 1, 60);
    emulated_libraries(set.path());
    let host = map(&set, "--ctf", "host.mrc", None);
    let sums = 16 * VolumeShape::new(Dimensions::Three, 28, 2.0, 28).voxels();
    for (memory, cards) in [(sums / 2, "0"), (sums + (64 << 10), "0,1")] {
        let made = command(&set, "--ctf", "device.mrc", Some(cards))
            .env("EMULATED_MEMORY", memory.to_string())
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&made.stdout).into_owned();
        let errors = String::from_utf8_lossy(&made.stderr).into_owned();
        assert!(made.status.success(), "{printed}{errors}");
        assert!(!printed.contains("Back-projected on"), "{printed}");
        for card in cards.split(',') {
            let warning = format!("GPU {card} (");
            assert!(errors.contains(&warning), "{memory} bytes: {errors}");
        }
        assert!(
            errors.contains("too little free memory for the sums"),
            "{errors}"
        );
        let difference = difference(&read(&set, "device.mrc"), &host);
        println!("{memory} bytes: {difference:.1e}");
        assert!(difference < ROUNDING, "{memory} bytes: {difference}");
    }
}

#[test]
fn plain_map() {
    agree(&Set::of("C1", 1, 60), "", "0");
}

#[test]
fn corrected_and_symmetrised_map() {
    agree(&Set::of("C4", 1, 60), "--ctf --sym C4", "0");
}

/// Batches go to both cards, and images of another box and pixel size come after the first ones.
#[test]
fn two_cards_and_two_groups() {
    let set = Set::of("D2", 1, 40).with_second_group(&[]);
    agree(&set, "--ctf --sym D2 --pad 1 --maxres 15", "0,1");
}

#[test]
fn map_with_curved_slices() {
    let set = Set::of("C1", 1, 60).with_optics(&[("rlnVoltage", "20")]);
    agree(&set, &format!("--ewald --mask_diameter {DIAMETER}"), "0");
}

#[test]
fn compensated_map() {
    agree(
        &Set::of("C1", 1, 60),
        "--ctf --dont_skip_gridding --iter 3",
        "0",
    );
}

/// Options that the device does not know are refused, and nothing is written.
#[test]
fn nearest_neighbours_are_for_the_host() {
    let set = Set::of("C1", 1, 10);
    emulated_libraries(set.path());
    let refused = run(&set, "--NN", "device.mrc", Some("0"));
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && errors.contains("--NN"),
        "{errors}"
    );
    assert!(!set.path().join("device.mrc").exists());
    let host = map(&set, "--NN", "host.mrc", None);
    assert!(host.iter().any(|v| *v != 0.0));
}
