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

/// The pixel size in its header makes a dot of the mask.
#[test]
fn mask_of_which_nothing_is_left() {
    let mut set = Set::new();
    let mask = blob((BOX, BOX, BOX));
    write_map(&set.path("mask.mrc"), mask.view(), 0.02).unwrap();
    set.options
        .extend(["--solvent_mask", "mask.mrc"].map(String::from));
    set.refuse("GR-0408");
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

/// HEALPix order 0 has 12 directions, and the asymmetric unit of the icosahedron is a sixtieth of the sphere.
#[test]
fn directions_too_coarse_for_the_symmetry() {
    Set::new().option("--sym", "I").refuse("GR-0801");
}

/// A set with a mask of these voxels.
fn with_mask(mask: &ndarray::Array3<f32>) -> Set {
    let mut set = Set::new();
    write_map(&set.path("mask.mrc"), mask.view(), PIXEL).unwrap();
    set.options
        .extend(["--solvent_mask", "mask.mrc"].map(String::from));
    set
}

fn whole_box() -> (usize, usize, usize) {
    (BOX, BOX, BOX)
}

#[test]
fn mask_without_an_inside() {
    with_mask(&ndarray::Array3::zeros(whole_box())).refuse("GR-0408");
}

/// 0 and 1 as IMOD writes them into mode 0: −128 and −127.
#[test]
fn mask_of_signed_bytes() {
    let set = with_mask(&blob(whole_box()));
    let mut bytes = fs::read(set.path("mask.mrc")).unwrap();
    bytes[12..16].fill(0);
    let voxels = blob(whole_box());
    let signed = voxels
        .iter()
        .map(|v| if *v > 0.5 { -127i8 } else { -128 } as u8);
    bytes.truncate(1024);
    bytes.extend(signed);
    fs::write(set.path("mask.mrc"), bytes).unwrap();
    set.refuse("GR-0408");
}

/// 0 to 255 of a soft mask, with 128 subtracted.
#[test]
fn soft_mask_of_signed_bytes() {
    let bytes = blob(whole_box()).mapv(|v| (255.0 * v).round() - 128.0);
    with_mask(&bytes).refuse("GR-0404");
}

#[test]
fn mask_with_nan() {
    let mut mask = blob(whole_box());
    mask[[3, 2, 1]] = f32::NAN;
    with_mask(&mask).refuse("GR-0404");
}

#[test]
fn second_mask_with_infinity() {
    let mut mask = blob(whole_box());
    mask[[3, 2, 1]] = f32::INFINITY;
    let mut set = with_mask(&blob(whole_box()));
    write_map(&set.path("second.mrc"), mask.view(), PIXEL).unwrap();
    set.options
        .extend(["--solvent_mask2", "second.mrc"].map(String::from));
    set.refuse("GR-0404");
}

#[test]
fn constant_reference() {
    let set = Set::new();
    let flat = ndarray::Array3::from_elem(whole_box(), 2.5f32);
    write_map(&set.path("ref.mrc"), flat.view(), PIXEL).unwrap();
    set.refuse("GR-0404");
}

#[test]
fn reference_of_zeros() {
    let set = Set::new();
    write_map(
        &set.path("ref.mrc"),
        ndarray::Array3::zeros(whole_box()).view(),
        PIXEL,
    )
    .unwrap();
    set.refuse("GR-0404");
}

/// Masks and references that can be used but are probably not what was meant: the run says so and goes on. The set as it
/// is gets none of these warnings.
#[test]
fn maps_that_are_probably_wrong() {
    let warnings = |set: &Set| {
        let output = set.run();
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        text
    };
    let told = |set: &Set, what: &str| {
        let text = warnings(set);
        assert!(text.contains(what), "no word of '{what}' in {text}");
    };
    let good = warnings(&with_mask(&blob(whole_box())));
    for word in ["the mask", "the reference", "no effect"] {
        assert!(!good.contains(word), "{word}: {good}");
    }
    told(&with_mask(&(blob(whole_box()) * 0.001)), "is 0.001, not 1");
    // A header that shrinks the mask to a dot of a quarter of its width, beside the particle.
    let mut shifted = ndarray::Array3::zeros(whole_box());
    shifted[[BOX / 2, BOX / 2, BOX - 2]] = 1.0f32;
    told(&with_mask(&shifted), "from the centre of its box");
    let small = with_mask(&blob(whole_box()));
    write_map(
        &small.path("mask.mrc"),
        blob(whole_box()).view(),
        PIXEL / 6.0,
    )
    .unwrap();
    told(&small, "% of the power of the reference");
    let corner = Set::new();
    let map = blob(whole_box());
    let rolled = ndarray::Array3::from_shape_fn(whole_box(), |(z, y, x)| {
        let half = |i: usize| (i + BOX / 2) % BOX;
        map[[half(z), half(y), half(x)]]
    });
    write_map(&corner.path("ref.mrc"), rolled.view(), PIXEL).unwrap();
    told(&corner, "origin is probably at a corner");
    // The second mask, and the one for the low-pass filter, may cover any part, but not nothing.
    for option in ["--solvent_mask2", "--lowpass_mask"] {
        let other = |map: &ndarray::Array3<f32>, pixel: f64| {
            let set = with_mask(&blob(whole_box())).option("--lowpass", "20");
            write_map(&set.path("other.mrc"), map.view(), pixel).unwrap();
            set.option(option, "other.mrc")
        };
        let part = |(z, y, x): (usize, usize, usize)| [z, y, x].iter().all(|v| (4..9).contains(v));
        let part = ndarray::Array3::from_shape_fn(whole_box(), |at| f32::from(part(at)));
        let good = warnings(&other(&part, PIXEL));
        assert!(!good.contains("the mask"), "{option}: {good}");
        told(
            &other(&part, PIXEL / 4.0),
            "voxels of the mask above 0.5 is only",
        );
        told(&other(&rolled, PIXEL), "origin is probably at a corner");
    }
    // A diameter in nm.
    let wide = Set::new().option("--particle_diameter", "17");
    let map = blob(whole_box()).mapv(|v| v.powf(0.1));
    write_map(&wide.path("ref.mrc"), map.view(), PIXEL).unwrap();
    told(&wide, "--particle_diameter is in Å: is it right?");
    let mut unused = with_mask(&blob(whole_box()));
    unused.options.retain(|word| word != "--flatten_solvent");
    told(&unused, "no effect without --flatten_solvent");
}

/// A sparse file whose header promises a map of 1500³ voxels: judged by the header, without reading 13 GB of nothing.
#[test]
fn reference_of_a_tomogram() {
    let set = Set::new();
    let mut header = fs::read(set.path("ref.mrc")).unwrap();
    header.truncate(1024);
    for word in [0, 1, 2, 7, 8, 9] {
        header[4 * word..4 * word + 4].copy_from_slice(&1500i32.to_le_bytes());
    }
    fs::write(set.path("ref.mrc"), header).unwrap();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(set.path("ref.mrc"))
        .unwrap();
    file.set_len(1024 + 4 * 1500u64.pow(3)).unwrap();
    set.refuse("GR-0401");
}

/// A stack of images as `--ref`, each of which is a class.
fn with_averages(images: usize) -> Set {
    let set = Set::new().option("--ref", "averages.mrcs");
    let stack = gerelion::formats::mrc::write_stack;
    let averages = blob((images, BOX, BOX));
    stack(&set.path("averages.mrcs"), averages.view(), PIXEL, "").unwrap();
    set
}

#[test]
fn more_averages_than_particles() {
    with_averages(2 * super::set::PARTICLES)
        .option("--K", "1")
        .refuse("GR-0405");
}

#[test]
fn half_sets_of_class_averages() {
    let mut set = with_averages(3);
    set.options.push("--auto_refine".into());
    set.refuse("GR-0106");
}

/// A set with 2D references, refused with these options.
fn refuse_of_class_averages(words: &str) {
    let mut set = with_averages(3);
    set.options
        .extend(words.split_whitespace().map(String::from));
    set.refuse("GR-0106");
}

#[test]
fn signal_subtraction_of_class_averages() {
    refuse_of_class_averages("--red_mask red.mrc --yellow_mask yellow.mrc");
}

#[test]
fn relaxed_symmetry_of_class_averages() {
    refuse_of_class_averages("--relax_sym C4");
}

#[test]
fn local_symmetry_of_class_averages() {
    refuse_of_class_averages("--local_symmetry operators.star");
}

#[test]
fn automatic_sampling_of_class_averages() {
    refuse_of_class_averages("--auto_sampling");
}

#[test]
fn gridding_of_class_averages() {
    let mut set = with_averages(3);
    set.options.push("--dont_skip_gridding".into());
    set.refuse("GR-0106");
}

/// Powers of it overflow, or vanish, in single precision: the reference is at fault, not the first particle.
#[test]
fn reference_of_an_absurd_grey_scale() {
    for factor in [1e30, 1e38, 1e-20] {
        let set = Set::new();
        let map = blob((BOX, BOX, BOX)) * factor;
        write_map(&set.path("ref.mrc"), map.view(), PIXEL).unwrap();
        let message = set.message();
        assert!(
            message.starts_with("GR-0404: ref.mrc: the largest value of the reference is "),
            "{message}"
        );
    }
    let set = Set::new();
    let map = blob((BOX, BOX, BOX)) * 1e30;
    write_map(&set.path("ref.mrc"), map.view(), PIXEL).unwrap();
    set.refuse("GR-0404");
}

#[test]
fn reference_whose_header_gives_the_largest_number_as_its_size() {
    let set = Set::new();
    let mut bytes = fs::read(set.path("ref.mrc")).unwrap();
    bytes[..4].copy_from_slice(&i32::MAX.to_le_bytes());
    fs::write(set.path("ref.mrc"), bytes).unwrap();
    let message = set.message();
    assert!(message.contains("2147483647"), "{message}");
}
