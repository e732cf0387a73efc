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

/// From images to a map, its judgement, a page about each of the three runs and their logs. So few images may well leave findings
/// about the result; `scripts/evidence.sh` says that those of the whole demo leave none.
#[test]
fn the_demo_goes_the_whole_way() {
    let folder = tempfile::tempdir().unwrap();
    let out = gerelion(folder.path(), "demo --n 100");
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{out:?}");
    assert!(text.contains("resolution by the gold standard"), "{text}");
    for file in [
        "Class2D/run_it010_classes.mrcs",
        "Class2D/run_report.html",
        "InitialModel/initial_model.mrc",
        "InitialModel/run_report.html",
        "Refine3D/run_class001.mrc",
        "Refine3D/run_report.html",
    ] {
        assert!(folder.path().join("demo").join(file).exists(), "{file}");
    }
    for job in ["Class2D", "InitialModel", "Refine3D"] {
        let log = folder.path().join("demo").join(job).join("log.jsonl");
        let text = std::fs::read_to_string(log).unwrap();
        assert!(text.contains("\"event\":\"end\""), "{job}: {text}");
    }
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

/// Jobs that start from nothing: the row of an initial model has its FSC to the truth, laid onto it.
#[test]
fn bench_times_jobs_that_start_from_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (job, further) in [
        ("class2d", "--K 3"),
        ("class2d-gradient", "--K 3 --iter 4"),
        ("initial-model", "--iter 6"),
    ] {
        let words = format!(
            "bench --preset mini --n 60 --box 32 --snr 0.5 --job {job} --o {job} -- {further}"
        );
        let out = gerelion(folder.path(), &words);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success(), "{job}: {out:?}");
        let cell = |name: &str| {
            let line = text
                .lines()
                .find(|line| line.starts_with(name))
                .expect(name);
            line[name.len()..].trim().to_owned()
        };
        let seconds: f64 = cell("total").parse().unwrap();
        assert!(seconds > 0.0, "{text}");
        let fsc: Result<f64, _> = cell("FSC to truth").parse();
        assert_eq!(fsc.is_ok(), job == "initial-model", "{text}");
    }
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
    let kept = std::fs::read_to_string(folder.path().join("selfcheck/selfcheck.txt")).unwrap();
    for part in ["processor", "tolerances", "all-threads", "exit status 0"] {
        assert!(kept.contains(part) && text.contains(part), "{part}: {kept}");
    }
    let out = gerelion(folder.path(), "selfcheck --n 8 --gpu 99");
    assert!(!out.status.success(), "{out:?}");
}
