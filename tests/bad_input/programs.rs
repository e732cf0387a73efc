//! Programs that make the maps (`--external_reconstruct`, `--blush`), relaxed and local symmetry.

use super::set::{BOX, PIXEL, Set, blob};
use gerelion::formats::mrc::write_map;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A set with these options.
fn with(words: &str) -> Set {
    let mut set = Set::new();
    set.options
        .extend(words.split_whitespace().map(String::from));
    set
}

/// A set whose maps are made by a shell script, which finds the STAR file in `$1` and the root of the names in `$root`.
fn by_script(script: &str) -> Set {
    let mut set = with("--external_reconstruct");
    write_script(&set, "program.sh", script);
    let variable = "RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE";
    set.environment.push((variable, "./program.sh".into()));
    set
}

fn write_script(set: &Set, name: &str, script: &str) {
    let path = set.path(name);
    fs::write(&path, format!("#!/bin/sh\nroot=${{1%.star}}\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A set with Blush in PATH, which is this script.
fn with_blush(script: &str) -> Set {
    let mut set = with("--blush");
    write_script(&set, "relion_python_blush", script);
    let folder = set.folder.path().display().to_string();
    set.environment
        .push(("PATH", format!("{folder}:/usr/bin:/bin")));
    set
}

/// The script of the other cases runs when it gives a map back.
#[test]
fn a_program_that_answers_well() {
    for set in [
        by_script("cp ref.mrc $root.mrc"),
        with_blush("cp ref.mrc $root.mrc; echo warning >&2; echo ' success'"),
    ] {
        let output = set.run();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
    }
}

#[test]
fn program_for_maps_missing() {
    let mut set = with("--external_reconstruct");
    let variable = "RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE";
    set.environment
        .push((variable, "no_such_program -v".into()));
    set.refuse("GR-0811");
}

#[test]
fn blush_missing() {
    let mut set = with("--blush");
    set.environment.push(("PATH", "/usr/bin:/bin".into()));
    set.refuse("GR-0811");
}

#[test]
fn program_for_maps_failed() {
    by_script("echo reading; echo 'KeyError: no such label' >&2; exit 3").refuse("GR-0811");
}

#[test]
fn program_for_maps_hangs() {
    by_script("echo waiting for a lock; sleep 1000")
        .option("--external_time_limit", "0.5")
        .refuse("GR-0812");
}

#[test]
fn blush_says_more_than_success() {
    with_blush("cp ref.mrc $root.mrc; echo 'module loaded'; echo success").refuse("GR-0811");
}

#[test]
fn map_of_the_program_missing() {
    by_script("cp ref.mrc result.mrc").refuse("GR-0813");
}

/// The padded arrays in place of the map.
#[test]
fn map_of_the_program_of_another_box() {
    by_script("cp ${root}_weight.mrc $root.mrc").refuse("GR-0813");
}

#[test]
fn map_of_the_program_not_finite() {
    let set = by_script("cp bad.mrc $root.mrc");
    let mut map = blob((BOX, BOX, BOX));
    map[[3, 2, 1]] = f32::NAN;
    write_map(&set.path("bad.mrc"), map.view(), PIXEL).unwrap();
    set.refuse("GR-0813");
}

#[test]
fn map_of_the_program_is_no_map() {
    by_script("echo sorry > $root.mrc").refuse("GR-0813");
}

#[test]
fn spectrum_of_the_program_without_values() {
    let star = "data_\\n\\nloop_\\n_rlnSpectralIndex\\n_rlnResolution\\n0 1\\n";
    by_script(&format!(
        "cp ref.mrc $root.mrc; printf '{star}' > ${{root}}_out.star"
    ))
    .refuse("GR-0813");
}

#[test]
fn spectrum_of_the_program_not_finite() {
    let star = "data_\\n\\nloop_\\n_rlnSpectralIndex\\n_rlnReferenceTau2\\n0 nan\\n";
    by_script(&format!(
        "cp ref.mrc $root.mrc; printf '{star}' > ${{root}}_out.star"
    ))
    .refuse("GR-0813");
}

#[test]
fn blank_in_the_names_for_the_program() {
    with("--blush")
        .option("--o", "out/my run")
        .refuse("GR-0106");
}

#[test]
fn option_of_blush_without_it() {
    with("--blush_skip_spectral_trailing").refuse("GR-0106");
}

#[test]
fn gradient_with_a_program() {
    with("--external_reconstruct --grad").refuse("GR-0106");
}

#[test]
fn relaxed_symmetry_unknown() {
    with("--relax_sym Q4").refuse("GR-0107");
}

#[test]
fn relaxed_symmetry_of_one_angle() {
    with("--relax_sym C4 --sigma_tilt 5").refuse("GR-0106");
}

#[test]
fn relaxed_symmetry_with_gradient() {
    with("--relax_sym C4 --grad").refuse("GR-0106");
}

/// A set with two masks and a map of regions that fit, which are then given by these options.
fn with_regions(words: &str) -> Set {
    let set = with(words);
    for name in ["red.mrc", "yellow.mrc", "map.mrc"] {
        write_map(&set.path(name), blob((BOX, BOX, BOX)).view(), PIXEL).unwrap();
    }
    set
}

#[test]
fn wanted_region_without_an_unwanted_one() {
    with_regions("--red_mask red.mrc").refuse("GR-0106");
}

#[test]
fn unwanted_region_without_a_wanted_one() {
    with_regions("--yellow_mask yellow.mrc").refuse("GR-0106");
}

#[test]
fn unwanted_region_by_mask_and_map() {
    with_regions("--red_mask red.mrc --yellow_mask yellow.mrc --yellow_map map.mrc")
        .refuse("GR-0106");
}

#[test]
fn signal_subtraction_with_gradient() {
    with_regions("--red_mask red.mrc --yellow_mask yellow.mrc --grad").refuse("GR-0106");
}

#[test]
fn mask_of_the_fsc_without_half_sets() {
    with_regions("--fsc_mask red.mrc").refuse("GR-0106");
}

#[test]
fn extra_iterations_of_a_classification() {
    with_regions("--extra_iter 2").refuse("GR-0106");
}

#[test]
fn wanted_mask_missing() {
    with_regions("--red_mask no.mrc --yellow_mask yellow.mrc").refuse("GR-0201");
}

#[test]
fn unwanted_mask_empty() {
    let set = with_regions("--red_mask red.mrc --yellow_mask yellow.mrc");
    let empty = blob((BOX, BOX, BOX)) * 0.0;
    write_map(&set.path("yellow.mrc"), empty.view(), PIXEL).unwrap();
    set.refuse("GR-0408");
}

#[test]
fn unwanted_map_of_another_box() {
    let set = with_regions("--red_mask red.mrc --yellow_map map.mrc");
    let map = blob((BOX + 4, BOX + 4, BOX + 4));
    write_map(&set.path("map.mrc"), map.view(), PIXEL).unwrap();
    set.refuse("GR-0401");
}

#[test]
fn unwanted_map_of_other_voxels() {
    let set = with_regions("--red_mask red.mrc --yellow_map map.mrc");
    let map = blob((BOX, BOX, BOX));
    write_map(&set.path("map.mrc"), map.view(), 1.1 * PIXEL).unwrap();
    set.refuse("GR-0401");
}

#[test]
fn unwanted_map_without_contrast() {
    let set = with_regions("--red_mask red.mrc --yellow_map map.mrc");
    let map = blob((BOX, BOX, BOX)) * 0.0;
    write_map(&set.path("map.mrc"), map.view(), PIXEL).unwrap();
    set.refuse("GR-0404");
}

#[test]
fn local_symmetry_missing() {
    with("--local_symmetry local.star").refuse("GR-0201");
}

#[test]
fn local_symmetry_without_copies() {
    let set = with("--local_symmetry local.star");
    let labels = "_rlnMaskName\n_rlnAngleRot\n_rlnAngleTilt\n_rlnAnglePsi\n_rlnOriginXAngst\n_rlnOriginYAngst\n_rlnOriginZAngst\n";
    let text = format!("data_\n\nloop_\n{labels}mask.mrc 0 0 0 0 0 0\n");
    fs::write(set.path("local.star"), text).unwrap();
    set.refuse("GR-0206");
}
