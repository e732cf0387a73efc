//! The commands that run whole jobs, on sets small enough for a test.

use std::path::Path;
use std::process::{Command, Output};

fn gerelion(folder: &Path, words: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gerelion"))
        .args(words.split_whitespace())
        .current_dir(folder)
        .output()
        .expect("the program starts")
}

/// Simulated set, classification by the program beside this one, a row that accounts for all of its time.
#[test]
fn bench_times_a_job_and_keeps_the_row() {
    let folder = tempfile::tempdir().unwrap();
    let out = gerelion(
        folder.path(),
        "bench --preset mini --n 40 --box 32 --job class3d --o work --runs runs -- --iter 2 --healpix_order 1",
    );
    assert!(out.status.success(), "{out:?}");
    let machine = std::fs::read_dir(folder.path().join("runs"))
        .unwrap()
        .next()
        .expect("one folder for this day and machine")
        .unwrap();
    let text = std::fs::read_to_string(machine.path().join("bench.csv")).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|l| l.split(',').collect()).collect();
    let cell = |name: &str| {
        let column = lines[0].iter().position(|c| *c == name).expect(name);
        lines[1][column]
    };
    let seconds = |name: &str| -> f64 { cell(name).parse().expect(name) };
    assert_eq!(cell("iterations"), "2");
    let parts = seconds("expectation") + seconds("maximization") + seconds("others");
    assert!((parts - seconds("total")).abs() < 0.03, "{text}");
    assert!(
        seconds("getDiff") > 0.0 && seconds("user_CPU") > 0.0,
        "{text}"
    );
    assert!(seconds("peak_MB") > 5.0, "{text}");
    assert!(folder.path().join("work/class_it002_model.star").exists());
}

/// A run that fails is an error with the end of its output, and leaves no row.
#[test]
fn bench_of_a_failing_job_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let out = gerelion(
        folder.path(),
        "bench --preset mini --n 8 --box 32 --runs runs -- --no_such_option",
    );
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(
        !out.status.success() && text.contains("no_such_option"),
        "{text}"
    );
    assert!(!folder.path().join("runs").exists());
}

/// One thread and all threads agree; a card that is not there is an error, not a silent success.
#[test]
fn selfcheck_compares_threads_and_fails_without_the_gpu_it_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let out = gerelion(folder.path(), "selfcheck --n 40");
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(
        out.status.success() && text.contains("all-threads: poses identical 1.0000"),
        "{out:?}"
    );
    let out = gerelion(folder.path(), "selfcheck --n 8 --gpu 99");
    assert!(!out.status.success(), "{out:?}");
}
