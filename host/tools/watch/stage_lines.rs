//! Lines of the `--json_log` of a run (`docs/json-log.md`).

use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Logs are looked for beside the files of a run under names that end so.
pub(super) const ENDING: &str = ".jsonl";
/// Logs are looked through so far for runs, bytes.
const LONGEST: u64 = 1 << 26;
/// Warnings that are kept, the latest ones.
const MOST_WARNINGS: usize = 20;

/// State of the latest run in a log.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct StageLines {
    /// Output root, without its folder.
    pub root: String,
    /// Process and machine.
    pub process: Option<(u64, String)>,
    /// The iteration that the run was asked for.
    pub last_iteration: Option<usize>,
    /// Each iteration: number, resolution (Å), average Pmax, seconds.
    pub iterations: Vec<Done>,
    /// The stage under way, where it takes long.
    pub progress: Option<Progress>,
    /// Warnings and findings, in words.
    pub warnings: Vec<String>,
    /// `finished`, `failed` or `aborted`, and why.
    pub end: Option<(String, Option<String>)>,
    /// Unix time of the last line, s.
    pub time: f64,
}

/// An iteration that is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Done {
    /// Number.
    pub iteration: usize,
    /// Å.
    pub resolution: Option<f64>,
    /// Mean over the particles.
    pub average_pmax: Option<f64>,
    /// How long it took.
    pub seconds: Option<f64>,
}

/// A stage under way.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Progress {
    /// Name in the log.
    pub stage: String,
    /// Of the stage; None before the first.
    pub iteration: Option<usize>,
    /// Share of the steps that is done.
    pub share: Option<f64>,
    /// Seconds left in this stage.
    pub left: Option<f64>,
    /// Unix time when this was written, s.
    pub time: f64,
}

/// Returns the output roots, without their folders, of the runs in a log; none for other files.
pub(super) fn roots_named_in(path: &Path) -> Vec<String> {
    let named = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        let name = line.get("output_root")?.as_str()?.rsplit('/').next()?;
        (line.get("event")? == "run" && !name.is_empty()).then(|| name.to_owned())
    };
    let Ok(file) = std::fs::File::open(path) else {
        return Vec::new();
    };
    let mut lines = BufReader::new(file.take(LONGEST))
        .lines()
        .map_while(Result::ok);
    // A log begins with a run.
    let Some(first) = lines.next().and_then(|line| named(&line)) else {
        return Vec::new();
    };
    let others = lines.filter(|line| line.contains("output_root"));
    let others = others.filter_map(|line| named(&line));
    std::iter::once(first).chain(others).collect()
}

/// Returns the log of the run with output root `root`: named in its command line, or beside its files.
pub(super) fn of_root(root: &str, command_line: &str) -> Option<PathBuf> {
    let (folder, name) = match root.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((folder, name)) => (folder, name),
        None => (".", root),
    };
    let mut words = command_line.split_whitespace();
    let named = words
        .find(|word| *word == "--json_log")
        .and_then(|_| words.next());
    let is_of_run = |path: &PathBuf| roots_named_in(path).iter().any(|found| found == name);
    if let Some(path) = named.map(PathBuf::from).filter(is_of_run) {
        return Some(path);
    }
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let mut logs: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(ENDING))
        .collect();
    logs.sort();
    logs.into_iter().find(is_of_run)
}

/// Reads what a log says about the run with output root `root`; None where it cannot be read.
pub(super) fn read(path: &Path, root: &str) -> Option<StageLines> {
    let name = root.rsplit('/').next()?;
    Some(parse(&std::fs::read_to_string(path).ok()?, name))
}

/// A continued run adds to the log under a name of its own, and its iterations follow those before.
fn parse(text: &str, name: &str) -> StageLines {
    let (mut found, mut current) = (StageLines::default(), StageLines::default());
    // Lines that were written in part are passed over.
    for line in text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
    {
        if line["event"] == "run" && current.root == name {
            found = current.clone();
        }
        current.take(&line);
    }
    if current.root == name {
        found = current;
    }
    found
}

