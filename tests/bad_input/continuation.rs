//! Runs that cannot be continued.

use super::set::{Set, star};
use std::fs;

/// A set whose run of one iteration is to be continued from `optimiser`.
pub fn finished(optimiser: &str) -> Set {
    let mut set = Set::new();
    let output = set.run();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let words = format!("--continue {optimiser} --o out2/run --iter 2 --j 1");
    set.options = words.split_whitespace().map(String::from).collect();
    fs::create_dir(set.path("out2")).unwrap();
    set
}

/// Change a file of the run.
pub fn change(set: &Set, file: &str, from: &str, to: &str) {
    let text = fs::read_to_string(set.path(file)).unwrap();
    assert!(text.contains(from), "'{from}' is not in {file}: {text}");
    fs::write(set.path(file), text.replace(from, to)).unwrap();
}

/// As [`Set::refuse`], but files of the finished iteration are there.
pub fn refuse(set: &Set, code: &str) {
    let message = super::set::failure(&set.run());
    super::snapshot::check(code, &set.neutral(&message));
}

pub const OPTIMISER: &str = "out/run_it001_optimiser.star";

#[test]
fn missing_optimiser() {
    refuse(&finished("out/run_it009_optimiser.star"), "GR-0201");
}

#[test]
fn particle_file_in_place_of_the_optimiser() {
    refuse(&finished("particles.star"), "GR-0206");
}

#[test]
fn iteration_0() {
    let set = finished(OPTIMISER);
    change_number(&set, "_rlnCurrentIteration", "0");
    refuse(&set, "GR-0701");
}

#[test]
fn final_file() {
    let set = finished(OPTIMISER);
    change_number(&set, "_rlnCurrentIteration", "-1");
    refuse(&set, "GR-0701");
}

/// Another value of a label of the optimiser file.
pub fn change_number(set: &Set, label: &str, value: &str) {
    let text = fs::read_to_string(set.path(OPTIMISER)).unwrap();
    let lines = text.lines().map(|line| {
        let mut words = line.split_whitespace();
        match words.next() == Some(label) {
            true => format!("{label} {value}\n"),
            false => format!("{line}\n"),
        }
    });
    let changed: String = lines.collect();
    assert!(changed.contains(&format!("{label} {value}\n")), "{text}");
    fs::write(set.path(OPTIMISER), changed).unwrap();
}

#[test]
fn helical_run() {
    let set = finished(OPTIMISER);
    change_number(&set, "_rlnDoHelicalRefine", "1");
    refuse(&set, "GR-0702");
}

#[test]
fn missing_model() {
    let set = finished(OPTIMISER);
    fs::remove_file(set.path("out/run_it001_model.star")).unwrap();
    refuse(&set, "GR-0703");
}

#[test]
fn missing_map() {
    let set = finished(OPTIMISER);
    fs::remove_file(set.path("out/run_it001_class001.mrc")).unwrap();
    refuse(&set, "GR-0703");
}

#[test]
fn optimiser_cut_short() {
    let set = finished(OPTIMISER);
    change(&set, OPTIMISER, "_rlnModelStarFile ", "_rlnOtherFile ");
    refuse(&set, "GR-0704");
}

