//! Runs that cannot be continued.

use super::set::{Set, star};
use std::fs;

/// A set whose run of one iteration is to be continued from `optimiser`.
fn finished(optimiser: &str) -> Set {
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
fn change(set: &Set, file: &str, from: &str, to: &str) {
    let text = fs::read_to_string(set.path(file)).unwrap();
    assert!(text.contains(from), "'{from}' is not in {file}: {text}");
    fs::write(set.path(file), text.replace(from, to)).unwrap();
}

/// As [`Set::refuse`], but files of the finished iteration are there.
fn refuse(set: &Set, code: &str) {
    let message = super::set::failure(&set.run());
    super::snapshot::check(code, &set.neutral(&message));
}

const OPTIMISER: &str = "out/run_it001_optimiser.star";

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
fn change_number(set: &Set, label: &str, value: &str) {
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

/// What other programs have written carries no mark, and is taken.
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
