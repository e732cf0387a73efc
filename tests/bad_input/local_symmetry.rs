//! Descriptions of local symmetry, and searches for it.

use super::relion_tools::{LOCALSYM, local_symmetry, refuse};
use super::set::Set;

#[test]
fn region_without_a_copy() {
    let set = Set::new();
    local_symmetry(&set, "ref.mrc 0 0 0 0 0 0\n");
    let words = "--apply --i_map ref.mrc --i_mask_info local.star --o_map a.mrc";
    refuse(&set, LOCALSYM, words, "GR-0206");
}

#[test]
fn search_for_local_symmetry_from_operators_and_masks() {
    let words = "--search --i_map ref.mrc --i_mask_info local.star --o_mask_info a.star --i_op_mask_info b.star";
    refuse(&Set::new(), LOCALSYM, words, "GR-0103");
}

#[test]
fn search_for_local_symmetry_from_nothing() {
    let words = "--search --i_map ref.mrc --o_mask_info a.star";
    refuse(&Set::new(), LOCALSYM, words, "GR-0105");
}

#[test]
fn search_for_local_symmetry_from_a_single_mask() {
    let set = Set::new();
    let list = "data_\n\nloop_\n_rlnMaskName\n_rlnAreaId\nref.mrc 1\n";
    std::fs::write(set.path("masks.star"), list).unwrap();
    let words = "--search --i_map ref.mrc --o_mask_info a.star --i_op_mask_info masks.star";
    refuse(&set, LOCALSYM, words, "GR-0206");
}

#[test]
fn search_for_local_symmetry_on_a_map_of_a_few_voxels() {
    let set = Set::new();
    local_symmetry(&set, "ref.mrc 10 20 30 0 0 0\n");
    let words = "--search --i_map ref.mrc --i_mask_info local.star --o_mask_info a.star --ang_range 5 --bin 20";
    refuse(&set, LOCALSYM, words, "GR-0103");
}

#[test]
fn search_for_local_symmetry_without_a_range() {
    let words = "--search --i_map ref.mrc --i_mask_info local.star --o_mask_info a.star";
    let set = Set::new();
    local_symmetry(&set, "ref.mrc 10 20 30 0 0 0\n");
    refuse(&set, LOCALSYM, words, "GR-0105");
}
