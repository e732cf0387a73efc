//! The engine of the host against that of the GPU, option by option: the same iterations from the same start on the same
//! few particles, and every number that they write compared.
//!
//! The GPU is emulated (`tests/emulated_cuda`), so this runs everywhere; kernels, launches and arrays are the real ones.
//! `agreement.rs` says how closely each quantity must agree.

mod agreement;
mod averages;
mod engines;
mod gradient;
mod local_resolution;
mod particles;
mod reconstruction;

use agreement::{Bounds, agree, agree_on, run_both};
use gerelion::formats::volume::read_map;
use ndarray::Array3;
use particles::Set;
use std::path::Path;

/// Options of all rows of the matrix: Class3D with its usual corrections.
const CORRECTIONS: &str = "--ctf --norm --scale --flatten_solvent --pad 1 --tau2_fudge 2";
/// A search coarse enough for the emulator.
const SEARCH: &str = "--healpix_order 0 --offset_range 2 --offset_step 2";

/// Asserts that two iterations with `options` agree.
fn classify(set: &Set, options: &str) {
    agree(
        set,
        &format!("{CORRECTIONS} --iter 2 {options}"),
        &Bounds::default(),
    );
}

#[test]
fn global_search() {
    classify(&Set::new("C4", 1), &format!("{SEARCH} --zero_mask"));
}

/// Shifts in steps so small that several count: of those two pixels apart, the prior leaves the central one alone.
#[test]
fn priors_of_offsets() {
    let search = "--healpix_order 0 --offset_range 1 --offset_step 0.5 --zero_mask";
    classify(&Set::new("C4", 1), search);
}

#[test]
fn background_of_noise() {
    classify(&Set::new("C4", 1), SEARCH);
}

#[test]
fn local_search() {
    let local = "--i poses.star --healpix_order 2 --sigma_ang 5 --offset_range 2 --offset_step 2 --zero_mask";
    classify(&Set::new("C4", 1), local);
}

/// Widths of their own for every angle, and prior columns that are not the current angles.
#[test]
fn local_search_by_angle() {
    let local = "--i poses.star --healpix_order 2 --sigma_rot 6 --sigma_tilt 4 --sigma_psi 8 --offset_range 2 --offset_step 2 --zero_mask";
    classify(&Set::new("C1", 1), local);
}

#[test]
fn search_of_the_tilt() {
    let tilts = "--healpix_order 2 --only_sample_tilt --offset_range 2 --offset_step 2 --zero_mask";
    classify(&Set::new("C4", 1), tilts);
}

/// Around the symmetry mates of the poses, too: rotations about z as RELION selects them, and another group.
#[test]
fn relaxed_symmetry() {
    let local = "--i poses.star --healpix_order 2 --sigma_ang 5 --offset_range 2 --offset_step 2 --zero_mask";
    for relaxed in ["C4", "D2"] {
        classify(
            &Set::new("C1", 1),
            &format!("{local} --relax_sym {relaxed}"),
        );
    }
}

#[test]
fn relaxed_symmetry_of_several_references() {
    let local = "--i poses.star --healpix_order 2 --offset_range 2 --offset_step 2 --zero_mask --relax_sym C3";
    let options = format!("{local} --ref references.star");
    classify(&Set::new("C1", 2), &options);
}

/// Maps made by another program from sums that come to the host: of classes, of half-sets, of class averages.
#[test]
fn maps_by_a_program() {
    if !material::has_python(&["numpy"]) {
        return;
    }
    let options = format!("{SEARCH} --zero_mask --ref references.star --external_reconstruct");
    classify(&Set::new("C4", 2), &options);
    let options = format!(
        "{SEARCH} --ctf --norm --scale --flatten_solvent --pad 1 --zero_mask --auto_refine --split_random_halves \
         --low_resol_join_halves 40 --auto_iter_max 2 --external_reconstruct"
    );
    agree(&Set::of("C4", 1, 20), &options, &Bounds::default());
}

