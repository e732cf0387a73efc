//! The engine of the host against that of the GPU, option by option: the same iterations from the same start on the same
//! few particles, and every number that they write compared.
//!
//! The GPU is emulated (`tests/emulated_cuda`), so this runs everywhere; the kernels, launches and arrays are the real
//! ones. What is compared and how closely is in `agreement.rs`.

mod agreement;
mod engines;
mod particles;

use agreement::{Bounds, agree};
use particles::Set;

/// What most rows of the matrix have in common.
const USUAL: &str = "--ctf --zero_mask --norm --scale --flatten_solvent --pad 1 --healpix_order 0 --offset_range 2 --offset_step 2";

fn usual(options: &str) -> String {
    format!("{USUAL} {options}")
}

#[test]
fn global_search() {
    let set = Set::new("C4", 1);
    agree(&set, &usual("--iter 2 --sym C4"), &Bounds::default());
}
