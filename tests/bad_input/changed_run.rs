//! Runs whose files were changed since, by hand or by a failing disk, in ways that only their content tells.

use super::continuation::{OPTIMISER, change, change_number, finished, refuse};
use super::set::{BOX, PIXEL, Set};
use gerelion::formats::mrc::write_map;
use gerelion::formats::star::{Document, Value};
use std::fs;

const MODEL: &str = "out/run_it001_model.star";

/// Another value in all rows of a column of a file of the run.
fn change_column(set: &Set, file: &str, label: &str, value: impl Fn(&Value) -> Value) {
    let path = set.path(file);
    let mut document = Document::read(&path).unwrap();
    let tables = document.tables.iter_mut().filter(|table| table.has(label));
    let mut changed = 0;
    for table in tables {
        for row in 0..table.len() {
            let old = Value::Text(table.text(row, label).unwrap().to_owned());
            table.set(row, label, value(&old));
            changed += 1;
        }
    }
    assert!(changed > 0, "{label} is not in {file}");
    document.write(&path).unwrap();
}

#[test]
fn continued_from_a_map_of_zeros() {
    let set = finished(OPTIMISER);
    let path = set.path("out/run_it001_class001.mrc");
    let empty = ndarray::Array3::zeros((BOX, BOX, BOX));
    write_map(&path, empty.view(), PIXEL).unwrap();
    refuse(&set, "GR-0404");
}

#[test]
fn continued_with_a_diameter_below_0() {
    let set = finished(OPTIMISER);
    change_number(&set, "_rlnParticleDiameter", "-7");
    refuse(&set, "GR-0704");
}

#[test]
fn continued_with_a_width_of_offsets_below_0() {
    let set = finished(OPTIMISER);
    change_column(&set, MODEL, "rlnSigmaOffsetsAngst", |_| Value::Real(-3.0));
    refuse(&set, "GR-0704");
}

/// The distributions of directions and classes, and the noise, are blamed by name, not a particle that has no weight.
#[test]
fn continued_from_distributions_of_zeros() {
    for label in [
        "rlnOrientationDistribution",
        "rlnClassDistribution",
        "rlnSigma2Noise",
    ] {
        let set = finished(OPTIMISER);
        change_column(&set, MODEL, label, |_| Value::Real(0.0));
        let own = "gerelionOrientationDistribution";
        if label == "rlnOrientationDistribution" {
            change_column(&set, MODEL, own, |_| Value::Real(0.0));
        }
        let message = super::set::failure(&set.run());
        assert!(
            message.starts_with("GR-0704: ") && message.contains(&format!("{label} is 0; ")),
            "{message}"
        );
    }
}

/// One row became that of another particle of the same group.
#[test]
fn continued_with_a_particle_of_another_run() {
    let set = finished(OPTIMISER);
    change(
        &set,
        "out/run_it001_data.star",
        "000002@stack.mrcs",
        "000003@stack.mrcs",
    );
    refuse(&set, "GR-0704");
}

/// A run with half-sets after its first iteration, and the command that continues it.
fn with_half_sets() -> Set {
    let mut set = Set::new();
    set.options.push("--split_random_halves".into());
    assert!(set.run().status.success());
    let words = format!("--continue {OPTIMISER} --o out2/run --iter 2 --j 1");
    set.options = words.split_whitespace().map(String::from).collect();
    fs::create_dir(set.path("out2")).unwrap();
    set
}

#[test]
fn continued_with_half_sets_exchanged() {
    let set = with_half_sets();
    change_column(
        &set,
        "out/run_it001_data.star",
        "rlnRandomSubset",
        |old| match old {
            Value::Text(half) if half == "1" => Value::Integer(2),
            _ => Value::Integer(1),
        },
    );
    refuse(&set, "GR-0704");
}

/// The folder of a stack is not what the run depends on.
#[test]
fn continued_after_a_stack_was_moved() {
    let set = finished(OPTIMISER);
    fs::create_dir(set.path("moved")).unwrap();
    fs::rename(set.path("stack.mrcs"), set.path("moved/stack.mrcs")).unwrap();
    change(
        &set,
        "out/run_it001_data.star",
        "@stack.mrcs",
        "@moved/stack.mrcs",
    );
    let output = set.run();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}

/// Figures of one model file that are not those of the other half-set, or none at all.
#[test]
fn continued_with_other_figures() {
    let set = with_half_sets();
    let file = "out/run_it001_half1_model.star";
    let good = fs::read_to_string(set.path(file)).unwrap();
    for (label, value) in [
        ("rlnAveragePmax", 7.0),
        ("rlnTau2FudgeFactor", 1e30),
        ("rlnPaddingFactor", 3.7),
    ] {
        change_column(&set, file, label, |_| Value::Real(value));
        let message = super::set::failure(&set.run());
        assert!(
            message.starts_with("GR-0704: ") && message.contains(&format!("{label} is ")),
            "{message}"
        );
        fs::write(set.path(file), &good).unwrap();
    }
    let output = set.run();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}
