//! One judgement of masks, whichever program reads them.

use super::set::{BOX, PIXEL, Set, blob, failure};
use super::snapshot;
use gerelion::formats::mrc::write_map;
use ndarray::Array3;
use std::fs;
use std::process::{Command, Output};

/// Every program with a mask, and the words that it comes after.
const PROGRAMS: [(&str, &str); 7] = [
    (env!("CARGO_BIN_EXE_relion_refine"), REFINE),
    (
        env!("CARGO_BIN_EXE_gerelion"),
        "fsc run_half1_class001_unfil.mrc run_half2_class001_unfil.mrc --mask",
    ),
    (env!("CARGO_BIN_EXE_gerelion"), "validate run --mask"),
    (
        env!("CARGO_BIN_EXE_relion_postprocess"),
        "--i run_half1_class001_unfil.mrc --o post --mask",
    ),
    (
        env!("CARGO_BIN_EXE_relion_localres"),
        "--i run_half1_class001_unfil.mrc --o local --locres_sampling 20 --mask",
    ),
    (
        env!("CARGO_BIN_EXE_relion_particle_subtract"),
        "--i out/run_it001_optimiser.star --o sub --mask",
    ),
    (
        LOCALSYM,
        "--apply --i_map ref.mrc --o_map averaged.mrc --i_mask_info",
    ),
];
const LOCALSYM: &str = env!("CARGO_BIN_EXE_relion_localsym");
const REFINE: &str = "--i particles.star --ref ref.mrc --o out/again --ctf --particle_diameter 72 --zero_mask --flatten_solvent \
                      --firstiter_cc --healpix_order 0 --offset_range 2 --offset_step 2 --iter 1 --random_seed 1 --j 1 --solvent_mask";

/// A set that has been refined, with half maps.
fn refined() -> Set {
    let set = Set::new();
    assert!(set.run().status.success());
    for half in 1..=2 {
        let noisy = blob((BOX, BOX, BOX)).mapv(|v| v + 1e-3 * (1e4 * half as f32 * v).sin());
        let path = set.path(&format!("run_half{half}_class001_unfil.mrc"));
        write_map(&path, noisy.view(), PIXEL).unwrap();
    }
    set
}

/// Runs a program of [`PROGRAMS`] with a mask of these values, and of this pixel size in its header.
fn with_mask(set: &Set, (program, words): (&str, &str), mask: &Array3<f32>, pixel: f64) -> Output {
    write_map(&set.path("mask.mrc"), mask.view(), pixel).unwrap();
    let mut file = "mask.mrc";
    if program == LOCALSYM {
        let head = "data_\n\nloop_\n_rlnMaskName\n_rlnAngleRot\n_rlnAngleTilt\n_rlnAnglePsi\n_rlnOriginXAngst\n_rlnOriginYAngst\n\
                    _rlnOriginZAngst\n";
        let text = format!("{head}mask.mrc 90 0 0 0 0 0\n");
        fs::write(set.path("local.star"), text).unwrap();
        file = "local.star";
    }
    Command::new(program)
        .args(words.split_whitespace().chain([file]))
        .current_dir(set.folder.path())
        .output()
        .unwrap()
}

#[test]
fn masks_that_no_program_takes() {
    let set = refined();
    let mask = blob((BOX, BOX, BOX));
    let mut spoilt = mask.clone();
    spoilt[[1, 2, 3]] = f32::NAN;
    for (wrong, code) in [
        (&mask * 255.0, "GR-0404"),
        (&mask * 0.0, "GR-0408"),
        (spoilt, "GR-0404"),
        (mask.mapv(|v| (v - 1.0).round()), "GR-0408"),
    ] {
        for program in PROGRAMS {
            let message = failure(&with_mask(&set, program, &wrong, PIXEL));
            assert!(message.starts_with(code), "{program:?}: {message}");
        }
    }
}

/// The threshold lies below the solvent.
#[test]
fn mask_that_fills_the_box() {
    let set = Set::new();
    let mut map = blob((BOX, BOX, BOX));
    map[[0, 0, 0]] = -1.0;
    write_map(&set.path("map.mrc"), map.view(), PIXEL).unwrap();
    let words = "--i map.mrc --o whole.mrc --ini_threshold -0.5";
    let output = Command::new(env!("CARGO_BIN_EXE_relion_mask_create"))
        .args(words.split_whitespace())
        .current_dir(set.folder.path())
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && errors.contains("is the threshold too low?"),
        "{errors}"
    );
}

/// Divided by 255 it would be one.
#[test]
fn mask_from_0_to_255() {
    let set = refined();
    let output = with_mask(&set, PROGRAMS[0], &(&blob((BOX, BOX, BOX)) * 255.0), PIXEL);
    snapshot::check("GR-0404", &set.neutral(&failure(&output)));
}

/// A dot, and a mask whose origin is at a corner of its box: every program but that of local symmetry, whose regions lie anywhere.
#[test]
fn masks_that_every_program_warns_of() {
    let set = refined();
    let mask = blob((BOX, BOX, BOX));
    let mut dot = &mask * 0.0;
    dot[[BOX / 2, BOX / 2, BOX / 2]] = 1.0;
    let half = |i: usize| (i + BOX / 2) % BOX;
    let corner = Array3::from_shape_fn((BOX, BOX, BOX), |(z, y, x)| {
        mask[[half(z), half(y), half(x)]]
    });
    for program in PROGRAMS
        .into_iter()
        .filter(|(program, _)| *program != LOCALSYM)
    {
        let warned = |mask: &Array3<f32>, pixel: f64| {
            let output = with_mask(&set, program, mask, pixel);
            let errors = String::from_utf8(output.stderr).unwrap();
            errors.replace('\n', " ")
        };
        let told = warned(&dot, PIXEL);
        assert!(
            told.contains("above 0.5 is only 1") || told.contains("% of the power"),
            "{program:?}: {told}"
        );
        let told = warned(&corner, PIXEL);
        assert!(told.contains("at a corner"), "{program:?}: {told}");
        let told = warned(&mask, 2.0 * PIXEL);
        assert!(
            told.contains("the mask has pixels of 8 Å"),
            "{program:?}: {told}"
        );
        let told = warned(&mask, PIXEL);
        assert!(!told.contains("mask.mrc"), "{program:?}: {told}");
    }
}