#[test]
fn local_symmetry() {
    let set = Set::new("C1", 1).with_local_symmetry();
    let options = format!("{SEARCH} --zero_mask --local_symmetry local.star");
    classify(&set, &options);
}

/// Images are compared without the signal of a region: of the current map, or of a map that stays; searched locally, by
/// cross-correlation, and from particles without orientations, for which the first iteration subtracts nothing.
#[test]
fn signal_subtraction() {
    let local = "--i poses.star --healpix_order 2 --sigma_ang 5 --offset_range 2 --offset_step 2";
    let masks = "--red_mask red.mrc --yellow_mask yellow.mrc";
    let map = "--red_mask red.mrc --yellow_map yellow_map.mrc";
    for (classes, options) in [
        (2, format!("{local} --ref references.star {masks}")),
        (
            1,
            format!("--i poses.star --zero_mask --skip_align {masks}"),
        ),
        (
            1,
            format!("{SEARCH} --i poses.star --zero_mask --firstiter_cc {map}"),
        ),
        (1, format!("{SEARCH} --zero_mask {masks}")),
    ] {
        classify(&Set::new("C1", classes).with_regions(), &options);
    }
}

/// The FSC of half-sets under a mask, and iterations beyond convergence.
#[test]
fn half_sets_under_a_mask() {
    let options = format!(
        "{SEARCH} --ctf --norm --scale --flatten_solvent --pad 1 --zero_mask --auto_refine --split_random_halves \
         --low_resol_join_halves 40 --auto_iter_max 2 --fsc_mask red.mrc --red_mask red.mrc --yellow_mask yellow.mrc"
    );
    let set = Set::of("C1", 1, 20).with_regions();
    agree(&set, &options, &Bounds::default());
}

#[test]
fn several_references() {
    let options = format!("{SEARCH} --zero_mask --ref references.star");
    classify(&Set::new("C4", 2), &options);
}

/// A cross-correlation iteration, then one class drawn for each particle.
#[test]
fn several_classes_from_one_reference() {
    let options = format!("{SEARCH} --zero_mask --K 2 --firstiter_cc --iter 3");
    classify(&Set::new("C4", 2), &options);
}

#[test]
fn cross_correlation_first() {
    classify(
        &Set::new("C4", 1),
        &format!("{SEARCH} --zero_mask --firstiter_cc"),
    );
}

#[test]
fn cross_correlation_always() {
    let options = format!("{SEARCH} --zero_mask --firstiter_cc --always_cc");
    classify(&Set::new("C4", 1), &options);
}

/// A faint reference fits everywhere: so many samples share an orientation that a thread compares each.
#[test]
fn wide_posteriors() {
    let set = Set::of("C4", 1, 20);
    set.scale_reference(2e-4);
    classify(
        &set,
        "--iter 1 --healpix_order 0 --offset_range 6 --offset_step 1 --zero_mask",
    );
    if let Ok(printed) = std::fs::read_to_string(set.path().join("device.log")) {
        let (_, done) = printed.split_once("wide differences ").unwrap();
        let bytes: f64 = done.split_whitespace().nth(4).unwrap().parse().unwrap();
        assert!(bytes > 0.0, "{printed}");
    }
}

/// The radius of 10 pixels goes through the middle of pixels and voxels, such as (6, 8).
#[test]
fn masks_without_an_edge() {
    classify(
        &Set::new("C4", 1),
        &format!("{SEARCH} --zero_mask --maskedge 0 --particle_diameter 120"),
    );
}

#[test]
fn limited_resolution_of_the_expectation() {
    let options = format!("{SEARCH} --zero_mask --strict_highres_exp 20");
    classify(&Set::new("C4", 1), &options);
}

#[test]
fn limited_number_of_significant_samples() {
    classify(
        &Set::new("C1", 1),
        &format!("{SEARCH} --zero_mask --maxsig 5"),
    );
}