impl StageLines {
    fn take(&mut self, line: &Value) {
        let real = |field: &str| line.get(field).and_then(Value::as_f64);
        let whole = |field: &str| line.get(field).and_then(Value::as_u64).map(|n| n as usize);
        let word = |field: &str| line.get(field).and_then(Value::as_str).map(str::to_owned);
        self.time = real("time").unwrap_or(self.time);
        match line.get("event").and_then(Value::as_str) {
            Some("run") => {
                let goes_on = line.get("continues") == Some(&Value::Bool(true));
                let root = word("output_root").unwrap_or_default();
                *self = Self {
                    root: root.rsplit('/').next().unwrap_or_default().to_owned(),
                    iterations: match goes_on {
                        true => std::mem::take(&mut self.iterations),
                        false => Vec::new(),
                    },
                    process: line
                        .get("process_id")
                        .and_then(Value::as_u64)
                        .zip(word("host")),
                    last_iteration: whole("last_iteration"),
                    time: self.time,
                    ..Self::default()
                };
            }
            Some("stage") => self.progress = None,
            Some("progress") => {
                let steps = real("done").zip(real("total"));
                self.progress = word("stage").map(|stage| Progress {
                    stage,
                    iteration: whole("iteration"),
                    share: steps.map(|(done, total)| (done / total.max(1.0)).min(1.0)),
                    left: real("remaining_s"),
                    time: self.time,
                });
            }
            Some("iteration") => {
                let Some(iteration) = whole("iteration") else {
                    return;
                };
                self.iterations.retain(|done| done.iteration < iteration);
                self.iterations.push(Done {
                    iteration,
                    resolution: real("resolution_angstrom"),
                    average_pmax: real("average_pmax"),
                    seconds: real("seconds"),
                });
            }
            Some("warning" | "finding") => {
                self.warnings.extend(word("text"));
                let more = self.warnings.len().saturating_sub(MOST_WARNINGS);
                self.warnings.drain(..more);
            }
            Some("end") => self.end = word("status").map(|status| (status, word("message"))),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"{"event":"run","output_root":"x/run","time":10.0,"process_id":7,"host":"node1","last_iteration":25}
{"event":"warning","time":10.5,"text":"look here"}
{"event":"iteration","time":11.0,"iteration":1,"resolution_angstrom":20.5,"average_pmax":0.25,"seconds":3.5}
{"event":"progress","time":12.0,"stage":"expectation","iteration":2,"done":5,"total":20,"remaining_s":30.0}
{"event":"progress","time":1
"#;

    #[test]
    fn the_latest_lines_say_where_a_run_is() {
        let found = parse(LOG, "run");
        assert_eq!(found.process, Some((7, "node1".into())));
        assert_eq!(found.last_iteration, Some(25));
        assert_eq!(found.iterations.len(), 1);
        assert_eq!(found.iterations[0].resolution, Some(20.5));
        assert_eq!(found.warnings, ["look here"]);
        assert_eq!(found.end, None);
        let progress = found.progress.unwrap();
        assert_eq!(
            (progress.stage.as_str(), progress.share, progress.left),
            ("expectation", Some(0.25), Some(30.0))
        );
    }

    #[test]
    fn a_continued_run_keeps_the_iterations_before() {
        let go_on = r#"{"event":"end","status":"failed","message":"GR-0101"}
{"event":"run","output_root":"run","process_id":8,"host":"node1","continues":true}
{"event":"iteration","iteration":2,"resolution_angstrom":null}"#;
        let found = parse(&format!("{LOG}{go_on}"), "run");
        assert_eq!(found.iterations.len(), 2);
        assert_eq!(found.iterations[1].resolution, None);
        assert_eq!(found.end, None);
        let anew = parse(&format!("{LOG}{}", go_on.replace("true", "false")), "run");
        assert_eq!(anew.iterations.len(), 1);
        let renamed = go_on.replace("\"run\",\"process_id\"", "\"run_ct1\",\"process_id\"");
        let log = format!("{LOG}{renamed}");
        assert_eq!(parse(&log, "run_ct1").iterations.len(), 2);
        let before = parse(&log, "run");
        assert_eq!((before.iterations.len(), before.end.is_some()), (1, true));
    }
}