#[test]
fn particles_of_another_set() {
    let set = finished(OPTIMISER);
    let data = "out/run_it001_data.star";
    let text = fs::read_to_string(set.path(data)).unwrap();
    let rows: String = text
        .lines()
        .filter(|line| !line.contains("mic1.mrc"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(rows.len() < text.len() && star().contains("mic1.mrc"));
    fs::write(set.path(data), rows).unwrap();
    refuse(&set, "GR-0704");
}

/// One of three particles of a micrograph is gone: no group is missing, but the model was made from more.
#[test]
fn particles_removed_from_the_table() {
    let set = finished(OPTIMISER);
    let data = "out/run_it001_data.star";
    let text = fs::read_to_string(set.path(data)).unwrap();
    let rows: String = text
        .lines()
        .filter(|line| !line.contains("000003@"))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(set.path(data), rows).unwrap();
    refuse(&set, "GR-0704");
}

#[test]
fn missing_particles() {
    let set = finished(OPTIMISER);
    fs::remove_file(set.path("out/run_it001_data.star")).unwrap();
    refuse(&set, "GR-0703");
}

#[test]
fn missing_sampling() {
    let set = finished(OPTIMISER);
    fs::remove_file(set.path("out/run_it001_sampling.star")).unwrap();
    refuse(&set, "GR-0703");
}

/// Each kind of file, taken from a run with another seed and the same --o.
#[test]
fn files_of_two_runs() {
    let other = Set::new().option("--random_seed", "2");
    assert!(other.run().status.success());
    for file in ["data.star", "sampling.star", "class001.mrc", "model.star"] {
        let set = finished(OPTIMISER);
        let file = format!("out/run_it001_{file}");
        fs::copy(other.path(&file), set.path(&file)).unwrap();
        let message = super::set::failure(&set.run());
        assert!(
            message.starts_with(&format!("GR-0704: {file}: ")),
            "{message}"
        );
        if file.ends_with("model.star") {
            refuse(&set, "GR-0704");
        }
    }
}

/// Files of other programs carry no mark, and are taken.
#[test]
fn files_written_again_by_another_program() {
    let set = finished(OPTIMISER);
    for file in ["data.star", "sampling.star", "model.star"] {
        let path = set.path(&format!("out/run_it001_{file}"));
        let text = fs::read_to_string(&path).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        assert!(first.starts_with("# GeRelion file set "), "{file}: {first}");
        fs::write(path, rest).unwrap();
    }
    let output = set.run();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}

/// The run has steps of 2 pixels and a range of 2 in a box of 24.
#[test]
fn continued_with_shifts_out_of_the_box() {
    let set = finished(OPTIMISER).option("--offset_range", "13");
    refuse(&set, "GR-0103");
}

/// 2 pixels in steps of 0.015 are more than 100.
#[test]
fn continued_with_too_many_shifts() {
    let set = finished(OPTIMISER).option("--offset_step", "0.015");
    refuse(&set, "GR-0106");
}

/// The range of the run counts, not the default: 6 pixels in steps of 0.055 would be 109, 2 are 36.
#[test]
fn continued_with_a_step_that_suits_the_range_of_the_run() {
    let set = finished(OPTIMISER).option("--offset_step", "0.055");
    let output = set.run();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}

#[test]
fn map_of_another_run() {
    let set = finished(OPTIMISER);
    let map = super::set::blob((16, 16, 16));
    let path = set.path("out/run_it001_class001.mrc");
    gerelion::formats::mrc::write_map(&path, map.view(), 4.0).unwrap();
    refuse(&set, "GR-0704");
}

#[test]
fn iteration_below_the_final_one() {
    let set = finished(OPTIMISER);
    change_number(&set, "_rlnCurrentIteration", "-7");
    refuse(&set, "GR-0704");
}

/// Change the bytes of the first value of a map.
fn spoil_value(set: &Set, file: &str, value: f32) {
    let mut bytes = fs::read(set.path(file)).unwrap();
    bytes[1024..1028].copy_from_slice(&value.to_le_bytes());
    fs::write(set.path(file), bytes).unwrap();
}

#[test]
fn reference_that_is_not_a_number() {
    let set = finished(OPTIMISER);
    spoil_value(&set, "out/run_it001_class001.mrc", f32::NAN);
    refuse(&set, "GR-0404");
}

/// As an editor, or an interrupted copy, leaves it.
#[test]
fn sampling_cut_short() {
    let set = finished(OPTIMISER);
    let path = set.path("out/run_it001_sampling.star");
    let text = fs::read_to_string(&path).unwrap();
    let lines = text.lines().count();
    let half: String = text
        .lines()
        .take(lines / 2)
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(&path, half).unwrap();
    refuse(&set, "GR-0704");
}

#[test]
fn offsets_of_a_sampling_file_that_cannot_be_searched() {
    let set = finished(OPTIMISER);
    let path = set.path("out/run_it001_sampling.star");
    let text = fs::read_to_string(&path).unwrap();
    let lines = text
        .lines()
        .map(|line| match line.starts_with("_rlnOffsetRange ") {
            true => "_rlnOffsetRange 100000\n".to_owned(),
            false => format!("{line}\n"),
        });
    fs::write(&path, lines.collect::<String>()).unwrap();
    refuse(&set, "GR-0704");
}

#[test]
fn optimiser_without_its_second_table() {
    let set = finished(OPTIMISER);
    change(&set, OPTIMISER, "data_gerelion_state", "data_other");
    refuse(&set, "GR-0704");
}

#[test]
fn model_with_pixels_of_no_size() {
    let set = finished(OPTIMISER);
    let model = "out/run_it001_model.star";
    let text = fs::read_to_string(set.path(model)).unwrap();
    let lines = text
        .lines()
        .map(|line| match line.contains("_rlnPixelSize") {
            true => "_rlnPixelSize 0.0\n".to_owned(),
            false => format!("{line}\n"),
        });
    let changed: String = lines.collect();
    fs::write(set.path(model), changed).unwrap();
    refuse(&set, "GR-0704");
}

#[test]
fn class_that_does_not_exist() {
    let set = finished(OPTIMISER);
    let data = "out/run_it001_data.star";
    let text = fs::read_to_string(set.path(data)).unwrap();
    let column = text
        .lines()
        .find_map(|line| line.strip_prefix("_rlnClassNumber #"))
        .unwrap()
        .trim()
        .parse::<usize>()
        .unwrap();
    let lines = text.lines().map(|line| {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        if line.contains("stack.mrcs") {
            words[column - 1] = "77";
        }
        format!("{}\n", words.join(" "))
    });
    let changed: String = lines.collect();
    fs::write(set.path(data), changed).unwrap();
    refuse(&set, "GR-0704");
}

/// A gradient run of two class averages, to be continued, whose files bear no marks, as those of RELION.
fn finished_gradient() -> Set {
    let mut set = Set::new().option("--iter", "5");
    let drop = ["--ref", "ref.mrc", "--firstiter_cc", "--ini_high", "20"];
    set.options.retain(|word| !drop.contains(&word.as_str()));
    let words =
        "--grad --K 2 --grad_write_iter 1 --grad_ini_subset 4 --grad_fin_subset 4 --psi_step 30";
    set.options
        .extend(words.split_whitespace().map(String::from));
    let output = set.run();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    for name in super::set::files(&set.path("out")) {
        let path = set.path("out").join(&name);
        let mut bytes = fs::read(&path).unwrap();
        let mark = b"GeRelion file set ";
        if let Some(at) = bytes.windows(mark.len()).position(|w| w == mark) {
            bytes[at..at + 8].fill(b'x');
            fs::write(&path, bytes).unwrap();
        }
    }
    let words = "--continue out/run_it002_optimiser.star --o out2/run --iter 5 --j 1";
    set.options = words.split_whitespace().map(String::from).collect();
    fs::create_dir(set.path("out2")).unwrap();
    set
}

const MOMENTS: [&str; 2] = ["out/run_it002_1moment.mrcs", "out/run_it002_2moment.mrcs"];

#[test]
fn unspoilt_moments_go_on() {
    let set = finished_gradient();
    let output = set.run();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}

#[test]
fn first_moments_in_place_of_the_second() {
    let set = finished_gradient();
    fs::copy(set.path(MOMENTS[0]), set.path(MOMENTS[1])).unwrap();
    refuse(&set, "GR-0704");
}

#[test]
fn second_moments_in_place_of_the_first() {
    let set = finished_gradient();
    let [first, second] = MOMENTS.map(|name| fs::read(set.path(name)).unwrap());
    // As many images as the first moments have.
    let mut bytes = second.clone();
    bytes.extend(&second[1024..]);
    bytes[8..12].copy_from_slice(&first[8..12]);
    fs::write(set.path(MOMENTS[0]), bytes).unwrap();
    refuse(&set, "GR-0704");
}

/// Which holds half as many.
#[test]
fn stack_of_second_moments_in_place_of_the_first() {
    let set = finished_gradient();
    fs::copy(set.path(MOMENTS[1]), set.path(MOMENTS[0])).unwrap();
    refuse(&set, "GR-0704");
}

#[test]
fn moments_that_are_not_numbers() {
    let set = finished_gradient();
    spoil_value(&set, MOMENTS[0], f32::NAN);
    refuse(&set, "GR-0404");
}

#[test]
fn second_moments_of_nothing() {
    let set = finished_gradient();
    let mut bytes = fs::read(set.path(MOMENTS[1])).unwrap();
    bytes[1024..].fill(0);
    fs::write(set.path(MOMENTS[1]), bytes).unwrap();
    refuse(&set, "GR-0404");
}

/// The ranges of the options hold for the files that keep them.
#[test]
fn numbers_of_the_files_that_no_run_could_have() {
    for (label, value) in [
        ("_rlnAdaptiveOversampleOrder", "9"),
        ("_rlnAdaptiveOversampleFraction", "0"),
        ("_rlnWidthMaskEdge", "-5"),
        ("_gerelionOffsetStep", "-3"),
        ("_gerelionOffsetRange", "1e30"),
        ("_gerelionPerturbation", "nan"),
    ] {
        let set = finished(OPTIMISER);
        change_number(&set, label, value);
        let message = super::set::failure(&set.run());
        let begin = format!("GR-0704: {OPTIMISER}: {} is ", &label[1..]);
        assert!(message.starts_with(&begin), "{message}");
    }
    let set = finished(OPTIMISER);
    change_number(&set, "_rlnAdaptiveOversampleOrder", "9");
    refuse(&set, "GR-0704");
}
