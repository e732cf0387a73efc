//! However a run ends, the scheduler's marker file says so: RELION's interface would otherwise show it as running for ever.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

mod runs;

use runs::{command, fixture, work_folder};

/// A classification of the fixture in a folder of its own.
struct Job {
    folder: tempfile::TempDir,
    words: Vec<String>,
}

impl Job {
    /// Long enough to be disturbed.
    fn long() -> Self {
        let mut words = command(&fixture().join("class3d_c4"));
        let options = "--iter 40 --j 1 --pipeline_control job_";
        words.extend(options.split_whitespace().map(String::from));
        let inputs = ["bundle.star", "bundle.mrcs", "bundle_truth1.mrc"].map(|f| fixture().join(f));
        let (folder, _) = work_folder(&inputs, &words);
        Self { folder, words }
    }

    /// One that is refused at once.
    fn refused() -> Self {
        let mut job = Self::long();
        job.words.extend(["--K", "0"].map(String::from));
        job
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relion_refine"));
        command.args(&self.words).current_dir(self.folder.path());
        command
    }

    /// The command as words of a shell, after `before`.
    fn in_shell(&self, before: &str) -> Command {
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(format!("{before}; exec \"$0\" \"$@\""))
            .arg(env!("CARGO_BIN_EXE_relion_refine"))
            .args(&self.words)
            .current_dir(self.folder.path());
        shell
    }

