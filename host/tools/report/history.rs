//! The run as its files tell it: every iteration, and the latest one in detail.

use super::files::{self, SetName};
use super::film::Film;
use super::latest::Latest;
use super::surface::Molecule;
use super::tables::{Model, Optimiser, Sampling};
use super::{ReportError, pace};
use std::path::Path;
use std::time::SystemTime;

/// One iteration, or the final set.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Set {
    /// Which.
    pub name: SetName,
    /// Its model.
    pub model: Model,
    /// Options and state; None where the file is missing.
    pub optimiser: Option<Optimiser>,
    /// Sampling; None where the file is missing.
    pub sampling: Option<Sampling>,
    /// When its last file, that of the optimiser, was written.
    pub written: Option<SystemTime>,
    /// Seconds since the iteration before, where both times are known.
    pub seconds: Option<f64>,
}

/// A run.
#[derive(Debug)]
pub(crate) struct Run {
    /// Output root.
    pub prefix: String,
    /// All iterations in order; at least one.
    pub sets: Vec<Set>,
    /// Maps and particles of the last of them.
    pub latest: Latest,
    /// Classes in some of the iterations, of runs that start from nothing.
    pub film: Option<Film>,
    /// Notes on missing or omitted data, for the reader of the page.
    pub notes: Vec<String>,
}

impl Run {
    /// Read what there is. A run that goes on may be writing its latest files: where these cannot be read, the iteration before
    /// is the latest. `mass` is that of the molecule, kDa.
    pub(crate) fn read(prefix: &str, mass: Option<f64>) -> Result<Self, ReportError> {
        let mut notes = Vec::new();
        let mut sets = read_sets(prefix, usize::MAX, &mut notes)?;
        let latest = read_latest(prefix, mass, &mut sets, &mut notes)?;
        note_missing(prefix, &sets, &mut notes);
        let from_nothing = |set: &Set| {
            let by_gradient = set.optimiser.as_ref().is_some_and(|o| o.gradient.is_some());
            set.model.is_2d || by_gradient
        };
        let film = match sets.iter().any(from_nothing) {
            true => Film::read(prefix, &sets),
            false => None,
        };
        if !pace::fill(&mut sets) {
            notes.push(
                "The times of the files are not those of a run (copied files?), so nothing is said about its pace.".into(),
            );
        }
        Ok(Self {
            prefix: prefix.into(),
            sets,
            latest,
            film,
            notes,
        })
    }

    /// The latest iteration, or the final set.
    pub(crate) fn last(&self) -> &Set {
        &self.sets[self.sets.len() - 1]
    }

    /// Options of the run: those of the latest iteration that has them.
    pub(crate) fn optimiser(&self) -> Option<&Optimiser> {
        self.sets
            .iter()
            .rev()
            .find_map(|set| set.optimiser.as_ref())
    }

    /// The latest sampling known.
    pub(crate) fn sampling(&self) -> Option<&Sampling> {
        self.sets.iter().rev().find_map(|set| set.sampling.as_ref())
    }
}

/// Reads the tables of the latest iterations, at most so many. The latest is left out where it is being written.
///
/// # Errors
/// There is no iteration; a file of one before the latest cannot be read.
pub(crate) fn read_sets(
    prefix: &str,
    most: usize,
    notes: &mut Vec<String>,
) -> Result<Vec<Set>, ReportError> {
    let mut names = files::sets(prefix)?;
    leave_out_what_is_being_written(prefix, &mut names, notes);
    names.drain(..names.len().saturating_sub(most));
    let last = names.len().saturating_sub(1);
    let mut sets = Vec::new();
    for (i, name) in names.into_iter().enumerate() {
        match Set::read(prefix, name) {
            Ok(Some(set)) => sets.push(set),
            Ok(None) => notes.push(format!(
                "Iteration {name} has no model file and is left out."
            )),
            Err(error) if i == last && !sets.is_empty() => notes.push(unreadable(name, &error)),
            Err(error) => return Err(error),
        }
    }
    Ok(sets)
}

