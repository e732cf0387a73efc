//! How far one run is, from its log and its files.

use crate::tools::report::files::SetName;
use crate::tools::report::history::{self, Set};
use crate::tools::report::pace;
use crate::tools::report::state::State;
use crate::tools::watch::stage_lines::{self, Progress, StageLines};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Iterations that are looked at: the latest ones.
const RECENT: usize = 40;

/// How far a run is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Standing {
    /// Output root.
    pub prefix: String,
    /// In a word: running, finished, failed, aborted, killed.
    pub word: String,
    /// The last iteration that is done; "final" for the final set.
    pub done: Option<String>,
    /// The iteration that the run was asked for.
    pub of: Option<usize>,
    /// Iteration and resolution, Å.
    pub resolutions: Vec<(f64, f64)>,
    /// Iteration and average Pmax.
    pub pmax: Vec<(f64, f64)>,
    /// The stage under way.
    pub progress: Option<Progress>,
    /// Seconds left; None where nobody can know.
    pub left: Option<f64>,
    /// When something was written last.
    pub written: Option<SystemTime>,
    /// Warnings, findings, what cannot be read.
    pub notes: Vec<String>,
    /// Files whose change shows that the run has written more.
    traces: Vec<Option<(SystemTime, u64)>>,
}

impl Standing {
    /// Reads a run, where it has written since `before`.
    pub(super) fn read(prefix: &str, before: Option<&Self>, now: SystemTime) -> Self {
        let traces = traces(prefix);
        if let Some(same) = before.filter(|before| before.traces == traces && before.has_ended()) {
            return same.clone();
        }
        let mut notes = Vec::new();
        let sets = history::read_sets(prefix, RECENT, &mut notes);
        let mut sets = match sets {
            Ok(sets) => sets,
            Err(error) => {
                // Before its first files a run may have a log.
                if crate::tools::report::files::sets(prefix).is_ok() {
                    notes.push(error.to_string());
                }
                Vec::new()
            }
        };
        // Times of copied files say nothing; the run is shown without.
        let _ = pace::fill(&mut sets);
        let optimiser = sets.iter().rev().find_map(|set| set.optimiser.as_ref());
        let command_line = optimiser.map_or("", |optimiser| &optimiser.command_line);
        let log = stage_lines::of_root(prefix, command_line)
            .and_then(|path| stage_lines::read(&path, prefix));
        let mut standing = Self::of_files(prefix, &sets, now);
        standing.notes = notes;
        if let Some(log) = log {
            standing.add_log(log, now);
        }
        standing.traces = traces;
        standing
    }

    fn of_files(prefix: &str, sets: &[Set], now: SystemTime) -> Self {
        let state = State::of(prefix, sets);
        let optimiser = sets.iter().rev().find_map(|set| set.optimiser.as_ref());
        let of = optimiser
            .filter(|optimiser| !optimiser.auto_refine)
            .map(|optimiser| optimiser.iterations);
        let number = |set: &Set| match set.name {
            SetName::Iteration(number) => number as f64,
            SetName::Final => sets.len() as f64,
        };
        let begun = sets.iter().filter(|set| set.name != SetName::Iteration(0));
        let over = |value: fn(&Set) -> f64| {
            let points = begun.clone().map(|set| (number(set), value(set)));
            points.filter(|(_, y)| y.is_finite()).collect()
        };
        let last = sets.last();
        let written = last.and_then(|set| set.written);
        let left = last.filter(|_| state == State::Running).and_then(|last| {
            let SetName::Iteration(number) = last.name else {
                return None;
            };
            let age = now.duration_since(written?).ok()?.as_secs_f64();
            let (each, _) = pace::recent(sets)?;
            Some(pace::left(each, of?.saturating_sub(number), age))
        });
        Self {
            prefix: prefix.to_owned(),
            word: state.word().to_owned(),
            done: last.map(|set| set.name.to_string()),
            of,
            resolutions: over(|set| set.model.resolution),
            pmax: over(|set| set.model.average_pmax),
            progress: None,
            left,
            written,
            notes: Vec::new(),
            traces: Vec::new(),
        }
    }

    /// Adds what the log knows better: it is written at once, files only when an iteration is done.
    fn add_log(&mut self, log: StageLines, now: SystemTime) {
        let written = UNIX_EPOCH + Duration::from_secs_f64(log.time.max(0.0));
        self.written = self.written.max(Some(written));
        if let Some(done) = log.iterations.last() {
            let is_final = self.done.as_deref() == Some("final");
            if !is_final {
                self.done = Some(done.iteration.to_string());
            }
            let over = |value: fn(&stage_lines::Done) -> Option<f64>| {
                let points = log.iterations.iter();
                points
                    .filter_map(|done| Some((done.iteration as f64, value(done)?)))
                    .collect::<Vec<_>>()
            };
            let recent = |points: Vec<(f64, f64)>| {
                let more = points.len().saturating_sub(RECENT);
                points[more..].to_vec()
            };
            self.resolutions = recent(over(|done| done.resolution));
            self.pmax = recent(over(|done| done.average_pmax));
        }
        self.of = self.of.or(log.last_iteration);
        self.left = self.left_by_log(&log, now).or(self.left);
        match &log.end {
            Some((status, why)) => {
                self.word = status.clone();
                self.notes.extend(why.clone());
                self.left = None;
            }
            None if log.process.as_ref().is_some_and(is_gone) => {
                self.word = "killed".into();
                self.left = None;
            }
            None => {
                self.word = State::Running.word().into();
                self.progress = log.progress;
            }
        }
        self.notes.extend(log.warnings);
    }

