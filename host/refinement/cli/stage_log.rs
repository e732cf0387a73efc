//! `--json_log`: one line of JSON per stage of a run, for schedulers and dashboards. `docs/json-log.md` describes the
//! fields, which later versions may add to but do not rename.
//!
//! The log never ends a run: once its file is open, a line that cannot be written (a full disk) is left out, which is said
//! once.

use crate::errors::{self, Code, Message};
use crate::refinement::cli::crash_mark;
use serde_json::{Map, Value};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Version of the fields, `"format"` in the line of the event `run`.
pub const FORMAT: u32 = 1;

/// The log of this process, for an end that does not go through the run.
static OF_THIS_PROCESS: Mutex<Weak<StageLog>> = Mutex::new(Weak::new());

/// Stages of a run, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Reading particle table, references and masks.
    ReadInput,
    /// Looking at all images (`--reject_limit`).
    CheckImages,
    /// Copying stacks to `--scratch_dir`.
    CopyToScratch,
    /// Estimating the noise before the first iteration.
    InitialNoise,
    /// Comparing images with the negative of the reference.
    CheckContrast,
    /// Estimating expected accuracies of the alignment.
    Accuracy,
    /// Comparing images and references, and summing.
    Expectation,
    /// Making maps from the sums.
    Maximization,
    /// Writing the files of an iteration; iterations go on meanwhile.
    WriteFiles,
}

impl Stage {
    /// All stages.
    pub const ALL: [Self; 9] = [
        Self::ReadInput,
        Self::CheckImages,
        Self::CopyToScratch,
        Self::InitialNoise,
        Self::CheckContrast,
        Self::Accuracy,
        Self::Expectation,
        Self::Maximization,
        Self::WriteFiles,
    ];

    /// Returns the name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadInput => "read_input",
            Self::CheckImages => "check_images",
            Self::CopyToScratch => "copy_to_scratch",
            Self::InitialNoise => "initial_noise",
            Self::CheckContrast => "check_contrast",
            Self::Accuracy => "accuracy",
            Self::Expectation => "expectation",
            Self::Maximization => "maximization",
            Self::WriteFiles => "write_files",
        }
    }
}

/// An open log.
#[derive(Debug)]
pub struct StageLog {
    path: PathBuf,
    begun: Instant,
    out: Mutex<Out>,
}

#[derive(Debug)]
struct Out {
    file: File,
    /// That lines are missing has been told.
    told: bool,
    /// The file ends within a line.
    broken: bool,
    /// The line of the event `end` has been written.
    ended: bool,
}

/// Whether a log may be written to `path`: nothing is there, or a log, or no plain file.
fn is_log(path: &Path) -> bool {
    // A pipe would be waited for.
    if !path.metadata().is_ok_and(|there| there.is_file()) {
        return true;
    }
    let mut first = [0];
    match File::open(path).and_then(|mut file| file.read(&mut first)) {
        Ok(1) => first == *b"{",
        _ => true,
    }
}

impl StageLog {
    /// Opens the log; with `goes_on` lines are added to those of an earlier run.
    ///
    /// # Errors
    /// The file cannot be opened for writing, or is one that is no log.
    pub fn open(path: &Path, goes_on: bool) -> Result<Self, Message> {
        if !is_log(path) {
            return Err(Code::CANNOT_WRITE.says(format!(
                "--json_log {}: there is a file of this name that is no log, which would be lost; give another name",
                path.display()
            )));
        }
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .append(goes_on)
            .truncate(!goes_on)
            .open(path)
            .map_err(|error| {
                Code::CANNOT_WRITE.says(format!(
                    "--json_log {}: the file cannot be opened for writing: {error}; give another name, in a folder that exists",
                    path.display()
                ))
            })?;
        Ok(Self {
            path: path.to_owned(),
            begun: Instant::now(),
            out: Mutex::new(Out {
                file,
                told: false,
                broken: false,
                ended: false,
            }),
        })
    }

    /// Shares the log, and makes it the one that [`end_by_force`] writes to.
    pub fn of_this_process(self) -> Arc<Self> {
        let log = Arc::new(self);
        let mut known = OF_THIS_PROCESS
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *known = Arc::downgrade(&log);
        let out = log.out.lock().unwrap_or_else(PoisonError::into_inner);
        crash_mark::end_log_on_crash(&out.file);
        drop(out);
        log
    }

