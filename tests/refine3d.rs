//! Gold-standard auto-refinement from files to files.

mod runs;

use gerelion::formats::mrc::{StackMode, StackWriter};
use gerelion::formats::star::Document;
use gerelion::geometry::random::CRandom;
use runs::{command, fixture, golden, mean_fsc, number, rerun, succeeded, work_folder};
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

/// As the reference program's log: four lines follow the estimate in every iteration of auto-refine whose angular accuracy is
/// worse than 10 degrees, and none in the others.
#[test]
fn poor_angular_accuracy_is_warned_of() {
    let data = fixture();
    let reference = data.join("refine3d_c4");
    let mut words = command(&reference);
    words.extend(["--auto_iter_max", "4"].map(String::from));
    let inputs = ["bundle.star", "bundle.mrcs", "bundle_truth1.mrc"].map(|f| data.join(f));
    let (folder, _) = work_folder(&inputs, &words);
    let output = Command::new(env!("CARGO_BIN_EXE_relion_refine"))
        .args(words)
        .current_dir(folder.path())
        .output()
        .unwrap();
    succeeded(&output);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut accuracies = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let Some((_, rest)) = line.split_once("Estimated accuracy angles= ") else {
            continue;
        };
        let accuracy: f64 = rest.split(' ').next().unwrap().parse().unwrap();
        let warnings = lines[i + 1..]
            .iter()
            .take_while(|line| line.contains("Auto-refine: WARNING:"))
            .count();
        assert_eq!(warnings, if accuracy > 10.0 { 4 } else { 0 }, "{text}");
        accuracies.push(accuracy);
    }
    let poor = accuracies.iter().filter(|a| **a > 10.0).count();
    assert!(
        poor > 0 && poor < accuracies.len(),
        "both cases: {accuracies:?}"
    );
}

/// Images of nothing but noise must not look like anything: beyond the radius up to which the halves are joined, their
/// FSC stays below 0.143, whatever the noise. (Without symmetry, so that a shell has enough independent voxels to tell.)
///
/// The join averages the padded sums up to R = ⌈48·4.5 Å / 40 Å⌉ = 6 voxels of the map. For the FSC they are gathered
/// into voxels of the map, each from a cube that reaches √3/2 voxels inwards: of shell 7 (radius 6.5 to 7.5) the inner
/// part still holds joined sums, shell 8 is the first without any.
#[test]
fn noise_is_not_refined_into_a_structure() {
    let join: f64 = (SIDE as f64 * 4.5 / 40.0).ceil();
    let free = (1..).find(|shell| *shell as f64 - 0.5 - 3f64.sqrt() / 2.0 > join);
    let free = free.unwrap();
    assert_eq!(free, 8);
    for seed in [3, 4, 5] {
        let fsc = fsc_of_refined_noise(seed);
        println!("seed {seed}: {fsc:.2?}");
        for (shell, value) in fsc.iter().enumerate().skip(free) {
            assert!(*value < 0.143, "seed {seed}: FSC {value} in shell {shell}");
        }
    }
}

const SIDE: usize = 48;

/// FSC between the halves after six iterations of auto-refine on noise.
fn fsc_of_refined_noise(seed: u32) -> Vec<f64> {
    const PARTICLES: usize = 240;
    let data = fixture();
    let folder = tempfile::tempdir().unwrap();
    let mut random = CRandom::new(seed);
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
        .args("--healpix_order 1 --offset_range 4 --verb 0 --random_seed".split(' '))
        .arg(seed.to_string())
        .args("--low_resol_join_halves 40 --auto_iter_max 6".split(' '))
        .current_dir(folder.path())
        .status()
        .unwrap();
    assert!(status.success());
    let model = folder.path().join("run_it006_half1_model.star");
    let model = Document::read(&model).unwrap();
    let class = model.require("model_class_1").unwrap();
    class.real_column("rlnGoldStandardFsc").unwrap()
}

#[test]
fn simulated_images_are_refined_like_the_reference_run() {
    // Hours of one core.
    let Some(reference) = golden("refine3d_c4").filter(|_| material::long_tests()) else {
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
