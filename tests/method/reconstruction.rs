//! Two ways to the same map, the FSC behind a mask, and subsets of the particles.

use crate::images::{BOX, DIAMETER, Exposure, PIXEL, Set, amplitudes, fsc, smallest};
use gerelion::formats::mrc::write_map;
use gerelion::formats::star::Document;
use gerelion::fourier::masks::soft_sphere;
use ndarray::Array3;

const IMAGES: usize = 120;

/// Iterative gridding and direct division agree wherever the data reach.
#[test]
fn gridding_gives_the_map_of_direct_division() {
    let set = Set::new("C4", &[Exposure::new(IMAGES)]);
    let usual = "--iter 1 --skip_align --zero_mask --ini_high 9 --ctf --sym C4";
    let map = |options: &str| {
        let root = set.run("poses.star", &format!("{usual} {options}"));
        set.map(&root, "it001_class001")
    };
    let (direct, gridded) = (map(""), map("--dont_skip_gridding"));
    let same = smallest(&fsc(&direct, &gridded), 16);
    let ratio = amplitudes(&gridded, &direct);
    println!("FSC {same:.5}, amplitudes {ratio:.3?}");
    assert!(same > 0.995, "{same}");
    assert!(
        ratio[1..=16].iter().all(|r| (r - 1.0).abs() < 0.05),
        "{ratio:.3?}"
    );
    assert!(smallest(&set.fsc_to_truth(&gridded), 16) > 0.97);
}

/// FSC of the halves after one iteration of auto-refine from true poses, with and without correction for a mask.
fn gold_standard(noise: f32) -> [Vec<f64>; 2] {
    let mut exposure = Exposure::new(300);
    exposure.noise = noise;
    let set = Set::new("C1", &[exposure]);
    let mut mask = Array3::ones((BOX, BOX, BOX));
    soft_sphere(&mut mask, 0.4 * DIAMETER / PIXEL, 4.0);
    let path = set.path("mask.mrc");
    write_map(&path, mask.mapv(|v| v as f32).view(), PIXEL).unwrap();
    let usual = format!(
        "--auto_refine --split_random_halves --auto_iter_max 1 --skip_align --zero_mask --ini_high 9 --ctf --sym C1 \
         --random_seed 1 --flatten_solvent --solvent_mask {}",
        path.display()
    );
    ["", "--solvent_correct_fsc"].map(|option| {
        let root = set.run("poses.star", &format!("{usual} {option}"));
        let model = format!("{}_it001_half1_model.star", root.display());
        let model = Document::read(model.as_ref()).unwrap();
        let class = model.require("model_class_1").unwrap();
        class.real_column("rlnGoldStandardFsc").unwrap()
    })
}

/// Noise outside the particle lowers the FSC; behind the mask it does not.
#[test]
fn the_corrected_fsc_counts_signal_inside_the_mask_only() {
    let [plain, corrected] = gold_standard(15.0);
    println!("{plain:.2?}\n{corrected:.2?}");
    let mean = |curve: &[f64]| curve[4..=14].iter().sum::<f64>() / 11.0;
    assert!(mean(&plain) > 0.2 && mean(&corrected) > mean(&plain) + 0.05);
}

/// The mask alone, multiplied into two maps of noise, correlates them; the correction takes this away.
#[test]
fn the_corrected_fsc_of_noise_is_nothing() {
    let [_, corrected] = gold_standard(1e6);
    println!("{corrected:.2?}");
    let mean = corrected[4..=18].iter().sum::<f64>() / 15.0;
    assert!(mean.abs() < 0.1, "{corrected:.2?}");
}

/// The first five iterations use 1500 particles a class; here ten are left out of each, and none from the sixth on.
#[test]
fn fast_subsets_grow_to_all_particles() {
    const PARTICLES: usize = 1510;
    let set = Set::new("C4", &[Exposure::new(PARTICLES)]);
    let root = set.run(
        "poses.star",
        "--iter 20 --fast_subsets --skip_align --zero_mask --ini_high 30 --ctf --sym C4 --pad 1 --random_seed 1",
    );
    let untouched = |iteration: usize| {
        let data = format!("{}_it{iteration:03}_data.star", root.display());
        let document = Document::read(data.as_ref()).unwrap();
        let table = document.require("particles").unwrap();
        let samples = table.integer_column("rlnNrOfSignificantSamples").unwrap();
        samples.iter().filter(|n| **n == 0).count()
    };
    assert_eq!(untouched(1), 10);
    assert_eq!(untouched(6), 0);
}
