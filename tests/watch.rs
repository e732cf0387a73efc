//! `--json_log` and `gerelion watch`: what a run writes while it goes on, and what is shown of it.

mod runs;

use runs::{command, fixture, small_set, succeeded};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder with the small data set.
struct Job(tempfile::TempDir);

impl Job {
    fn new() -> Self {
        Job(small_set(&["c"]))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the classification of the reference run with further options, which win.
    fn run(&self, options: &str) -> Output {
        self.refine(&command(&fixture().join("class3d_c4")), options)
    }

    fn refine(&self, words: &[String], options: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_relion_refine"))
            .args(words)
            .args(options.split_whitespace())
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    fn watch(&self, words: &str) -> Output {
        watch(self.0.path(), words).output().unwrap()
    }
}

fn watch(folder: &Path, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gerelion"));
    command
        .arg("watch")
        .args(words.split_whitespace())
        .current_dir(folder);
    command
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn named<'a>(lines: &'a [Value], event: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

/// The log has a line per stage and iteration; a continued run adds to it, and it is what the watch shows.
#[test]
fn a_run_writes_its_log_and_is_watched() {
    let job = Job::new();
    succeeded(&job.run("--iter 1 --json_log c/log.jsonl"));
    let log = lines(&job.path("c/log.jsonl"));
    assert_eq!(log[0]["event"], "run");
    assert_eq!(log[0]["format"], 1);
    assert_eq!(log[0]["output_root"], "c/run");
    assert_eq!(log[0]["last_iteration"], 1);
    let stages: Vec<&str> = named(&log, "stage")
        .iter()
        .filter(|line| line["stage"] != "write_files")
        .map(|line| line["stage"].as_str().unwrap())
        .collect();
    assert_eq!(
        stages,
        [
            "read_input",
            "initial_noise",
            "check_contrast",
            "expectation",
            "maximization"
        ]
    );
    let iteration = named(&log, "iteration")[0];
    assert_eq!(iteration["iteration"], 1);
    assert!(iteration["resolution_angstrom"].as_f64().unwrap() > 4.5);
    assert_eq!(
        iteration["average_pmax"], 1.0,
        "cross-correlation has one pose"
    );
    assert_eq!(log.last().unwrap()["status"], "finished");
    let times = log.iter().map(|line| line["elapsed_s"].as_f64().unwrap());
    assert!(times.is_sorted());

    let go_on: Vec<String> = "--continue c/run_it001_optimiser.star --o c/run --iter 2"
        .split_whitespace()
        .map(String::from)
        .collect();
    succeeded(&job.refine(&go_on, "--json_log c/log.jsonl"));
    let log = lines(&job.path("c/log.jsonl"));
    assert_eq!(named(&log, "run").len(), 2);
    assert_eq!(named(&log, "run")[1]["continues"], true);
    assert!(
        named(&log, "stage")
            .iter()
            .any(|line| line["stage"] == "accuracy")
    );
    assert_eq!(named(&log, "iteration").len(), 2);

    // The continuation has a name of its own, as RELION's have.
    for place in ["c/run_ct1", "c", "."] {
        let shown = job.watch(&format!("{place} --once"));
        succeeded(&shown);
        let text = String::from_utf8(shown.stdout).unwrap();
        assert!(text.contains("c/run_ct1"), "{text}");
        assert!(
            text.contains("finished") && text.contains("2 of 2"),
            "{text}"
        );
        assert!(
            !text.contains('\u{1b}'),
            "control characters in a file: {text}"
        );
    }
}

/// Neither a log that cannot be written ends a run, nor one that cannot be opened is found out only after it.
#[test]
fn a_full_disk_costs_lines_of_the_log_and_nothing_else() {
    let job = Job::new();
    let output = job.run("--iter 1 --json_log /dev/full");
    succeeded(&output);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        errors.matches("--json_log /dev/full").count(),
        1,
        "{errors}"
    );
    let output = job.run("--iter 1 --json_log no/such/folder/log.jsonl");
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("GR-02") && errors.contains("no/such/folder"),
        "{errors}"
    );
}

#[test]
fn a_failed_run_says_so_in_its_log() {
    let job = Job::new();
    let mut stack = fs::read(job.path("bundle.mrcs")).unwrap();
    stack.truncate(stack.len() / 2);
    fs::write(job.path("bundle.mrcs"), stack).unwrap();
    let output = job.run("--iter 1 --json_log c/log.jsonl");
    assert_eq!(output.status.code(), Some(1));
    let log = lines(&job.path("c/log.jsonl"));
    let end = log.last().unwrap();
    assert_eq!(
        (&end["event"], &end["status"]),
        (&"end".into(), &"failed".into())
    );
    assert_eq!(end["code"], "GR-0203", "{end}");
    let shown = job.watch("c --once");
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(
        text.contains("failed") && text.contains("GR-0203"),
        "{text}"
    );
}

/// The runs of the reference program have no log, and are shown from their files.
#[test]
fn runs_of_relion_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let source = fixture().join("class3d_c4");
    for entry in fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let output = watch(folder.path(), "run --once").output().unwrap();
    succeeded(&output);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(" Å"), "{text}");
    let output = watch(folder.path(), "nothing --once").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("GR-0201")
    );
}

/// The page is served on 127.0.0.1, under the address that is printed and no other.
#[test]
fn the_page_is_served_to_this_user_alone() {
    let job = Job::new();
    succeeded(&job.run("--iter 1"));
    let mut server = watch(job.0.path(), "c --serve")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut address = String::new();
    BufReader::new(server.stdout.take().unwrap())
        .read_line(&mut address)
        .unwrap();
    let rest = address.trim().strip_prefix("http://127.0.0.1:").unwrap();
    let (port, path) = rest.split_once('/').unwrap();
    let get = |path: &str, host: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap();
        write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let own = format!("127.0.0.1:{port}");
    let page = get(path, &own);
    let wrong_path = get("", &own);
    let wrong_host = get(path, "example.org");
    let json = get(&format!("{path}runs.json"), &own);
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(
        page.contains("c/run") && page.contains("finished"),
        "{page}"
    );
    assert!(page.contains("default-src 'none'") && !page.contains("<script"));
    assert!(wrong_path.starts_with("HTTP/1.1 404"), "{wrong_path}");
    assert!(wrong_host.starts_with("HTTP/1.1 421"), "{wrong_host}");
    let json: Value = serde_json::from_str(json.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(json["runs"][0]["state"], "finished");
}
