//! The commands of `gerelion`.

use super::set::{BOX, PIXEL, Set, blob, failure};
use super::snapshot;
use gerelion::formats::mrc::write_map;
use gerelion::formats::volume::read_map;
use std::fs;
use std::process::{Command, Output};

/// Runs a command of `gerelion` in the folder of the set.
pub fn gerelion(set: &Set, words: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gerelion"))
        .args(words.split_whitespace())
        .current_dir(set.folder.path())
        .output()
        .unwrap()
}

/// Checks that a command of `gerelion` is refused with this code and the message in `messages.txt`.
pub fn refuse(set: &Set, words: &str, code: &str) {
    let message = failure(&gerelion(set, words));
    snapshot::check(code, &set.neutral(&message));
}

#[test]
fn a_code_is_explained() {
    let output = gerelion(&Set::new(), "explain GR-0303");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && text.starts_with("GR-0303 "),
        "{text}"
    );
    assert!(text.contains("What to try"), "{text}");
}

#[test]
fn code_that_does_not_exist() {
    refuse(&Set::new(), "explain GR-9999", "GR-0103");
}

/// Such errors have clap's words, but the status of all errors.
#[test]
fn unknown_command() {
    let output = gerelion(&Set::new(), "simulat");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.starts_with("ERROR:\nGR-0101: "), "{errors}");
    assert!(errors.contains("simulate"), "{errors}");
}

#[test]
fn maps_of_different_boxes() {
    let set = Set::new();
    write_map(&set.path("small.mrc"), blob((16, 16, 16)).view(), PIXEL).unwrap();
    refuse(&set, "fsc ref.mrc small.mrc", "GR-0407");
}

#[test]
fn maps_of_different_pixel_sizes() {
    let set = Set::new();
    let map = blob((BOX, BOX, BOX));
    write_map(&set.path("b.mrc"), map.view(), 3.0).unwrap();
    refuse(&set, "fsc ref.mrc b.mrc", "GR-0407");
}

#[test]
fn subset_larger_than_the_set() {
    let words = "subset --i particles.star --n 100 --o sub.star";
    refuse(&Set::new(), words, "GR-0103");
}

#[test]
fn subset_of_no_particle_file() {
    let set = Set::new();
    fs::write(set.path("other.star"), "data_\n\n_rlnPixelSize 3\n").unwrap();
    refuse(&set, "subset --i other.star --n 1 --o sub.star", "GR-0313");
}

/// The input is left as it was, whether it is named twice or reached through a link.
#[test]
fn subset_over_its_input() {
    let set = Set::new();
    let before = fs::read(set.path("particles.star")).unwrap();
    std::os::unix::fs::symlink("particles.star", set.path("link.star")).unwrap();
    fs::hard_link(set.path("particles.star"), set.path("hard.star")).unwrap();
    for name in ["./particles.star", "link.star", "hard.star"] {
        let words = format!("subset --i particles.star --n 1 --o {name}");
        let message = failure(&gerelion(&set, &words));
        assert!(message.contains("GR-0103"), "{message}");
        assert_eq!(
            fs::read(set.path("particles.star")).unwrap(),
            before,
            "{name}"
        );
    }
    let words = "subset --i particles.star --n 1 --o particles.star";
    refuse(&set, words, "GR-0103");
}

#[test]
fn half_map_without_its_other_half() {
    refuse(&Set::new(), "postprocess --i ref.mrc", "GR-0407");
}

#[test]
fn odd_box_to_simulate() {
    refuse(&Set::new(), "simulate --o sim --n 4 --box 33", "GR-0103");
}

#[test]
fn atomic_model_that_is_none() {
    let set = Set::new();
    fs::write(set.path("model.pdb"), "this is no model\n").unwrap();
    refuse(&set, "simulate --o sim --n 4 --model model.pdb", "GR-0211");
}

#[test]
fn comparison_of_a_run_that_is_not_there() {
    let set = Set::new();
    refuse(&set, "compare out/run_it001 out/run_it002", "GR-0201");
}

#[test]
fn report_on_a_run_that_is_not_there() {
    refuse(&Set::new(), "report run", "GR-0201");
}

#[test]
fn validation_of_a_run_that_is_not_there() {
    refuse(&Set::new(), "validate run", "GR-0201");
}

#[test]
fn validation_with_a_mask_of_another_box() {
    let set = Set::new();
    for half in 1..=2 {
        let mut map = blob((BOX, BOX, BOX));
        map[[half, 2, 3]] = 0.1;
        let path = set.path(&format!("run_half{half}_class001_unfil.mrc"));
        write_map(&path, map.view(), PIXEL).unwrap();
    }
    write_map(&set.path("small.mrc"), blob((16, 16, 16)).view(), PIXEL).unwrap();
    refuse(&set, "validate run --mask small.mrc", "GR-0407");
}

