//! Runs whose files were changed since, by hand or by a failing disk, in ways that only their content tells.

use super::continuation::{OPTIMISER, change, change_number, finished, refuse};
use super::set::{BOX, PARTICLES, PIXEL, Set, image};
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

/// Runs, and returns the warnings in one line.
fn warnings(set: &Set) -> String {
    let output = set.run();
    let errors = String::from_utf8_lossy(&output.stderr).replace('\n', " ");
    assert!(output.status.success(), "{errors}");
    errors
}

const DATA: &str = "out/run_it001_data.star";

#[test]
fn continued_as_it_was_left() {
    for set in [finished(OPTIMISER), with_half_sets()] {
        let told = warnings(&set);
        assert!(!told.contains("WARNING"), "{told}");
    }
}

/// Optics and CTFs may be corrected on purpose, so that the run goes on; what it goes on with is said.
#[test]
fn continued_with_other_optics() {
    for (label, value) in [
        ("rlnDefocusU", 12_000.0),
        ("rlnDefocusAngle", 45.0),
        ("rlnImagePixelSize", 4.05),
        ("rlnVoltage", 200.0),
        ("rlnSphericalAberration", 2.0),
        ("rlnAmplitudeContrast", 0.07),
    ] {
        let set = finished(OPTIMISER);
        change_column(&set, DATA, label, |_| Value::Real(value));
        let told = warnings(&set);
        let text = format!(
            "{DATA}: {label} changed since these files were written. The run goes on with what is there now"
        );
        assert!(told.contains(&text), "{label}: {told}");
        assert!(!told.contains("stacks hold other images"), "{told}");
    }
}

/// A number that was corrected is that of the next files.
#[test]
fn a_change_is_told_once() {
    let mut set = finished(OPTIMISER);
    change_column(&set, DATA, "rlnVoltage", |_| Value::Real(200.0));
    assert!(warnings(&set).contains("rlnVoltage changed"));
    let words = "--continue out2/run_it002_optimiser.star --o out2/more --iter 3 --j 1";
    set.options = words.split_whitespace().map(String::from).collect();
    let told = warnings(&set);
    assert!(!told.contains("WARNING"), "{told}");
}

/// Twice the pixel size of the maps.
#[test]
fn continued_with_pixels_of_another_magnification() {
    let set = finished(OPTIMISER);
    change_column(&set, DATA, "rlnImagePixelSize", |_| Value::Real(8.0));
    refuse(&set, "GR-0704");
}

/// Images of the same number and size under the same name.
#[test]
fn continued_with_another_stack() {
    let set = finished(OPTIMISER);
    let images: Vec<Vec<f32>> = (100..100 + PARTICLES).map(image).collect();
    set.write_stack(&images);
    let told = warnings(&set);
    assert!(
        told.contains(&format!("{DATA}: the stacks hold other images")),
        "{told}"
    );
}

#[test]
fn continued_from_an_iteration_of_another_number() {
    let set = finished(OPTIMISER);
    change_number(&set, "_rlnCurrentIteration", "5");
    refuse(&set, "GR-0704");
}

#[test]
fn continued_with_another_seed() {
    let set = finished(OPTIMISER);
    change_number(&set, "_rlnRandomSeed", "7");
    let told = warnings(&set);
    assert!(
        told.contains("rlnRandomSeed is 7, but the run was started with 1"),
        "{told}"
    );
}

/// 0 is that of --offset 0.
#[test]
fn continued_with_a_width_of_offsets_of_no_run() {
    for (width, words) in [
        (0.0, None),
        (1e-20, Some("widths below 0.01 Å count as none")),
        (200.0, Some("wider than the images of 96 Å")),
    ] {
        let set = finished(OPTIMISER);
        change_column(&set, MODEL, "rlnSigmaOffsetsAngst", |_| Value::Real(width));
        let told = warnings(&set);
        match words {
            Some(words) => assert!(told.contains(words), "{width}: {told}"),
            None => assert!(!told.contains("prior of offsets"), "{width}: {told}"),
        }
    }
    let set = finished(OPTIMISER);
    change_column(&set, MODEL, "rlnSigmaOffsetsAngst", |_| Value::Real(1e9));
    refuse(&set, "GR-0704");
}

/// Maps and figures of the iteration that are possible, but not those that were written.
#[test]
fn continued_with_other_results() {
    for label in [
        "rlnNormCorrectionAverage",
        "rlnSigmaOffsetsAngst",
        "rlnTau2FudgeFactor",
    ] {
        let set = finished(OPTIMISER);
        change_column(&set, MODEL, label, |_| Value::Real(3.5));
        let told = warnings(&set);
        let text = format!(
            "{OPTIMISER}: {label} in the files that it names changed since they were written"
        );
        assert!(told.contains(&text), "{told}");
    }
    let set = with_half_sets();
    let path = set.path("out/run_it001_half2_class001.mrc");
    let map = gerelion::formats::volume::read_map(&path).unwrap().data;
    write_map(&path, (map * -2.0).view(), PIXEL).unwrap();
    let told = warnings(&set);
    assert!(
        told.contains("the voxels of the maps in the files"),
        "{told}"
    );
}
