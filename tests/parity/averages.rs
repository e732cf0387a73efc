//! 2D classification: class averages on both engines.

use crate::agreement::{Bounds, agree};
use crate::particles::Set;

/// Options of all rows: Class2D with its usual corrections, and a search coarse enough for the emulator. The number
/// of in-plane angles is one that a device does not raise.
const AVERAGES: &str =
    "--ctf --norm --scale --flatten_solvent --center_classes --zero_mask --tau2_fudge 2 --iter 2";
const SEARCH: &str = "--psi_step 11.25 --offset_range 2 --offset_step 2";

/// Asserts that two iterations with `options` agree.
fn classify(set: &Set, options: &str) {
    agree(set, &format!("{AVERAGES} {options}"), &Bounds::default());
}

#[test]
fn averages_from_nothing() {
    let set = Set::of("C4", 1, 24);
    classify(&set, &format!("--ref None --K 3 {SEARCH}"));
}

#[test]
fn one_average() {
    classify(&Set::new("C4", 1), &format!("--ref None --K 1 {SEARCH}"));
}

/// Some of many classes get no particle.
#[test]
fn many_averages() {
    let set = Set::of("C4", 1, 40);
    classify(&set, &format!("--ref None --K 24 {SEARCH}"));
}

#[test]
fn averages_from_files() {
    let set = Set::new("C4", 2).with_averages();
    classify(&set, &format!("--ref averages.star {SEARCH}"));
}

/// Every particle visits a class of its own in the first iteration.
#[test]
fn several_averages_from_one_image() {
    let set = Set::of("C4", 2, 16).with_averages();
    classify(&set, &format!("--ref 1@averages.mrcs --K 2 {SEARCH}"));
}

#[test]
fn averages_by_correlation_first() {
    let set = Set::new("C4", 2).with_averages();
    let options = format!("--ref averages.star --firstiter_cc {SEARCH}");
    classify(&set, &options);
}

/// Priors of psi: orientations of particles' own.
#[test]
fn averages_with_priors_of_psi() {
    let set = Set::new("C4", 2).with_averages();
    let options = format!("--i poses.star --ref averages.star --sigma_psi 10 {SEARCH}");
    classify(&set, &options);
}

#[test]
fn averages_without_alignment() {
    let set = Set::new("C4", 2).with_averages();
    classify(&set, "--i poses.star --ref averages.star --skip_align");
}

#[test]
fn averages_without_rotation() {
    let set = Set::new("C4", 2).with_averages();
    let options =
        "--i poses.star --ref averages.star --skip_rotate --offset_range 3 --offset_step 2";
    classify(&set, options);
}

#[test]
fn averages_by_orders_of_oversampling() {
    for order in [0, 2] {
        let set = Set::new("C4", 2).with_averages();
        let options = format!("--ref averages.star --oversampling {order} {SEARCH}");
        classify(&set, &options);
    }
}

#[test]
fn averages_of_two_groups() {
    let set = Set::new("C4", 2)
        .with_averages()
        .with_second_group(&[("rlnMagMat00", "1.01"), ("rlnMagMat01", "0.004")]);
    let options = format!("--ref averages.star --pad 1 {SEARCH}");
    classify(&set, &options);
}

#[test]
fn averages_of_premultiplied_images() {
    let set = Set::new("C4", 2)
        .with_averages()
        .with_optics(&[("rlnCtfDataAreCtfPremultiplied", "1")]);
    classify(&set, &format!("--ref averages.star {SEARCH}"));
}

#[test]
fn averages_with_limits() {
    let set = Set::new("C4", 2).with_averages();
    let options = format!(
        "--ref averages.star --maxsig 20 --strict_highres_exp 20 --allow_coarser_sampling {SEARCH}"
    );
    classify(&set, &options);
}