#[test]
fn validation_of_half_maps_that_are_one() {
    let set = Set::new();
    for half in 1..=2 {
        let path = set.path(&format!("run_half{half}_class001_unfil.mrc"));
        fs::copy(set.path("ref.mrc"), path).unwrap();
    }
    refuse(&set, "validate run", "GR-0407");
}

#[test]
fn report_on_a_run_with_a_broken_model() {
    let set = Set::new();
    let model = "data_model_general\n\n_rlnOriginalImageSize 32\n_rlnPixelSize none\n\ndata_model_classes\n\n_rlnReferenceImage a.mrc\n";
    fs::write(set.path("run_it001_model.star"), model).unwrap();
    refuse(&set, "report run", "GR-0207");
}

fn align(set: &Set, words: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_relion_align_symmetry"))
        .args(words.split_whitespace())
        .current_dir(set.folder.path())
        .output()
        .unwrap()
}

/// Under RELION's name, with RELION's marker file.
#[test]
fn odd_box_to_align_in() {
    let set = Set::new();
    let words = "--i ref.mrc --o a.mrc --sym D2 --box_size 33 --pipeline_control ./";
    let message = failure(&align(&set, words));
    snapshot::check("GR-0103", &set.neutral(&message));
    assert!(set.path("RELION_JOB_EXIT_FAILURE").exists());
    assert!(!set.path("a.mrc").exists());
}

#[test]
fn classes_without_a_choice() {
    let set = Set::new();
    let model = "data_model_classes\n\nloop_\n_rlnReferenceImage\n_rlnClassDistribution\nref.mrc 0.4\nref.mrc 0.6\n";
    fs::write(set.path("run_it010_model.star"), model).unwrap();
    let words = "align-symmetry --i run_it010_model.star --o a.mrc";
    refuse(&set, words, "GR-0106");
    // The command of RELION's InitialModel job.
    let words = "--i run_it010_model.star --o a.mrc --sym C1 --apply_sym --select_largest_class";
    let output = align(&set, words);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && printed.contains("class 2 of 2"),
        "{printed}"
    );
    assert_eq!(
        read_map(&set.path("a.mrc")).unwrap().data,
        read_map(&set.path("ref.mrc")).unwrap().data
    );
}

#[test]
fn bench_of_a_program_that_is_not_there() {
    let words = "bench --i particles.star --ref ref.mrc --particle_diameter 72 --sym C1 --o b --program nowhere";
    refuse(&Set::new(), words, "GR-0609");
}

/// Without --angpix the maps must agree on it.
#[test]
fn half_maps_of_two_pixel_sizes() {
    let set = Set::new();
    for (half, pixel) in [(1, PIXEL), (2, 2.0 * PIXEL)] {
        let noisy = blob((BOX, BOX, BOX)).mapv(|v| v + 1e-3 * (1e4 * half as f32 * v).sin());
        write_map(&set.path(&format!("half{half}.mrc")), noisy.view(), pixel).unwrap();
    }
    refuse(&set, "postprocess --i half1.mrc --o post", "GR-0407");
}

/// Checks the code of each message, and the text of the first.
fn refuse_all(set: &Set, code: &str, commands: &[&str]) {
    for words in commands {
        let message = failure(&gerelion(set, words));
        assert!(message.starts_with(code), "{words}: {message}");
    }
    refuse(set, commands[0], code);
}

#[test]
fn stacks_in_place_of_maps() {
    let commands = [
        "fsc stack.mrcs stack.mrcs",
        "fsc ref.mrc stack.mrcs",
        "fsc ref.mrc ref.mrc --mask stack.mrcs",
        "postprocess --i ref.mrc --i2 stack.mrcs --o post",
        "postprocess --i ref.mrc --i2 ref.mrc --o post --mask stack.mrcs",
    ];
    refuse_all(&Set::new(), "GR-0401", &commands);
}

#[test]
fn maps_of_zeros() {
    let set = Set::new();
    let map = blob((BOX, BOX, BOX));
    write_map(&set.path("zero.mrc"), (&map * 0.0).view(), PIXEL).unwrap();
    write_map(&set.path("one.mrc"), (&map * 0.0 + 1.0).view(), PIXEL).unwrap();
    let commands = [
        "fsc ref.mrc zero.mrc",
        "fsc one.mrc ref.mrc",
        "postprocess --i zero.mrc --i2 zero.mrc --o post",
        "postprocess --i ref.mrc --i2 one.mrc --o post",
    ];
    refuse_all(&set, "GR-0404", &commands);
    let masks = [
        "fsc ref.mrc ref.mrc --mask zero.mrc",
        "postprocess --i ref.mrc --i2 ref.mrc --o post --mask zero.mrc",
    ];
    for words in masks {
        let message = failure(&gerelion(&set, words));
        assert!(message.starts_with("GR-0408"), "{words}: {message}");
    }
}

