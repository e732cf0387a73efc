//! Gradient refinement (`--grad`): residuals of two pseudo-halves on both engines.

use crate::agreement::{Bounds, agree, agree_on};
use crate::particles::Set;

/// Small subsets, every iteration written.
const GRADIENT: &str = "--grad --grad_ini_subset 12 --grad_fin_subset 18 --grad_write_iter 1 --iter 3 --ctf --norm --scale \
                        --flatten_solvent --zero_mask --offset_range 2 --offset_step 2";

fn refine(set: &Set, options: &str) {
    agree(set, &format!("{GRADIENT} {options}"), &Bounds::default());
}

#[test]
fn gradients_of_averages() {
    let set = Set::of("C4", 1, 24);
    refine(&set, "--ref None --K 3 --psi_step 11.25 --center_classes");
}

#[test]
fn gradients_of_premultiplied_images() {
    let set = Set::of("C4", 1, 24).with_optics(&[("rlnCtfDataAreCtfPremultiplied", "1")]);
    refine(&set, "--ref None --K 2 --psi_step 11.25");
}

#[test]
fn gradients_of_maps() {
    let set = Set::of("C4", 1, 24);
    refine(&set, "--healpix_order 0 --pad 1");
}

/// References are not CTF corrected in the first iteration.
#[test]
fn gradients_of_uncorrected_references() {
    let set = Set::of("C4", 1, 24);
    refine(&set, "--healpix_order 0 --pad 1 --ctf_uncorrected_ref");
}

#[test]
fn gradients_of_an_initial_model() {
    let set = Set::of("C1", 1, 24);
    refine(
        &set,
        "--ref None --denovo_3dref --healpix_order 0 --pad 1 --K 1",
    );
}

/// RELION refuses a gradient run on several processes; here two cards step along the same gradient as one.
#[test]
fn gradients_on_two_cards() {
    for options in [
        "--ref None --K 2 --psi_step 11.25 --center_classes",
        "--healpix_order 0 --pad 1",
    ] {
        agree_on(
            "0:1",
            &Set::of("C4", 1, 24),
            &format!("{GRADIENT} {options}"),
            &Bounds::default(),
        );
    }
}
