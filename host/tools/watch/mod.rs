//! Runs that are under way, several at a time: a page on the terminal, and the same served to a browser on this machine.
//!
//! Only files of the runs are read: those of their iterations, and `--json_log` where a run writes one. The runs do not
//! notice.

pub mod cards;
mod page;
mod runs;
mod serve;
mod stage_lines;
mod standing;
mod terminal;

pub use serve::Server;
pub use terminal::{Screen, text};

use crate::errors::{Code, Message};
use cards::Card;
use standing::Standing;
use std::time::SystemTime;

/// State of the runs at one moment.
#[derive(Debug, Clone)]
pub struct View {
    now: SystemTime,
    runs: Vec<Standing>,
    /// GPUs of this machine; None where it has none that `nvidia-smi` tells of.
    cards: Option<Vec<Card>>,
}

impl View {
    /// Returns whether no run goes on any more.
    pub fn has_ended(&self) -> bool {
        !self.runs.is_empty() && self.runs.iter().all(Standing::has_ended)
    }
}

/// Looks at runs again and again.
#[derive(Debug)]
pub struct Watcher {
    places: Vec<String>,
    seen: Vec<Standing>,
}

impl Watcher {
    /// Watches output roots (`--o` of a run) and folders with runs somewhere inside.
    pub fn new(places: Vec<String>) -> Self {
        Self {
            places,
            seen: Vec::new(),
        }
    }

    /// Looks at all runs. Folders are searched anew for runs that have begun; a run is read again only where it has written.
    ///
    /// # Errors
    /// There is no run in any of the places.
    pub fn look(&mut self) -> Result<View, Message> {
        let now = SystemTime::now();
        let prefixes: Vec<String> = runs::find(&self.places);
        if prefixes.is_empty() {
            return Err(Code::FILE_MISSING.says(format!(
                "{}: no run has written there yet. Give what a run has as --o, such as Class3D/job001/run, or a folder with runs, \
                 and wait until it has written its first files (or its --json_log)",
                self.places.join(", ")
            )));
        }
        let seen = std::mem::take(&mut self.seen);
        self.seen = prefixes
            .iter()
            .map(|prefix| {
                let before = seen.iter().find(|standing| standing.prefix == *prefix);
                Standing::read(prefix, before, now)
            })
            .collect();
        Ok(View {
            now,
            runs: self.seen.clone(),
            cards: cards::read(),
        })
    }
}