#[test]
fn maps_of_values_that_are_no_numbers() {
    let set = Set::new();
    for (name, value) in [("nan.mrc", f32::NAN), ("inf.mrc", f32::INFINITY)] {
        let mut map = blob((BOX, BOX, BOX));
        map[[1, 2, 3]] = value;
        write_map(&set.path(name), map.view(), PIXEL).unwrap();
    }
    let commands = [
        "fsc nan.mrc ref.mrc",
        "fsc ref.mrc inf.mrc",
        "fsc ref.mrc ref.mrc --mask inf.mrc",
        "postprocess --i ref.mrc --i2 nan.mrc --o post",
        "postprocess --i ref.mrc --i2 ref.mrc --o post --mask nan.mrc",
    ];
    refuse_all(&set, "GR-0404", &commands);
    assert!(!set.path("post.mrc").exists());
}

/// A mask beside the particle, as the refinement warns about it, and one of bytes.
#[test]
fn masks_of_tools_are_those_of_refinement() {
    let set = Set::new();
    let map = blob((BOX, BOX, BOX));
    let noisy = |seed: f32| map.mapv(|v| v + 1e-3 * (seed * v).sin());
    write_map(&set.path("half1.mrc"), noisy(1e4).view(), PIXEL).unwrap();
    write_map(&set.path("half2.mrc"), noisy(2e4).view(), PIXEL).unwrap();
    let mut beside = &map * 0.0;
    beside[[BOX / 2, BOX / 2, BOX - 2]] = 1.0;
    write_map(&set.path("beside.mrc"), beside.view(), PIXEL).unwrap();
    let bytes = map.mapv(|v| if v > 0.1 { 127.0 } else { -128.0 });
    write_map(&set.path("bytes.mrc"), bytes.view(), PIXEL).unwrap();
    for words in [
        "fsc half1.mrc half2.mrc --mask",
        "postprocess --i half1.mrc --o post --mask",
    ] {
        let output = gerelion(&set, &format!("{words} beside.mrc"));
        let warned = String::from_utf8(output.stderr).unwrap();
        assert!(
            warned.contains("from the centre of its box"),
            "{words}: {warned}"
        );
        let message = failure(&gerelion(&set, &format!("{words} bytes.mrc")));
        assert!(
            message.starts_with("GR-0404") && message.contains("unsigned bytes"),
            "{message}"
        );
    }
}

/// A header of 10⁵ voxels a side: judged by the memory of the machine, before anything is read.
#[test]
fn map_beyond_the_memory() {
    let set = Set::new();
    let mut header = fs::read(set.path("ref.mrc")).unwrap();
    for word in [0, 1, 2, 7, 8, 9] {
        header[4 * word..4 * word + 4].copy_from_slice(&65_534i32.to_le_bytes());
    }
    fs::write(set.path("huge.mrc"), header).unwrap();
    for words in [
        "fsc ref.mrc huge.mrc",
        "fsc ref.mrc ref.mrc --mask huge.mrc",
        "postprocess --i huge.mrc --i2 ref.mrc --o post",
    ] {
        let message = failure(&gerelion(&set, words));
        assert!(message.starts_with("GR-0511"), "{words}: {message}");
    }
}

/// The FSC of a map with itself is 1 up to Nyquist, which would be told as the resolution.
#[test]
fn one_map_as_both_half_maps() {
    let set = Set::new();
    let map = blob((BOX, BOX, BOX));
    write_map(&set.path("map.mrc"), map.view(), PIXEL).unwrap();
    write_map(&set.path("twice.mrc"), (&map * 2.0).view(), PIXEL).unwrap();
    write_map(&set.path("mask.mrc"), (&map * 0.0 + 1.0).view(), PIXEL).unwrap();
    let commands = [
        "postprocess --i map.mrc --i2 map.mrc --o post",
        "postprocess --i map.mrc --i2 twice.mrc --o post",
        "postprocess --i map.mrc --i2 map.mrc --o post --mask mask.mrc",
    ];
    refuse_all(&set, "GR-0407", &commands);
    // To compare a map with itself is allowed, and told.
    let output = gerelion(&set, "fsc map.mrc map.mrc");
    let warned = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && warned.contains("the two maps are the same"),
        "{warned}"
    );
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("mean 1.000"), "{text}");
}

