//! `relion_localres` on the host against the GPU: the same local resolution and the same filtered map.

use crate::engines::emulated_libraries;
use gerelion::device::kernels::{PTX_AVAILABLE, WHY_NO_PTX};
use gerelion::formats::mrc::write_map;
use gerelion::formats::volume::read_map;
use gpu::random::uniform;
use material::{Need, skip};
use ndarray::Array3;
use std::path::Path;
use std::process::Command;

/// Box, voxels.
const N: usize = 32;

/// Half maps of a ball, rough on one side of the box and smooth on the other, each with noise of its own.
fn write_halves(folder: &Path) {
    let noise = |seed: u64| {
        Array3::from_shape_fn((N, N, N), |(z, y, x)| {
            uniform(seed, ((z * N + y) * N + x) as u64) as f32 - 0.5
        })
    };
    let rough = noise(1);
    for half in [1, 2] {
        let own = noise(1 + half);
        let map = Array3::from_shape_fn((N, N, N), |at| {
            let square = |i: usize| (i as f32 - 16.0).powi(2);
            let r2 = square(at.0) + square(at.1) + square(at.2);
            let signal = if at.0 < N / 2 { rough[at] } else { 0.0 };
            (1.0 + signal) * (-r2 / 100.0).exp() + own[at]
        });
        write_map(&folder.join(format!("half{half}.mrc")), map.view(), 2.0).unwrap();
    }
}

/// Runs the program, with cards of so many bytes where they are given with a number. Returns the local resolution and the filtered map, and
/// warnings.
fn run(
    folder: &Path,
    output: &str,
    cards: Option<(&str, Option<usize>)>,
) -> ([Array3<f64>; 2], String) {
    let options = "--i half1.mrc --locres_sampling 10 --locres_maskrad 10 --adhoc_bfac -30 --j 1";
    let mut command = Command::new(env!("CARGO_BIN_EXE_relion_localres"));
    command
        .current_dir(folder)
        .args(options.split(' '))
        .args(["--o", output]);
    if let Some((cards, memory)) = cards {
        if let Some(bytes) = memory {
            command.env("EMULATED_MEMORY", bytes.to_string());
        }
        command
            .args(["--gpu", cards])
            .env("EMULATED_DEVICES", "2")
            .env("LD_LIBRARY_PATH", folder.join("libraries"));
    }
    let made = command.output().unwrap();
    let printed = String::from_utf8_lossy(&made.stdout).into_owned();
    let errors = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(made.status.success(), "{printed}{errors}");
    for card in cards.iter().flat_map(|(cards, _)| cards.split(',')) {
        let full = cards.is_some_and(|(_, memory)| memory.is_some());
        let told = if full { &errors } else { &printed };
        assert!(told.contains(&format!("GPU {card} (")), "{printed}{errors}");
    }
    let maps = ["locres", "locres_filtered"].map(|name| {
        let path = folder.join(format!("{output}_{name}.mrc"));
        read_map(&path).unwrap().data.mapv(f64::from)
    });
    (maps, errors)
}

#[test]
fn local_resolution() {
    /// Single precision in the transforms of both, which sum in another order.
    const ROUNDING: f64 = 1e-5;
    if !PTX_AVAILABLE {
        skip(Need::Kernels, WHY_NO_PTX);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write_halves(folder.path());
    emulated_libraries(folder.path());
    let (host, _) = run(folder.path(), "host", None);
    let mut found: Vec<f64> = host[0].iter().copied().filter(|v| *v > 0.0).collect();
    found.sort_by(f64::total_cmp);
    let (finest, coarsest) = (found[0], found[found.len() - 1]);
    assert!(coarsest > 1.5 * finest, "{finest} to {coarsest} A");
    let norm = |map: &Array3<f64>| map.iter().map(|v| v * v).sum::<f64>().sqrt();
    // The last ones have room for some of the arrays, and leave all points to the processor.
    for (cards, memory) in [("0", None), ("0,1", None), ("0,1", Some(500_000))] {
        let (device, warnings) = run(folder.path(), "device", Some((cards, memory)));
        let full = warnings.contains("too little free memory for two maps and their transforms");
        assert_eq!(full, memory.is_some(), "{warnings}");
        for (device, host) in device.iter().zip(&host) {
            let difference = norm(&(device - host)) / norm(host);
            println!("cards {cards}: {difference:.1e}");
            assert!(difference < ROUNDING, "cards {cards}: {difference}");
        }
    }
}
