//! References, masks and the particle's diameter.

use super::set::{BOX, PIXEL, Set, blob};
use gerelion::formats::mrc::write_map;
use std::fs;

/// A set with another reference.
fn with_reference(shape: (usize, usize, usize), pixel_size: f64) -> Set {
    let set = Set::new();
    write_map(&set.path("ref.mrc"), blob(shape).view(), pixel_size).unwrap();
    set
}

#[test]
fn non_cubic_reference() {
    with_reference((BOX, BOX, BOX + 2), PIXEL).refuse("GR-0401");
}

#[test]
fn odd_reference() {
    with_reference((BOX + 1, BOX + 1, BOX + 1), PIXEL).refuse("GR-0401");
}

#[test]
fn non_cubic_mask() {
    let mut set = Set::new();
    let mask = blob((BOX, BOX, BOX + 2));
    write_map(&set.path("mask.mrc"), mask.view(), PIXEL).unwrap();
    set.options
        .extend(["--solvent_mask", "mask.mrc"].map(String::from));
    set.refuse("GR-0401");
}

#[test]
fn missing_mask() {
    let mut set = Set::new();
    set.options
        .extend(["--solvent_mask", "mask.mrc"].map(String::from));
    set.refuse("GR-0201");
}

#[test]
fn reference_of_another_size() {
    with_reference((32, 32, 32), PIXEL).refuse("GR-0402");
}

#[test]
fn reference_of_another_pixel_size() {
    with_reference((BOX, BOX, BOX), 3.0).refuse("GR-0402");
}

#[test]
fn reference_without_a_pixel_size() {
    let set = Set::new();
    let mut bytes = fs::read(set.path("ref.mrc")).unwrap();
    // The cell (words 11 to 13).
    bytes[40..52].fill(0);
    fs::write(set.path("ref.mrc"), bytes).unwrap();
    set.refuse("GR-0403");
}

#[test]
fn reference_with_nan() {
    let set = Set::new();
    let mut map = blob((BOX, BOX, BOX));
    map[[3, 2, 1]] = f32::NAN;
    write_map(&set.path("ref.mrc"), map.view(), PIXEL).unwrap();
    set.refuse("GR-0404");
}

#[test]
fn particle_file_as_list_of_references() {
    Set::new()
        .option("--ref", "particles.star")
        .refuse("GR-0405");
}

#[test]
fn references_of_different_pixel_sizes() {
    let set = Set::new().option("--ref", "refs.star").option("--K", "2");
    write_map(&set.path("b.mrc"), blob((BOX, BOX, BOX)).view(), 3.0).unwrap();
    let list = "data_\n\nloop_\n_rlnReferenceImage #1\nref.mrc\nb.mrc\n\n";
    fs::write(set.path("refs.star"), list).unwrap();
    set.refuse("GR-0405");
}

#[test]
fn fewer_references_than_classes() {
    let set = Set::new().option("--ref", "refs.star").option("--K", "5");
    let list = "data_\n\nloop_\n_rlnReferenceImage #1\nref.mrc\nref.mrc\n\n";
    fs::write(set.path("refs.star"), list).unwrap();
    set.refuse("GR-0405");
}

#[test]
fn mask_larger_than_the_box() {
    Set::new()
        .option("--particle_diameter", "200")
        .refuse("GR-0406");
}

#[test]
fn mask_edge_larger_than_the_box() {
    let mut set = Set::new().option("--maskedge", "30");
    let at = set.options.iter().position(|w| w == "--particle_diameter");
    let at = at.unwrap();
    set.options.drain(at..at + 2);
    set.refuse("GR-0406");
}

#[test]
fn no_direction_is_left() {
    Set::new().option("--limit_tilt", "-1").refuse("GR-0801");
}