    /// Starts the job, its messages in `log`, and waits until it has written the files of the starting point.
    fn started(&self, log: &Path) -> Child {
        let log = File::create(log).unwrap();
        let running = self.command().stdout(Stdio::null()).stderr(log).spawn();
        wait_for(&first_optimiser(self));
        running.unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn failed(&self) -> bool {
        self.path("job_RELION_JOB_EXIT_FAILURE").exists()
    }
}

/// Waits until a file of the start-up is there.
fn wait_for(path: &Path) {
    let begin = Instant::now();
    while !path.exists() {
        assert!(
            begin.elapsed() < Duration::from_secs(120),
            "no {}",
            path.display()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(process: &Child, name: &str) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &process.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// Sends a signal and checks that the process ends with status 1 and names it. Returns what it printed to `log`.
fn ended_by(process: &mut Child, name: &str, log: &Path) -> String {
    signal(process, name);
    let status = process.wait().unwrap();
    let text = fs::read_to_string(log).unwrap();
    assert_eq!(status.code(), Some(1), "{name}: {text}");
    assert!(
        text.contains(&format!("told to end by SIG{name}")),
        "{text}"
    );
    text
}

/// Any file of the start-up whose name ends so.
fn first_optimiser(job: &Job) -> PathBuf {
    let output = job.words.iter().position(|word| word == "--o").unwrap();
    job.path(&format!("{}_it000_optimiser.star", job.words[output + 1]))
}

/// The reader of standard error has gone (`2>&1 | head -1`, a lost connection): status 1 and the marker.
#[test]
fn a_lost_terminal_does_not_hide_the_end() {
    let job = Job::refused();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = job
        .command()
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(job.failed());
}

/// Pages that are read in part (`gerelion completions bash | head`): no failure.
#[test]
fn a_page_that_is_read_in_part_is_no_failure() {
    for words in [
        "completions bash",
        "completions zsh",
        "options",
        "explain",
        "--help",
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_gerelion"))
            .args(words.split(' '))
            .stdout(writer)
            .output()
            .unwrap();
        assert!(output.status.success(), "{words}: {output:?}");
        assert!(output.stderr.is_empty(), "{words}: {output:?}");
    }
}

/// The disk with the log is full to the last byte.
#[test]
fn a_full_log_does_not_hide_the_end() {
    let job = Job::refused();
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = job
        .command()
        .stdout(full())
        .stderr(full())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(job.failed());
}

/// A batch system that ends a job: schedulers and dashboards read so in the log of `--json_log`.
#[test]
fn a_run_that_is_told_to_end_says_so_in_its_log() {
    let mut job = Job::long();
    job.words
        .extend(["--json_log", "log.jsonl"].map(String::from));
    let mut running = job
        .command()
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(&first_optimiser(&job));
    signal(&running, "TERM");
    assert_eq!(running.wait().unwrap().code(), Some(1));
    let log = fs::read_to_string(job.path("log.jsonl")).unwrap();
    let end: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    let found = [&end["event"], &end["status"], &end["code"]];
    assert_eq!(found, ["end", "failed", "GR-0606"], "{end}");
}

/// Signals of terminals and batch systems: status 1, a message that names the signal, the marker.
#[test]
fn signals_end_a_run_with_words_and_a_marker() {
    for name in [
        "HUP", "USR1", "USR2", "XCPU", "TERM", "QUIT", "ALRM", "ABRT", "PWR",
    ] {
        let job = Job::long();
        let log = job.path("log");
        let mut running = job.started(&log);
        let text = ended_by(&mut running, name, &log);
        // The starting point is no iteration to continue from.
        assert!(!text.contains("_it000_optimiser.star"), "{text}");
        assert!(job.failed(), "{name}");
    }
}

/// The programs that RELION's interface calls after a refinement end as the refinement does.
#[test]
fn signals_end_a_tool_with_words_and_a_marker() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let map =
        gerelion::formats::volume::read_map(&runs::fixture().join("bundle_truth1.mrc")).unwrap();
    for half in 1..=2 {
        let noisy = map.data.mapv(|v| v + 1e-3 * (1e4 * half as f32 * v).sin());
        let name = format!("half{half}.mrc");
        gerelion::formats::mrc::write_map(&path(&name), noisy.view(), 4.5).unwrap();
    }
    for name in ["TERM", "QUIT"] {
        // A marker of before goes when the program begins.
        let before = path("RELION_JOB_EXIT_ABORTED");
        fs::write(&before, "").unwrap();
        let log = path("log");
        let mut running = Command::new(env!("CARGO_BIN_EXE_relion_localres"))
            .args("--i half1.mrc --i2 half2.mrc --o l --angpix 4.5 --locres_sampling 1 --locres_maskrad 40 --j 1 --pipeline_control ./".split(' '))
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let begin = Instant::now();
        while before.exists() {
            assert!(begin.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(500));
        ended_by(&mut running, name, &log);
        assert!(path("RELION_JOB_EXIT_FAILURE").exists(), "{name}");
        fs::remove_file(path("RELION_JOB_EXIT_FAILURE")).unwrap();
    }
}

/// Signals that the processor raises: no more than words and marker, and the end that the system gives a program without a handler.
#[test]
fn crashes_leave_words_and_a_marker() {
    for (name, number) in [("SEGV", 11), ("BUS", 7), ("FPE", 8), ("ILL", 4)] {
        let mut job = Job::long();
        job.words
            .extend(["--json_log", "log.jsonl"].map(String::from));
        let log = job.path("log");
        let mut running = job.started(&log);
        signal(&running, name);
        let status = running.wait().unwrap();
        let text = fs::read_to_string(&log).unwrap();
        assert_eq!(status.signal(), Some(number), "{name}: {text}");
        let words = format!("ERROR:\nGR-0901: the program crashed (SIG{name})");
        assert!(text.contains(&words), "{text}");
        assert!(job.failed(), "{name}");
        let lines = fs::read_to_string(job.path("log.jsonl")).unwrap();
        let end: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
        let found = [&end["event"], &end["status"], &end["code"]];
        assert_eq!(found, ["end", "failed", "GR-0901"], "{name}: {end}");
    }
}

/// `nohup` ignores SIGHUP, and so does the run.
#[test]
fn nohup_is_respected() {
    let job = Job::long();
    let mut running = job
        .in_shell("trap '' HUP")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(&first_optimiser(&job));
    signal(&running, "HUP");
    std::thread::sleep(Duration::from_millis(500));
    assert!(running.try_wait().unwrap().is_none(), "SIGHUP ended it");
    signal(&running, "TERM");
    assert_eq!(running.wait().unwrap().code(), Some(1));
}

/// `ulimit -f`: a file that grows beyond the limit fails like one on a full disk, and nothing is left of it.
#[test]
fn a_limit_of_file_sizes_is_an_error_like_a_full_disk() {
    let job = Job::long();
    // Blocks of 512 bytes: less than a map.
    let output = job.in_shell("ulimit -f 64").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("GR-0209"), "{text}");
    assert!(job.failed());
    let names = fs::read_dir(job.folder.path()).unwrap();
    let left: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Both streams in one log, as batch systems keep them: `ERROR:` begins a line although a progress bar is open.
#[test]
fn the_error_begins_a_line_of_a_joint_log() {
    let job = Job::long();
    let log = job.path("log");
    let file = File::create(&log).unwrap();
    let mut running = job
        .command()
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap();
    let begin = Instant::now();
    // The bar of an iteration stands on the last line.
    let open = |text: &str| text.contains("Expectation iteration") && !text.ends_with('\n');
    while !open(&fs::read_to_string(&log).unwrap()) {
        assert!(
            begin.elapsed() < Duration::from_secs(120),
            "no bar was seen"
        );
    }
    signal(&running, "TERM");
    assert_eq!(running.wait().unwrap().code(), Some(1));
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.lines().any(|line| line == "ERROR:"), "{text}");
}

/// A name that is not UTF-8 would be changed, and files written elsewhere: it is refused.
#[test]
fn a_name_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let job = Job::long();
    let name = std::ffi::OsStr::from_bytes(b"out/run\xff");
    let output = job.command().arg("--o").arg(name).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("GR-0103") && text.contains("not UTF-8"),
        "{text}"
    );
    assert!(job.failed());
}