/// The optimiser is the last file of a set. Where the iteration before has one and the latest does not, that one is being written.
fn leave_out_what_is_being_written(
    prefix: &str,
    names: &mut Vec<SetName>,
    notes: &mut Vec<String>,
) {
    let complete = |name: SetName| name.existing(prefix, "_optimiser.star").is_some();
    while let [.., before, last] = names[..]
        && !complete(last)
        && complete(before)
    {
        notes.push(match last {
            SetName::Iteration(number) => format!(
                "Iteration {number} has no optimiser file, which is written last: it is left out."
            ),
            SetName::Final => {
                "The final set has no optimiser file, which is written last: it is left out.".into()
            }
        });
        names.pop();
    }
}

fn unreadable(name: SetName, error: &ReportError) -> String {
    match name {
        SetName::Iteration(number) => {
            format!("Iteration {number} cannot be read (yet) and is left out: {error}")
        }
        SetName::Final => format!("The final set cannot be read (yet) and is left out: {error}"),
    }
}

/// Maps and particles of the last set, or of the one before where those cannot be read.
fn read_latest(
    prefix: &str,
    mass: Option<f64>,
    sets: &mut Vec<Set>,
    notes: &mut Vec<String>,
) -> Result<Latest, ReportError> {
    let optimisers = sets.iter().rev().filter_map(|set| set.optimiser.as_ref());
    let molecule = Molecule {
        mass,
        diameter: optimisers.filter_map(|o| o.particle_diameter).next(),
    };
    let Some(last) = sets.last() else {
        return Err(files::nothing(prefix, "; there are optimiser files only"));
    };
    match Latest::read(prefix, last, molecule, notes) {
        Ok(latest) => Ok(latest),
        Err(error) if sets.len() > 1 => {
            notes.push(unreadable(last.name, &error));
            sets.pop();
            Latest::read(prefix, &sets[sets.len() - 1], molecule, notes)
        }
        Err(error) => Err(error),
    }
}

/// Say which iterations lack a file that the table is made from.
fn note_missing(prefix: &str, sets: &[Set], notes: &mut Vec<String>) {
    let mut note = |tail: &str, lacks: &dyn Fn(&Set) -> bool| {
        let missing: Vec<String> = sets
            .iter()
            .filter(|set| lacks(set))
            .map(|set| {
                let path = set.name.file(prefix, tail);
                path.file_name()
                    .map_or_else(String::new, |name| name.to_string_lossy().into())
            })
            .collect();
        if !missing.is_empty() {
            notes.push(format!("Missing: {}.", missing.join(", ")));
        }
    };
    note("_optimiser.star", &|set| set.optimiser.is_none());
    // One process alone writes none before the first iteration.
    note("_sampling.star", &|set| {
        set.sampling.is_none() && set.name != SetName::Iteration(0)
    });
}

impl Set {
    /// Whether this is the iteration right after another one.
    pub(crate) fn follows(&self, before: &Self) -> bool {
        self.name.follows(before.name)
    }

    /// Read the tables of a set; None without a model.
    fn read(prefix: &str, name: SetName) -> Result<Option<Self>, ReportError> {
        let Some(model) = name.model(prefix) else {
            return Ok(None);
        };
        let optimiser = name.existing(prefix, "_optimiser.star");
        Ok(Some(Self {
            name,
            model: Model::read(&model)?,
            written: optimiser.as_deref().and_then(modified),
            optimiser: optimiser.as_deref().map(Optimiser::read).transpose()?,
            sampling: name
                .existing(prefix, "_sampling.star")
                .as_deref()
                .map(Sampling::read)
                .transpose()?,
            seconds: None,
        }))
    }
}

/// Modification time of a file, where the system tells it.
pub(crate) fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}
