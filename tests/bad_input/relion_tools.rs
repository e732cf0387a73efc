//! Programs that RELION's interface calls after a refinement, under RELION's names.

use super::set::{BOX, PIXEL, Set, blob, failure};
use super::snapshot;
use gerelion::formats::mrc::write_map;
use gerelion::formats::star::{Document, Value};
use gerelion::formats::volume::read_map;
use ndarray::Array3;
use std::fs;
use std::process::{Command, Output};

const RECONSTRUCT: &str = env!("CARGO_BIN_EXE_relion_reconstruct");
const SUBTRACT: &str = env!("CARGO_BIN_EXE_relion_particle_subtract");
pub(super) const LOCALSYM: &str = env!("CARGO_BIN_EXE_relion_localsym");

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

pub(super) fn refuse(set: &Set, program: &str, words: &str, code: &str) {
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

pub(super) fn local_symmetry(set: &Set, rows: &str) {
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
fn nearest_neighbours_on_a_card() {
    let words = "--i particles.star --o a.mrc --gpu 0 --NN";
    refuse(&Set::new(), RECONSTRUCT, words, "GR-0104");
}

#[test]
fn subtraction_from_a_run_that_is_not_there() {
    let words = "--i Refine3D/job009/run_optimiser.star --o sub";
    refuse(&Set::new(), SUBTRACT, words, "GR-0201");
}

#[test]
fn subtraction_on_a_card() {
    let words = "--i run_optimiser.star --o sub --gpu 0";
    refuse(&Set::new(), SUBTRACT, words, "GR-0104");
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

/// The number that is wrong is named, with those that are possible, as `relion_refine` names them.
#[test]
fn numbers_that_no_program_can_use() {
    let postprocess = env!("CARGO_BIN_EXE_relion_postprocess");
    let mask = env!("CARGO_BIN_EXE_relion_mask_create");
    let align = env!("CARGO_BIN_EXE_relion_align_symmetry");
    for (program, words, option) in [
        (RECONSTRUCT, "--i particles.star", "--angpix 0"),
        (RECONSTRUCT, "--i particles.star", "--maxres -5"),
        (RECONSTRUCT, "--i particles.star", "--class 0"),
        (postprocess, "--i ref.mrc", "--angpix -2"),
        (postprocess, "--i ref.mrc", "--low_pass 0.0001"),
        (postprocess, "--i ref.mrc", "--randomize_at_fsc 3"),
        (mask, "--i ref.mrc", "--lowpass 0.01"),
        (mask, "--i ref.mrc", "--width_soft_edge -3"),
        (align, "--i ref.mrc", "--angpix 0"),
        (SUBTRACT, "--i run_optimiser.star", "--new_box 1"),
        (
            LOCALSYM,
            "--apply --i_map ref.mrc --i_mask_info a --o_map b",
            "--angpix nan",
        ),
    ] {
        let set = Set::new();
        fs::create_dir_all(set.path("job")).unwrap();
        let words = format!("{words} {option} --pipeline_control job/");
        let message = failure(&run(&set, program, &words));
        let begin = format!("GR-0103: {option} is not possible: it must ");
        assert!(message.starts_with(&begin), "{message}");
        // Without it RELION's interface shows the job as running for ever.
        assert!(set.path("job/RELION_JOB_EXIT_FAILURE").exists());
    }
}

#[test]
fn resolution_below_zero() {
    let words = "--i particles.star --o a.mrc --maxres -5";
    refuse(&Set::new(), RECONSTRUCT, words, "GR-0103");
}

/// The first run's images and table would be lost while they are read.
#[test]
fn subtraction_over_its_own_input() {
    let set = refined();
    let words = "--i out/run_it001_optimiser.star --o job --mask ref.mrc";
    succeeds(&set, SUBTRACT, words);
    let stack = set.path("job/Particles/subtracted_opticsgroup1.mrcs");
    let table = set.path("job/particles_subtracted.star");
    let before = [fs::read(&stack).unwrap(), fs::read(&table).unwrap()];
    let again = format!("{words} --data job/particles_subtracted.star");
    refuse(&set, SUBTRACT, &again, "GR-0103");
    assert_eq!(
        [fs::read(&stack).unwrap(), fs::read(&table).unwrap()],
        before
    );
    // The table alone, whose images lie elsewhere.
    fs::create_dir_all(set.path("own")).unwrap();
    fs::copy(
        set.path("out/run_it001_data.star"),
        set.path("own/particles_subtracted.star"),
    )
    .unwrap();
    let own = "--i out/run_it001_optimiser.star --o own --data own/particles_subtracted.star";
    assert!(
        failure(&run(&set, SUBTRACT, own)).starts_with("GR-0103: own/particles_subtracted.star: ")
    );
    assert!(
        !set.path("own/Particles/subtracted_opticsgroup1.mrcs")
            .exists()
    );
    fs::copy(&table, set.path("own/original.star")).unwrap();
    let back = "--revert own/original.star --o own";
    assert!(failure(&run(&set, SUBTRACT, back)).starts_with("GR-0103: own/original.star: "));
}

/// Orientations of 0 would be taken for all of them.
#[test]
fn subtraction_from_particles_without_orientations() {
    let set = refined();
    let words = "--i out/run_it001_optimiser.star --o job --data particles.star";
    refuse(&set, SUBTRACT, words, "GR-0315");
}

#[test]
fn new_centre_outside_the_map() {
    let set = refined();
    let words =
        "--i out/run_it001_optimiser.star --o job --center_x 1000 --center_y 0 --center_z 0";
    refuse(&set, SUBTRACT, words, "GR-0103");
}

/// The set with orientations of `words` in the columns `labels`.
fn with_columns(labels: &str, words: &str) -> Set {
    let set = Set::new();
    let star = fs::read_to_string(set.path("particles.star")).unwrap();
    let head = "_rlnDefocusAngle #6\n";
    let star = star.replace(head, &format!("{head}{labels}"));
    set.write_star(&star.replace(" 15000 15200 30\n", &format!(" 15000 15200 30 {words}\n")));
    set
}

const POSES: &str = "_rlnAngleRot #7\n_rlnAngleTilt #8\n_rlnAnglePsi #9\n";
const MAP: &str = "--i particles.star --o map.mrc --ctf";

/// Reconstruction refuses the particles that refinement refuses.
#[test]
fn offset_that_stands_for_none() {
    let labels = format!("{POSES}_rlnOriginXAngst #10\n_rlnOriginYAngst #11\n");
    refuse(
        &with_columns(&labels, "1 2 3 -999 0"),
        RECONSTRUCT,
        MAP,
        "GR-0310",
    );
}

#[test]
fn reconstruction_with_a_defocus_in_micrometres() {
    let set = with_columns(POSES, "1 2 3");
    let star = fs::read_to_string(set.path("particles.star")).unwrap();
    set.write_star(&star.replace("15000 15200", "1.5 1.52"));
    refuse(&set, RECONSTRUCT, MAP, "GR-0308");
    // Without the CTF its parameters do not count.
    succeeds(&set, RECONSTRUCT, "--i particles.star --o map.mrc");
    set.write_star(&star.replace(" 300 2.7 ", " 300000 2.7 "));
    assert!(failure(&run(&set, RECONSTRUCT, MAP)).starts_with("GR-0308: "));
}

#[test]
fn reconstruction_from_an_image_of_enormous_power() {
    let set = with_columns(POSES, "1 2 3");
    let said = |set: &Set| String::from_utf8(run(set, RECONSTRUCT, MAP).stderr).unwrap();
    assert!(!said(&set).contains("WARNING"));
    let mut images: Vec<Vec<f32>> = (0..super::set::PARTICLES).map(super::set::image).collect();
    images[3][100] = 1e10;
    set.write_stack(&images);
    let said = said(&set);
    assert!(
        said.contains("power is out of proportion: 1 of the 6")
            && said.contains("000004@stack.mrcs"),
        "{said}"
    );
}

#[test]
fn norm_correction_that_no_image_has() {
    let mut set = Set::new();
    set.options.push("--norm".into());
    assert!(set.run().status.success());
    fs::create_dir_all(set.path("job")).unwrap();
    let table = set.path("out/run_it001_data.star");
    let mut document = Document::read(&table).unwrap();
    let label = "rlnNormCorrection";
    let particles = document.tables.iter_mut().find(|table| table.has(label));
    particles.unwrap().set(2, label, Value::Real(1e10));
    document.write(&table).unwrap();
    refuse(
        &set,
        SUBTRACT,
        "--i out/run_it001_optimiser.star --o job",
        "GR-0310",
    );
}

#[test]
fn weights_that_are_none() {
    let labels = format!("{POSES}_rlnParticleFigureOfMerit #10\n");
    let set = with_columns(&labels, "1 2 3 -999");
    refuse(
        &set,
        RECONSTRUCT,
        &format!("{MAP} --fom_weighting"),
        "GR-0207",
    );
    let curve = "data_fsc\nloop_\n_rlnSpectralIndex\n_rlnGoldStandardFsc\n0 1\n1 nan\n";
    fs::write(set.path("fsc.star"), curve).unwrap();
    let message = failure(&run(&set, RECONSTRUCT, &format!("{MAP} --fsc fsc.star")));
    assert!(message.starts_with("GR-0207: fsc.star, "), "{message}");
}

/// The number that is taken in the place of an impossible one is told.
#[test]
fn numbers_that_are_changed() {
    let set = with_columns(POSES, "1 2 3");
    let output = run(
        &set,
        RECONSTRUCT,
        "--i particles.star --o map.mrc --maxres 1",
    );
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--maxres 1 Å is beyond the limit"), "{said}");
    let set = refined();
    let words = "--i out/run_it001_optimiser.star --o job --new_box 15";
    let output = run(&set, SUBTRACT, words);
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("--new_box 15 is odd") && said.contains("14 pixels a side"),
        "{said}"
    );
}

/// Files of a run that cannot be continued cannot be subtracted from either.
#[test]
fn subtraction_with_files_that_were_spoilt() {
    let set = refined();
    let words = "--i out/run_it001_optimiser.star --o job";
    let model = set.path("out/run_it001_model.star");
    let good = fs::read_to_string(&model).unwrap();
    for (label, value) in [("rlnNormCorrectionAverage", 0.0), ("rlnPixelSize", -4.0)] {
        let mut document = Document::read(&model).unwrap();
        let general = document.tables.iter_mut().find(|table| table.has(label));
        general.unwrap().set(0, label, Value::Real(value));
        document.write(&model).unwrap();
        let message = failure(&run(&set, SUBTRACT, words));
        let begin = format!("GR-0704: out/run_it001_model.star: {label} is {value}; ");
        assert!(message.starts_with(&begin), "{message}");
        fs::write(&model, &good).unwrap();
    }
    let map = set.path("out/run_it001_class001.mrc");
    for value in [0.0, f32::NAN] {
        let spoilt = Array3::from_elem((BOX, BOX, BOX), value);
        write_map(&map, spoilt.view(), PIXEL).unwrap();
        let message = failure(&run(&set, SUBTRACT, words));
        assert!(
            message.starts_with("GR-0404: out/run_it001_class001.mrc: "),
            "{message}"
        );
    }
    assert!(!set.path("job/particles_subtracted.star").exists());
}