    /// Writes the last line of a run that failed.
    pub fn failed(&self, error: &Message) {
        self.write(
            "end",
            [
                ("status", "failed".into()),
                ("code", error.code.to_string().into()),
                ("message", error.line().into()),
            ],
        );
    }

    /// Writes the line of an event: its fields, the time (Unix, s) and the seconds since the log was opened.
    pub fn write<const N: usize>(&self, event: &str, fields: [(&str, Value); N]) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let stamps = [
            ("event", Value::from(event)),
            ("time", milliseconds(now.map_or(0.0, |t| t.as_secs_f64()))),
            (
                "elapsed_s",
                milliseconds(self.begun.elapsed().as_secs_f64()),
            ),
        ];
        let fields = stamps.into_iter().chain(fields);
        let line: Map<String, Value> = fields.map(|(k, v)| (k.to_owned(), v)).collect();
        self.add(&Value::Object(line).to_string(), event == "end");
    }

    fn add(&self, line: &str, ends: bool) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        if out.ended {
            return;
        }
        out.ended = ends;
        if ends {
            crash_mark::log_has_ended();
        }
        // A line that was written in part is ended, so that it spoils none but itself.
        let start = if out.broken { "\n" } else { "" };
        match out.file.write_all(format!("{start}{line}\n").as_bytes()) {
            Ok(()) => out.broken = false,
            Err(error) => {
                out.broken = true;
                if !out.told {
                    out.told = true;
                    errors::tell(&format!(
                        " + WARNING: --json_log {}: {error}. Lines of it are missing; the run goes on.",
                        self.path.display()
                    ));
                }
            }
        }
    }
}

impl Drop for StageLog {
    /// A run that leaves its log without saying how it ended has failed.
    fn drop(&mut self) {
        self.write("end", [("status", "failed".into())]);
    }
}

/// Writes the last line of the open log, where the process is about to end in the middle of the run (a signal, a rank that stands still).
/// A log that a thread is writing to is left alone: its disk may be what everyone waits for.
pub fn end_by_force(error: &Message) {
    let log = OF_THIS_PROCESS
        .try_lock()
        .ok()
        .and_then(|log| log.upgrade());
    if let Some(log) = log
        && log.out.try_lock().is_ok()
    {
        log.failed(error);
    }
}

/// Returns seconds with three decimals.
pub fn milliseconds(seconds: f64) -> Value {
    Value::from((seconds * 1e3).round() / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path) -> Vec<Value> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn events_are_lines_and_the_last_says_how_the_run_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.jsonl");
        let log = StageLog::open(&path, false).unwrap();
        log.write(
            "stage",
            [("seconds", f64::NAN.into()), ("text", "a\nb".into())],
        );
        drop(log);
        let log = StageLog::open(&path, true).unwrap();
        log.write("end", [("status", "finished".into())]);
        drop(log);
        let found = lines(&path);
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[0]["text"], "a\nb");
        assert_eq!(found[0]["seconds"], Value::Null);
        assert!(found[0]["time"].as_f64().unwrap() > 1.7e9);
        assert_eq!(found[1]["status"], "failed");
        assert_eq!(found[2]["status"], "finished");
        StageLog::open(&path, false).unwrap();
        assert_eq!(lines(&path).len(), 1, "a new run begins a new log");
    }

    #[test]
    fn a_full_disk_is_not_an_error() {
        let log = StageLog::open(Path::new("/dev/full"), true).unwrap();
        log.write("stage", []);
        log.write("stage", []);
        let out = log.out.lock().unwrap();
        assert!(out.told && out.broken);
    }

    #[test]
    fn a_file_that_is_no_log_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("particles.star");
        std::fs::write(&path, "data_particles\n").unwrap();
        for goes_on in [false, true] {
            let error = StageLog::open(&path, goes_on).unwrap_err();
            assert!(error.text.contains("no log"), "{error}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"data_particles\n");
    }

    #[test]
    fn a_log_in_a_missing_folder_is_refused() {
        let error = StageLog::open(Path::new("/no/such/folder/a.jsonl"), false).unwrap_err();
        assert!(error.to_string().contains("--json_log /no/such"), "{error}");
    }

    #[test]
    fn the_page_names_every_stage() {
        let page = include_str!("../../../docs/json-log.md");
        for stage in Stage::ALL {
            let name = format!("`{}`", stage.name());
            assert!(page.contains(&name), "docs/json-log.md lacks {name}");
        }
    }
}
