//! Programs that RELION's interface calls after a refinement, under RELION's names.

use super::set::{BOX, PIXEL, Set, blob, failure};
use super::snapshot;
use gerelion::formats::mrc::write_map;
use gerelion::formats::volume::read_map;
use ndarray::Array3;
use std::fs;
use std::process::{Command, Output};

const RECONSTRUCT: &str = env!("CARGO_BIN_EXE_relion_reconstruct");
const SUBTRACT: &str = env!("CARGO_BIN_EXE_relion_particle_subtract");
const LOCALSYM: &str = env!("CARGO_BIN_EXE_relion_localsym");

fn run(set: &Set, program: &str, words: &str) -> Output {
    Command::new(program)
        .args(words.split_whitespace())
        .current_dir(set.folder.path())
        .output()
        .unwrap()
}

/// Runs a program as the interface does, and checks that it says it was successful, to the interface as well.
fn succeeds(set: &Set, program: &str, words: &str) {
    let output = run(set, program, &format!("{words} --pipeline_control job/"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(set.path("job/RELION_JOB_EXIT_SUCCESS").exists());
    assert!(!set.path("job/RELION_JOB_EXIT_FAILURE").exists());
}

fn refuse(set: &Set, program: &str, words: &str, code: &str) {
    fs::create_dir_all(set.path("job")).unwrap();
    let output = run(set, program, &format!("{words} --pipeline_control job/"));
    snapshot::check(code, &set.neutral(&failure(&output)));
    assert!(set.path("job/RELION_JOB_EXIT_FAILURE").exists());
}

/// A set that has been refined for an iteration.
fn refined() -> Set {
    let set = Set::new();
    let output = set.run();
    assert!(output.status.success());
    fs::create_dir_all(set.path("job")).unwrap();
    set
}

#[test]
fn what_a_refinement_left_is_reconstructed_and_subtracted() {
    let set = refined();
    let data = "--i out/run_it001_data.star";
    succeeds(
        &set,
        RECONSTRUCT,
        &format!("{data} --o job/plain.mrc --ctf --sym c2 --maxres 10"),
    );
    let ewald = "--ewald --mask_diameter 72 --class 1 --newbox 20 --reverse_curvature";
    succeeds(
        &set,
        RECONSTRUCT,
        &format!("{data} --o job/ewald.mrc {ewald}"),
    );
    let side = |name: &str| read_map(&set.path(name)).unwrap().data.dim().0;
    assert_eq!((side("job/plain.mrc"), side("job/ewald.mrc")), (24, 20));

    let words = "--i out/run_it001_optimiser.star --o job --mask ref.mrc --recenter_on_mask --new_box 17 --float16";
    succeeds(&set, SUBTRACT, words);
    assert!(
        set.path("job/Particles/subtracted_opticsgroup1.mrcs")
            .exists()
    );
    let star = fs::read_to_string(set.path("job/particles_subtracted.star")).unwrap();
    assert!(
        star.contains("00000006@job/Particles/subtracted_opticsgroup1.mrcs"),
        "{star}"
    );
    succeeds(
        &set,
        RECONSTRUCT,
        "--i job/particles_subtracted.star --o job/rest.mrc --ctf",
    );
    assert_eq!(side("job/rest.mrc"), 16);
    succeeds(
        &set,
        SUBTRACT,
        "--revert job/particles_subtracted.star --o back",
    );
    let star = fs::read_to_string(set.path("back/original.star")).unwrap();
    assert!(star.contains("000006@stack.mrcs"), "{star}");
}

#[test]
fn a_region_is_averaged_with_its_copy() {
    let set = Set::new();
    fs::create_dir_all(set.path("job")).unwrap();
    local_symmetry(&set, "ref.mrc 90 0 0 0 0 0\n");
    let words = "--apply --i_map ref.mrc --i_mask_info local.star --o_map job/averaged.mrc";
    succeeds(&set, LOCALSYM, words);
    assert_eq!(
        read_map(&set.path("job/averaged.mrc")).unwrap().data.dim(),
        (24, 24, 24)
    );
}

fn local_symmetry(set: &Set, rows: &str) {
    let head = "data_\n\nloop_\n_rlnMaskName\n_rlnAngleRot\n_rlnAngleTilt\n_rlnAnglePsi\n_rlnOriginXAngst\n_rlnOriginYAngst\n\
                _rlnOriginZAngst\n";
    fs::write(set.path("local.star"), format!("{head}{rows}")).unwrap();
}

#[test]
fn particles_without_orientations() {
    let words = "--i particles.star --o a.mrc --ctf";
    refuse(&Set::new(), RECONSTRUCT, words, "GR-0315");
}

#[test]
fn curvature_without_a_diameter() {
    let words = "--i particles.star --o a.mrc --ewald";
    refuse(&Set::new(), RECONSTRUCT, words, "GR-0105");
}

#[test]
fn half_set_that_does_not_exist() {
    let words = "--i particles.star --o a.mrc --subset 3";
    refuse(&Set::new(), RECONSTRUCT, words, "GR-0103");
}

#[test]
fn reconstruction_of_a_helix() {
    let words =
        "--i particles.star --o a.mrc --nr_helical_asu 3 --helical_rise 4.7 --helical_twist -1.1";
    refuse(&Set::new(), RECONSTRUCT, words, "GR-0104");
}

#[test]
fn reconstruction_on_a_card() {
    let words = "--i particles.star --o a.mrc --gpu 0";
    refuse(&Set::new(), RECONSTRUCT, words, "GR-0104");
}

#[test]
fn subtraction_from_a_run_that_is_not_there() {
    let words = "--i Refine3D/job009/run_optimiser.star --o sub";
    refuse(&Set::new(), SUBTRACT, words, "GR-0201");
}

#[test]
fn new_centre_without_z() {
    let words = "--i run_optimiser.star --o sub --center_x 4 --center_y 5";
    refuse(&Set::new(), SUBTRACT, words, "GR-0105");
}

#[test]
fn particles_that_were_not_subtracted_from() {
    refuse(
        &Set::new(),
        SUBTRACT,
        "--revert particles.star --o sub",
        "GR-0206",
    );
}

#[test]
fn region_without_a_copy() {
    let set = Set::new();
    local_symmetry(&set, "ref.mrc 0 0 0 0 0 0\n");
    let words = "--apply --i_map ref.mrc --i_mask_info local.star --o_map a.mrc";
    refuse(&set, LOCALSYM, words, "GR-0206");
}

#[test]
fn search_for_local_symmetry() {
    let words = "--search --i_map ref.mrc --i_mask_info local.star --o_map a.mrc";
    refuse(&Set::new(), LOCALSYM, words, "GR-0104");
}

const MASK: &str = env!("CARGO_BIN_EXE_relion_mask_create");
const LOCALRES: &str = env!("CARGO_BIN_EXE_relion_localres");

/// Two half maps that differ by noise, and a map of another box.
fn with_half_maps() -> Set {
    let set = Set::new();
    for half in 1..=2 {
        let noise = |at: usize| ((at * 7919 * half) % 101) as f32 / 1000.0;
        let map =
            Array3::from_shape_fn((BOX, BOX, BOX), |(z, y, x)| noise((z * BOX + y) * BOX + x));
        let map = blob((BOX, BOX, BOX)) + map;
        let path = set.path(&format!("run_half{half}_class001_unfil.mrc"));
        write_map(&path, map.view(), PIXEL).unwrap();
    }
    write_map(&set.path("small.mrc"), blob((16, 16, 16)).view(), PIXEL).unwrap();
    set
}

const HALF: &str = "run_half1_class001_unfil.mrc";

#[test]
fn mask_above_all_densities() {
    let words = "--i ref.mrc --o job/mask.mrc --ini_threshold 9";
    refuse(&Set::new(), MASK, words, "GR-0404");
}

#[test]
fn mask_of_maps_with_two_boxes() {
    let words = "--i ref.mrc --and small.mrc --o job/mask.mrc --ini_threshold 0.1";
    refuse(&with_half_maps(), MASK, words, "GR-0407");
}

#[test]
fn shell_in_an_odd_box() {
    let words = "--denovo --box_size 33 --outer_radius 8 --o job/mask.mrc";
    refuse(&Set::new(), MASK, words, "GR-0103");
}

#[test]
fn helix_that_is_cut_to_nothing() {
    let words = "--i ref.mrc --o job/mask.mrc --ini_threshold 0.1 --helix --z_percentage 0.01 --width_soft_edge 3";
    refuse(&Set::new(), MASK, words, "GR-0103");
}

#[test]
fn mask_of_a_map_that_is_not_there() {
    refuse(&Set::new(), MASK, "--i no.mrc --o job/mask.mrc", "GR-0201");
}

#[test]
fn local_resolution_of_no_points() {
    let words = format!("--i {HALF} --o job/local --locres_sampling 0");
    refuse(&with_half_maps(), LOCALRES, &words, "GR-0103");
}

#[test]
fn local_resolution_in_spheres_larger_than_the_box() {
    let words = format!("--i {HALF} --o job/local --locres_maskrad 500");
    refuse(&with_half_maps(), LOCALRES, &words, "GR-0103");
}

#[test]
fn local_resolution_with_a_fitted_b_factor() {
    let words = format!("--i {HALF} --o job/local --auto_bfac");
    refuse(&with_half_maps(), LOCALRES, &words, "GR-0104");
}

#[test]
fn local_resolution_in_a_mask_of_another_box() {
    let words = format!("--i {HALF} --o job/local --mask small.mrc");
    refuse(&with_half_maps(), LOCALRES, &words, "GR-0407");
}

#[test]
fn local_resolution_of_one_map_with_itself() {
    let words = "--i ref.mrc --o job/local";
    refuse(&Set::new(), LOCALRES, words, "GR-0407");
}