#[test]
fn no_regularisation() {
    classify(
        &Set::new("C4", 1),
        &format!("{SEARCH} --zero_mask --no_map"),
    );
}

#[test]
fn premultiplied_images() {
    let set = Set::new("C4", 1).with_optics(&[("rlnCtfDataAreCtfPremultiplied", "1")]);
    classify(&set, &format!("{SEARCH} --zero_mask"));
}

#[test]
fn phase_flipped_images() {
    let set = Set::new("C4", 1).with_optics(&[("rlnCtfDataArePhaseFlipped", "1")]);
    classify(&set, &format!("{SEARCH} --zero_mask --ctf_phase_flipped"));
}

#[test]
fn reference_that_is_not_ctf_corrected() {
    let options = format!("{SEARCH} --zero_mask --ctf_uncorrected_ref");
    classify(&Set::new("C4", 1), &options);
}

#[test]
fn no_ctf() {
    let options = format!("--norm --scale --pad 1 --iter 2 {SEARCH} --zero_mask");
    agree(&Set::new("C4", 1), &options, &Bounds::default());
}

#[test]
fn groups_of_other_boxes() {
    let set = Set::new("C4", 1).with_second_group(&[]);
    classify(&set, &format!("{SEARCH} --zero_mask"));
}

/// Beam tilt, trefoil, symmetric aberrations and anisotropic magnification of a second group.
#[test]
fn aberrations() {
    let set = Set::new("C4", 1).with_second_group(&[
        ("rlnBeamTiltX", "0.3"),
        ("rlnBeamTiltY", "-0.2"),
        ("rlnOddZernike", "[0,0,0.1,0.05,0,0]"),
        ("rlnEvenZernike", "[0,0.1,0,0.05,0,0,0.1,0,0]"),
        ("rlnMagMat00", "1.01"),
        ("rlnMagMat01", "0.004"),
        ("rlnMagMat10", "0.002"),
        ("rlnMagMat11", "0.99"),
    ]);
    classify(&set, &format!("{SEARCH} --zero_mask"));
}

/// Auto-refine: two half-sets, their FSC, and the schedule that follows from it.
#[test]
fn half_sets() {
    let options = format!(
        "{SEARCH} --ctf --norm --scale --flatten_solvent --pad 1 --zero_mask --auto_refine --split_random_halves \
         --low_resol_join_halves 40 --auto_iter_max 3"
    );
    agree(&Set::of("C4", 1, 20), &options, &Bounds::default());
}

#[test]
fn no_alignment() {
    classify(
        &Set::new("C4", 1),
        "--i poses.star --zero_mask --skip_align",
    );
}

#[test]
fn no_alignment_of_several_classes() {
    let options = "--i poses.star --zero_mask --skip_align --ref references.star";
    classify(&Set::new("C4", 2), options);
}

#[test]
fn no_rotation() {
    let options = "--i poses.star --zero_mask --skip_rotate --offset_range 3 --offset_step 2";
    classify(&Set::new("C4", 1), options);
}

#[test]
fn oversampling_0() {
    let options = format!("{SEARCH} --zero_mask --oversampling 0 --healpix_order 1");
    classify(&Set::new("C4", 1), &options);
}

#[test]
fn oversampling_2() {
    classify(
        &Set::new("C4", 1),
        &format!("{SEARCH} --zero_mask --oversampling 2"),
    );
}

#[test]
fn point_groups() {
    for symmetry in ["C1", "C3", "D2", "T", "O", "I1"] {
        classify(&Set::new(symmetry, 1), &format!("{SEARCH} --zero_mask"));
    }
}

/// Both engines measure the strength of the reference in the images, and say the same about it and the norms.
#[test]
fn warnings() {
    for (factor, says) in [
        (1000.0, &["times stronger than the signal"][..]),
        (-10000.0, &["norm correction of 40 of 40", "times stronger"]),
    ] {
        let set = Set::of("C4", 1, 40);
        set.scale_reference(factor);
        let options = format!("{CORRECTIONS} --iter 1 {SEARCH} --zero_mask");
        let Some((_, said)) = run_both("0", &set, &options) else {
            return;
        };
        let said = said.join("\n");
        for words in says {
            assert!(said.contains(words), "'{words}' in: {said}");
        }
    }
}