/// Work that cannot run is refused before a folder is made for it.
#[test]
fn bench_that_cannot_run_leaves_no_folder() {
    let set = Set::new();
    let given =
        "bench --i nowhere.star --ref ref.mrc --particle_diameter 72 --sym C1 --program true";
    let message = failure(&gerelion(&set, given));
    assert!(message.starts_with("GR-0201"), "{message}");
    let commands = [
        "bench --o made --program nowhere",
        "bench --program ./nowhere",
    ];
    refuse_all(&set, "GR-0609", &commands);
    for folder in ["made", "bench-run", "benches"] {
        assert!(!set.path(folder).exists(), "{folder}");
    }
}

#[test]
fn defocus_table_without_rows() {
    let set = Set::new();
    fs::write(set.path("ctf.csv"), "u,v,angle\n").unwrap();
    refuse(
        &set,
        "simulate --o sim --n 4 --ctf_table ctf.csv",
        "GR-0308",
    );
}

#[test]
fn pixels_of_no_size() {
    let set = Set::new();
    let words = "align-symmetry --i ref.mrc --o out/a.mrc --sym C2 --angpix 0";
    refuse(&set, words, "GR-0103");
}

/// The FSC of maps with nothing in common gives no resolution, and opposite contrast is told.
#[test]
fn a_map_and_its_negative() {
    let set = Set::new();
    let map = blob((BOX, BOX, BOX));
    write_map(&set.path("negative.mrc"), (&map * -1.0).view(), PIXEL).unwrap();
    let output = gerelion(&set, "fsc ref.mrc negative.mrc");
    let text = String::from_utf8(output.stdout).unwrap();
    let warned = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("FSC0.5 none  FSC0.143 none  mean -1.000"),
        "{text}"
    );
    assert!(
        warned.contains("contrast of the other inverted"),
        "{warned}"
    );
}

/// MAPC, MAPR and MAPS of 0 are those of old files; others that are no order of 1, 2, 3 leave the axes unknown.
#[test]
fn axes_that_are_none() {
    let set = Set::new();
    let bytes = fs::read(set.path("ref.mrc")).unwrap();
    let write = |name: &str, axes: [i32; 3]| {
        let mut bytes = bytes.clone();
        for (word, axis) in axes.iter().enumerate() {
            bytes[64 + 4 * word..][..4].copy_from_slice(&axis.to_le_bytes());
        }
        fs::write(set.path(name), bytes).unwrap();
    };
    write("old.mrc", [0, 0, 0]);
    let output = gerelion(&set, "fsc ref.mrc old.mrc");
    assert!(output.status.success(), "{output:?}");
    write("odd.mrc", [1, 1, 1]);
    refuse(&set, "fsc ref.mrc odd.mrc", "GR-0204");
    write("ref.mrc", [1, 2, 0]);
    assert!(set.message().starts_with("GR-0204: "));
}

/// Numbers that no command can use, by the rule that they break.
#[test]
fn impossible_numbers_of_commands() {
    let set = Set::new();
    for (words, rule) in [
        ("bench --n 0 --o b", "between 1 and 10000000 images"),
        ("bench --box 1 --o b", "between 8 and 4096 pixels"),
        ("bench --snr -1 --o b", "between 0 and 1000000"),
        ("demo --n 0", "between 20 and 1000000 images"),
        ("selfcheck --n 1", "between 20 and 1000000 images"),
        (
            "subset --i particles.star --n 0 --o sub.star",
            "between 1 and",
        ),
        (
            "subset --i particles.star --n 1 --o sub.star --seed -3",
            "between 0 and",
        ),
        ("simulate --o sim --seed -1", "between 0 and"),
        ("simulate --o sim --per_mic 0", "between 1 and"),
        ("watch out --every 0", "1..=86400"),
        (
            "localsym --transform --i_map ref.mrc --o_map a.mrc --xoff 1e30",
            "between -100000 and 100000 Å",
        ),
        (
            "localsym --transform --i_map ref.mrc --o_map a.mrc --rot inf",
            "between -3600 and 3600 degrees",
        ),
    ] {
        let output = gerelion(&set, words);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words}: {errors}");
        assert!(
            errors.starts_with("ERROR:\nGR-0103: ") && errors.contains(rule),
            "{words}: {errors}"
        );
    }
    let words = "localsym --transform --i_map ref.mrc --o_map a.mrc --xoff 500";
    refuse(&set, words, "GR-0103");
}
