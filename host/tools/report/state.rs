//! Whether a run goes on.

use super::files::{SetName, folder};
use super::history::{Set, modified};

/// State of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// More iterations are to come.
    Running,
    /// Its final files, or the last iteration it was asked for, are there.
    Finished,
    /// It left the job scheduler's mark of a failure.
    Failed,
    /// It left the mark of a run that the user stopped.
    Aborted,
}

impl State {
    /// State of a run by its files: a final set or last iteration, else a mark for the job scheduler (spec 03 §4.3) newer than
    /// its latest iteration.
    pub(crate) fn of(prefix: &str, sets: &[Set]) -> Self {
        let optimiser = sets.iter().rev().find_map(|set| set.optimiser.as_ref());
        let Some(last) = sets.last() else {
            return Self::Running;
        };
        // That of an auto-refinement is the most it may do.
        let asked_for = optimiser.map(|optimiser| optimiser.iterations);
        let complete = match last.name {
            SetName::Final => true,
            SetName::Iteration(number) => asked_for.is_some_and(|n| number >= n),
        };
        if complete {
            return Self::Finished;
        }
        let marks = [
            ("SUCCESS", Self::Finished),
            ("FAILURE", Self::Failed),
            ("ABORTED", Self::Aborted),
        ];
        marks
            .into_iter()
            .find(|(mark, _)| is_marked(prefix, last, mark))
            .map_or(Self::Running, |(_, state)| state)
    }

    /// Nothing more is to come.
    pub(crate) fn has_ended(self) -> bool {
        self != Self::Running
    }

    /// In a word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
        }
    }
}

/// The scheduler's marks of an earlier job in the same folder are older than the files of this one.
fn is_marked(prefix: &str, last: &Set, mark: &str) -> bool {
    let path = folder(prefix).join(format!("RELION_JOB_EXIT_{mark}"));
    match (modified(&path), last.written) {
        (Some(marked), Some(written)) => marked >= written,
        (marked, _) => marked.is_some(),
    }
}
