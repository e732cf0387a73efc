//! Options of gradient refinement.

use super::set::Set;

/// The set with `--grad` and these words.
fn with(words: &str) -> Set {
    let mut set = Set::new();
    set.options.push("--grad".into());
    set.options
        .extend(words.split_whitespace().map(String::from));
    set
}

#[test]
fn gradient_of_half_sets() {
    with("--auto_refine").refuse("GR-0106");
}

#[test]
fn gradient_with_fast_subsets() {
    with("--fast_subsets")
        .option("--iter", "20")
        .refuse("GR-0106");
}

#[test]
fn gradient_without_a_seed() {
    with("").option("--random_seed", "0").refuse("GR-0106");
}

#[test]
fn self_organising_map() {
    with("--som").refuse("GR-0104");
}

#[test]
fn fraction_of_all_iterations() {
    with("--grad_ini_frac 1").refuse("GR-0103");
}

#[test]
fn scheme_without_a_factor() {
    with("--grad_stepsize_scheme step").refuse("GR-0103");
}

#[test]
fn subset_of_nothing() {
    with("--grad_ini_subset 0").refuse("GR-0103");
}

#[test]
fn steps_of_no_size() {
    with("--grad_stepsize 0").refuse("GR-0103");
}
