//! Files that are missing, damaged or of another kind.

use super::set::{BOX, Set, star};
use std::fs;

#[test]
fn missing_particle_file() {
    Set::new().option("--i", "nowhere.star").refuse("GR-0201");
}

#[test]
fn missing_reference() {
    Set::new().option("--ref", "nowhere.mrc").refuse("GR-0201");
}

#[test]
fn folder_as_particle_file() {
    Set::new().option("--i", "out").refuse("GR-0202");
}

#[test]
fn folder_as_reference() {
    let set = Set::new().option("--ref", "maps.mrc");
    fs::create_dir(set.path("maps.mrc")).unwrap();
    set.refuse("GR-0202");
}

#[test]
fn stack_cut_off() {
    let set = Set::new();
    let bytes = fs::read(set.path("stack.mrcs")).unwrap();
    let short = &bytes[..bytes.len() - 4 * BOX * BOX / 2];
    fs::write(set.path("stack.mrcs"), short).unwrap();
    set.refuse("GR-0203");
}

#[test]
fn reference_cut_off() {
    let set = Set::new();
    let bytes = fs::read(set.path("ref.mrc")).unwrap();
    fs::write(set.path("ref.mrc"), &bytes[..bytes.len() / 2]).unwrap();
    set.refuse("GR-0203");
}

#[test]
fn empty_stack() {
    let set = Set::new();
    fs::write(set.path("stack.mrcs"), b"").unwrap();
    set.refuse("GR-0204");
}

#[test]
fn reference_of_another_format() {
    Set::new().option("--ref", "ref.tif").refuse("GR-0204");
}

#[test]
fn text_in_place_of_a_reference() {
    let set = Set::new();
    fs::write(set.path("ref.mrc"), "data_\n".repeat(400)).unwrap();
    set.refuse("GR-0204");
}

#[test]
fn stack_in_another_format() {
    let set = Set::new();
    set.write_star(&star().replace("stack.mrcs", "stack.tif"));
    fs::write(set.path("stack.tif"), b"").unwrap();
    set.refuse("GR-0204");
}

#[test]
fn stack_in_spider_format() {
    let set = Set::new();
    set.write_star(&star().replace("stack.mrcs", "stack.spi"));
    fs::write(set.path("stack.spi"), b"").unwrap();
    set.refuse("GR-0204");
}

#[test]
fn row_with_too_few_values() {
    let set = Set::new();
    set.write_star(&star().replace("mic0.mrc 1 15000 15200 30\n", "mic0.mrc 1 15000 15200\n"));
    set.refuse("GR-0205");
}

#[test]
fn row_with_too_many_values() {
    let set = Set::new();
    set.write_star(&star().replace("mic0.mrc 1", "mic 0.mrc 1"));
    set.refuse("GR-0205");
}

#[test]
fn label_that_occurs_twice() {
    let set = Set::new();
    set.write_star(&star().replace("_rlnDefocusV ", "_rlnDefocusU "));
    set.refuse("GR-0205");
}

/// A million labels and none that is needed: the message names some of them.
#[test]
fn particle_file_of_a_million_labels() {
    let set = Set::new();
    let labels: String = (0..1_000_000).map(|n| format!("_rlnLabel{n}\n")).collect();
    let row = "1 ".repeat(1_000_000);
    set.write_star(&format!("data_particles\n\nloop_\n{labels}{row}\n"));
    set.refuse("GR-0313");
}

#[test]
fn map_in_place_of_a_particle_file() {
    Set::new().option("--i", "ref.mrc").refuse("GR-0205");
}

#[test]
fn empty_particle_file() {
    let set = Set::new();
    set.write_star("");
    set.refuse("GR-0205");
}

#[test]
fn word_in_a_column_of_numbers() {
    let set = Set::new();
    set.write_star(&star().replace("15000 15200 30\n", "15000 oops 30\n"));
    set.refuse("GR-0207");
}

#[test]
fn stack_that_is_a_folder() {
    let set = Set::new();
    fs::remove_file(set.path("stack.mrcs")).unwrap();
    fs::create_dir(set.path("stack.mrcs")).unwrap();
    set.refuse("GR-0202");
}

#[test]
fn image_in_place_of_a_map() {
    Set::new()
        .option("--solvent_mask", "1@stack.mrcs")
        .refuse("GR-0401");
}

#[test]
fn noise_spectrum_without_its_columns() {
    let mut set = Set::new();
    set.options
        .extend(["--sigma", "particles.star"].map(String::from));
    set.refuse("GR-0206");
}

#[test]
fn particle_file_without_a_particle_table() {
    let set = Set::new();
    set.write_star(&star().replace("data_particles", "data_micrographs"));
    set.refuse("GR-0206");
}

#[test]
fn particle_file_in_latin_1() {
    let set = Set::new();
    let bytes: Vec<u8> = star()
        .replace("group1", "gr\u{fc}n")
        .chars()
        .map(|c| c as u8)
        .collect();
    fs::write(set.path("particles.star"), bytes).unwrap();
    set.refuse("GR-0205");
}

#[test]
fn open_quote() {
    let set = Set::new();
    set.write_star(&star().replace("mic0.mrc 1", "'mic0.mrc 1"));
    set.refuse("GR-0205");
}

#[test]
fn complex_reference() {
    let set = Set::new();
    let mut bytes = fs::read(set.path("ref.mrc")).unwrap();
    // The mode (word 4).
    bytes[12] = 4;
    fs::write(set.path("ref.mrc"), bytes).unwrap();
    set.refuse("GR-0204");
}

#[test]
fn compressed_reference_cut_off() {
    let set = Set::new().option("--ref", "ref.mrc.gz");
    // The beginning of a gzip file.
    let bytes = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x63];
    fs::write(set.path("ref.mrc.gz"), bytes).unwrap();
    set.refuse("GR-0203");
}

/// Image 1 would be taken for every such name.
#[test]
fn image_of_a_stack_without_a_number() {
    let set = Set::new();
    set.write_star(&star().replacen("000002@stack.mrcs", "stack.mrcs", 1));
    set.refuse("GR-0304");
}