/// One process drives all cards that were named, whichever way they are written: each with a part of the particles; of two with a
/// half-set of its own; of three with a part of every half-set.
#[test]
fn several_cards_in_one_process() {
    let halves = "--auto_refine --split_random_halves --auto_iter_max 2";
    for (map, options) in [
        ("0:1", "--tau2_fudge 2 --iter 2"),
        ("1,0", halves),
        ("0,1,2", halves),
    ] {
        let options = format!(
            "{SEARCH} --ctf --norm --scale --flatten_solvent --pad 1 --zero_mask {options}"
        );
        agree_on(map, &Set::of("C4", 1, 20), &options, &Bounds::default());
    }
}

/// Sums are padded more than references: of maps with children of an orientation and without, and of half-sets.
#[test]
fn sums_padded_more_than_references() {
    for (classes, options) in [
        (1, SEARCH),
        (1, "--i poses.star --skip_align"),
        (
            2,
            "--healpix_order 1 --oversampling 0 --offset_range 2 --offset_step 2 --ref references.star",
        ),
    ] {
        let options = format!("{options} --zero_mask --asymmetric_padding");
        classify(&Set::new("C4", classes), &options);
    }
    let options = format!(
        "{SEARCH} --ctf --norm --scale --flatten_solvent --pad 1 --zero_mask --auto_refine --split_random_halves \
         --low_resol_join_halves 40 --auto_iter_max 2 --asymmetric_padding"
    );
    agree(&Set::of("C4", 1, 20), &options, &Bounds::default());
}

/// Without a prior, whose steep fall from shell to shell makes rounds of density compensation enlarge rounding (up to 10⁻² in a map
/// of ten images).
#[test]
fn gridding_of_sums_padded_more() {
    let options = "--i poses.star --skip_align --dont_skip_gridding --zero_mask --asymmetric_padding --no_map";
    classify(&Set::new("C4", 1), options);
}

/// Where poses are known and nothing is regularised, a map does not depend on the padding of the references: with
/// `--pad 1 --asymmetric_padding` it is that of `--pad 2`, and with `--pad 1` alone another.
#[test]
fn maps_have_the_padding_of_the_sums() {
    let set = Set::of("C4", 1, 40);
    let map = |root: &str, padding: &str| {
        let words = format!(
            "--i poses.star --ref reference1.mrc --sym C4 --particle_diameter 126 --ctf --zero_mask --no_map --skip_align --iter 1 \
             --random_seed 3 {padding}"
        );
        let words: Vec<String> = words.split_whitespace().map(String::from).collect();
        let (root, _) = engines::run(set.path(), &words, root, None);
        let path = format!("{}_it001_class001.mrc", root.display());
        let map = read_map(Path::new(&path)).unwrap().data;
        map.mapv(f64::from)
    };
    let norm = |map: &Array3<f64>| map.iter().map(|v| v * v).sum::<f64>().sqrt();
    let two = map("two", "--pad 2");
    let difference = |other: &Array3<f64>| norm(&(other - &two)) / norm(&two);
    let asymmetric = difference(&map("asymmetric", "--pad 1 --asymmetric_padding"));
    let one = difference(&map("one", "--pad 1"));
    println!("asymmetric {asymmetric:e}, --pad 1 {one:e}");
    assert!(asymmetric < 1e-6, "{asymmetric}");
    assert!(one > 1e-3, "{one}");
}

/// Padding 2, as jobs have it by default.
#[test]
fn padded_references() {
    let options = format!("{SEARCH} --ctf --norm --scale --zero_mask --pad 2 --iter 2");
    agree(&Set::new("C4", 1), &options, &Bounds::default());
}
