//! Gold-standard auto-refinement from files to files.

mod runs;

use gerelion::formats::mrc::{StackMode, StackWriter};
use gerelion::formats::star::Document;
use gerelion::geometry::random::CRandom;
use runs::{fixture, golden, mean_fsc, number, rerun};
use std::path::Path;
use std::process::Command;

/// Final resolution in Å and mean FSC to a true map of a finished refinement.
fn result(root: &str, truth: &Path) -> (f64, f64) {
    let resolution = number(
        &format!("{root}_model.star"),
        "model_general",
        "rlnCurrentResolution",
    );
    for file in [
        "_optimiser.star",
        "_sampling.star",
        "_data.star",
        "_half1_class001_unfil.mrc",
        "_half2_class001_unfil.mrc",
    ] {
        assert!(
            Path::new(&format!("{root}{file}")).is_file(),
            "{root}{file}"
        );
    }
    (resolution, mean_fsc(&format!("{root}_class001.mrc"), truth))
}

#[test]
fn the_fixture_is_refined_to_the_resolution_of_the_reference_run() {
    let data = fixture();
    let inputs = ["bundle.star", "bundle.mrcs", "bundle_truth1.mrc"].map(|f| data.join(f));
    let (_folder, root) = rerun(&data.join("refine3d_c4"), &inputs);
    let (resolution, fsc) = result(&root, &data.join("bundle_truth1.mrc"));
    println!("final resolution {resolution} Å, mean FSC to the truth {fsc}");
    assert!((10.0..=11.9).contains(&resolution), "{resolution} Å");
    assert!(fsc >= 0.77, "mean FSC to the truth {fsc}");
}

/// Images of nothing but noise must not look like anything: beyond the shells that the halves share, their FSC stays
/// below 0.143. (Without symmetry, so that a shell has enough independent voxels to tell.)
#[test]
fn noise_is_not_refined_into_a_structure() {
    const PARTICLES: usize = 240;
    const SIDE: usize = 48;
    let data = fixture();
    let folder = tempfile::tempdir().unwrap();
    let mut random = CRandom::new(3);
    let stack = folder.path().join("noise.mrcs");
    let mut writer = StackWriter::create(&stack, SIDE, PARTICLES, 4.5, StackMode::Float32).unwrap();
    for _ in 0..PARTICLES {
        let image: Vec<f32> = (0..SIDE * SIDE)
            .map(|_| random.gaussian(0.0, 1.0))
            .collect();
        writer.push(&image).unwrap();
    }
    writer.finish().unwrap();
    let text = std::fs::read_to_string(data.join("bundle.star")).unwrap();
    let last = format!("{:06}@bundle.mrcs", PARTICLES);
    let end = text.find(&last).unwrap();
    let end = end + text[end..].find('\n').unwrap() + 1;
    let text = text[..end].replace("@bundle.mrcs", "@noise.mrcs");
    std::fs::write(folder.path().join("noise.star"), text).unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_relion_refine"))
        .args(["--o", "run", "--i", "noise.star", "--ref"])
        .arg(data.join("bundle_truth1.mrc"))
        .args("--auto_refine --split_random_halves --ctf --zero_mask --flatten_solvent".split(' '))
        .args("--particle_diameter 160 --ini_high 40 --firstiter_cc --norm --scale".split(' '))
        .args("--healpix_order 1 --offset_range 4 --random_seed 5 --verb 0".split(' '))
        .args("--low_resol_join_halves 40 --auto_iter_max 6".split(' '))
        .current_dir(folder.path())
        .status()
        .unwrap();
    assert!(status.success());
    let model = folder.path().join("run_it006_half1_model.star");
    let model = Document::read(&model).unwrap();
    let class = model.require("model_class_1").unwrap();
    let fsc = class.real_column("rlnGoldStandardFsc").unwrap();
    // The halves share shells up to 40 Å (48·4.5/40, rounded up); interpolation carries some of that one shell further.
    let shared = 6;
    for (shell, value) in fsc.iter().enumerate().skip(shared + 2) {
        assert!(*value < 0.143, "FSC {value} in shell {shell}");
    }
}

/// Hours of one core: only where asked for.
fn long_tests() -> bool {
    let wanted = std::env::var_os("GERELION_LONG_TESTS").is_some();
    if !wanted {
        println!("skipped: set GERELION_LONG_TESTS to run it");
    }
    wanted
}

#[test]
fn simulated_images_are_refined_like_the_reference_run() {
    let Some(reference) = golden("refine3d_c4").filter(|_| long_tests()) else {
        return;
    };
    let input = reference.join("../input");
    let files = [
        "trpv1_mini.star",
        "trpv1_mini.mrcs",
        "trpv1_mini_truth1.mrc",
    ];
    let (_folder, root) = rerun(&reference, &files.map(|f| input.join(f)));
    let (resolution, fsc) = result(&root, &input.join("trpv1_mini_truth1.mrc"));
    println!("final resolution {resolution} Å, mean FSC to the truth {fsc}");
    assert!((8.0..=9.9).contains(&resolution), "{resolution} Å");
    assert!(fsc >= 0.765, "mean FSC to the truth {fsc}");
}