    /// Seconds left by the pace of the latest iterations and the progress of the stage under way.
    fn left_by_log(&self, log: &StageLines, now: SystemTime) -> Option<f64> {
        const PACE: usize = 3;
        let since = |time: f64| {
            let moment = UNIX_EPOCH + Duration::from_secs_f64(time.max(0.0));
            now.duration_since(moment).map_or(0.0, |d| d.as_secs_f64())
        };
        let done = log.iterations.last().map_or(0, |done| done.iteration);
        let recent = log.iterations.iter().rev().take(PACE);
        let seconds: Vec<f64> = recent.filter_map(|done| done.seconds).collect();
        let of = log.last_iteration?;
        let to_come = of.saturating_sub(done);
        let stage = log.progress.as_ref();
        let stage_left = stage.and_then(|p| Some((p.left? - since(p.time)).max(0.0)));
        if seconds.is_empty() {
            // Of the first iteration only its longest stage tells how long each will take.
            return stage_left.filter(|_| to_come <= 1);
        }
        let each = seconds.iter().sum::<f64>() / seconds.len() as f64;
        let current = stage_left.unwrap_or(each);
        Some(each * to_come.saturating_sub(1) as f64 + current)
    }

    /// Returns whether nothing more is to come.
    pub(super) fn has_ended(&self) -> bool {
        self.word != State::Running.word()
    }

    /// Returns how far the run is, in words: "7 of 25".
    pub(super) fn iterations(&self) -> String {
        match (&self.done, self.of) {
            (Some(done), Some(of)) if done != "final" => format!("{done} of {of}"),
            (Some(done), _) => done.clone(),
            (None, Some(of)) => format!("0 of {of}"),
            (None, None) => "–".into(),
        }
    }

    /// Returns the stage under way, in words: "expectation 43 %, 12.0 s left".
    pub(super) fn stage(&self) -> String {
        let Some(progress) = &self.progress else {
            return String::new();
        };
        let mut text = progress.stage.replace('_', " ");
        if let Some(share) = progress.share.filter(|share| *share > 0.0) {
            text.push_str(&format!(" {:.0} %", 100.0 * share));
        }
        if let Some(left) = progress.left {
            text.push_str(&format!(", {} left", pace::words(left)));
        }
        text
    }

    /// Returns the seconds left in words; a dash where nobody can know.
    pub(super) fn time_left(&self) -> String {
        match (self.has_ended(), self.left) {
            (true, _) => String::new(),
            (false, Some(left)) => format!("about {}", pace::words(left)),
            (false, None) => "not known".into(),
        }
    }
}

/// A process of this machine that does not live any more.
fn is_gone((process, host): &(u64, String)) -> bool {
    let here = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    here.trim() == host && !PathBuf::from(format!("/proc/{process}")).exists()
}

/// Times and sizes of the files that say how far a run is.
fn traces(prefix: &str) -> Vec<Option<(SystemTime, u64)>> {
    let log = stage_lines::of_root(prefix, "");
    let last = crate::tools::report::files::sets(prefix).unwrap_or_default();
    let optimiser = last.last().map(|set| set.file(prefix, "_optimiser.star"));
    let marks = ["SUCCESS", "FAILURE", "ABORTED"].map(|mark| {
        let folder = crate::tools::report::files::folder(prefix);
        Some(folder.join(format!("RELION_JOB_EXIT_{mark}")))
    });
    [log, optimiser]
        .into_iter()
        .chain(marks)
        .map(|path| {
            let found = path?.metadata().ok()?;
            Some((found.modified().ok()?, found.len()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_with_only_a_log_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let root = format!("{}/run", folder.path().display());
        let begin = format!(
            r#"{{"event":"run","time":100.0,"process_id":{},"host":"{}","output_root":"x/run","last_iteration":4}}"#,
            std::process::id(),
            std::fs::read_to_string("/proc/sys/kernel/hostname")
                .unwrap()
                .trim()
        );
        let iteration = r#"{"event":"iteration","time":110.0,"iteration":1,"resolution_angstrom":20.0,"average_pmax":0.5,"seconds":8.0}
{"event":"progress","time":112.0,"stage":"initial_noise","iteration":2,"done":1,"total":4,"remaining_s":6.0}"#;
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, format!("{begin}\n{iteration}\n")).unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(114);
        let standing = Standing::read(&root, None, now);
        assert_eq!(standing.word, "running");
        assert_eq!(standing.iterations(), "1 of 4");
        assert_eq!(standing.stage(), "initial noise 25 %, 6.0 s left");
        let begun = iteration.replace("\"done\":1", "\"done\":0");
        let begun = begun.replace("\"remaining_s\":6.0", "\"remaining_s\":null");
        std::fs::write(&path, format!("{begin}\n{begun}\n")).unwrap();
        assert_eq!(Standing::read(&root, None, now).stage(), "initial noise");
        // Four of the six seconds of the stage, and two iterations of eight.
        assert_eq!(standing.left, Some(20.0));
        let dead = begin.replace(&format!(":{},", std::process::id()), ":4194999,");
        std::fs::write(&path, format!("{dead}\n{iteration}\n")).unwrap();
        assert_eq!(Standing::read(&root, None, now).word, "killed");
        let end = r#"{"event":"end","status":"failed","message":"error GR-0201: no"}"#;
        std::fs::write(&path, format!("{dead}\n{iteration}\n{end}\n")).unwrap();
        let failed = Standing::read(&root, None, now);
        assert_eq!((failed.word.as_str(), failed.left), ("failed", None));
        assert!(failed.notes[0].contains("GR-0201"));
    }
}
