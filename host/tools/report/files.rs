//! Which files a run has written so far, by RELION's names (spec 03 §1.6).

use super::ReportError;
use crate::errors::{Code, Message};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// The files of one iteration, or those without a number that end an auto-refinement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SetName {
    /// `PREFIX_itNNN_…`
    Iteration(usize),
    /// `PREFIX_…`
    Final,
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Iteration(number) => write!(f, "{number}"),
            Self::Final => f.write_str("final"),
        }
    }
}

impl SetName {
    /// For headings.
    pub(crate) fn title(self) -> String {
        match self {
            Self::Iteration(number) => format!("iteration {number}"),
            Self::Final => "final set".into(),
        }
    }

    /// Whether this set was written right after another one.
    pub(crate) fn follows(self, before: Self) -> bool {
        match (before, self) {
            (Self::Iteration(a), Self::Iteration(b)) => b == a + 1,
            (Self::Iteration(_), Self::Final) => true,
            (Self::Final, _) => false,
        }
    }

    /// Iterations since another set, where this one comes later; a final set is one iteration more.
    pub(crate) fn iterations_since(self, before: Self) -> Option<usize> {
        match (before, self) {
            (Self::Iteration(a), Self::Iteration(b)) => b.checked_sub(a).filter(|n| *n > 0),
            (Self::Iteration(_), Self::Final) => Some(1),
            (Self::Final, _) => None,
        }
    }

    /// Path of a file of the set, `tail` being for instance `_data.star`.
    pub(crate) fn file(self, prefix: &str, tail: &str) -> PathBuf {
        match self {
            Self::Iteration(number) => format!("{prefix}_it{number:03}{tail}").into(),
            Self::Final => format!("{prefix}{tail}").into(),
        }
    }

    /// [`SetName::file`] if it is there.
    pub(crate) fn existing(self, prefix: &str, tail: &str) -> Option<PathBuf> {
        Some(self.file(prefix, tail)).filter(|path| path.is_file())
    }

    /// Model file: that of half 1 where the halves have their own.
    pub(crate) fn model(self, prefix: &str) -> Option<PathBuf> {
        self.existing(prefix, "_half1_model.star")
            .or_else(|| self.existing(prefix, "_model.star"))
    }
}

/// Folder and beginning of file names of a prefix.
fn split(prefix: &str) -> (PathBuf, String) {
    match prefix.rsplit_once('/') {
        Some(("", name)) => ("/".into(), name.into()),
        Some((folder, name)) => (folder.into(), name.into()),
        None => (".".into(), prefix.into()),
    }
}

/// Folder that a run writes into.
pub(crate) fn folder(prefix: &str) -> PathBuf {
    split(prefix).0
}

/// Iteration number in a file name `NAME_itNNN_{model,half1_model,optimiser}.star`.
fn number(file: &str, name: &str) -> Option<usize> {
    let rest = file.strip_prefix(name)?.strip_prefix("_it")?;
    let (digits, tail) = rest.split_once('_')?;
    let known = ["model.star", "half1_model.star", "optimiser.star"].contains(&tail);
    (known && digits.len() >= 3).then(|| digits.parse().ok())?
}

/// Sets that have a model or an optimiser file, in order.
pub(crate) fn sets(prefix: &str) -> Result<Vec<SetName>, ReportError> {
    let (folder, name) = split(prefix);
    let mut found: BTreeSet<SetName> = names(&folder)?
        .iter()
        .filter_map(|file| number(file, &name))
        .map(SetName::Iteration)
        .collect();
    if SetName::Final.model(prefix).is_some() {
        found.insert(SetName::Final);
    }
    if found.is_empty() {
        return Err(nothing(prefix, &hint(prefix)));
    }
    Ok(found.into_iter().collect())
}

fn names(folder: &Path) -> Result<Vec<String>, Message> {
    let failed = |error: std::io::Error| {
        Code::of_reading(&error).says(format!(
            "{}: the folder cannot be read: {error}",
            folder.display()
        ))
    };
    std::fs::read_dir(folder)
        .map_err(failed)?
        .map(|entry| Ok(entry.map_err(failed)?.file_name().to_string_lossy().into()))
        .collect()
}

/// The error of a prefix without anything to report on.
pub(crate) fn nothing(prefix: &str, hint: &str) -> ReportError {
    let text = format!(
        "{prefix}: no file {prefix}_itNNN_model.star, {prefix}_itNNN_half1_model.star or {prefix}_model.star{hint}"
    );
    Code::FILE_MISSING.says(text).into()
}

/// Suggests a prefix that may have been meant instead of one without files.
fn hint(prefix: &str) -> String {
    let folder = prefix.trim_end_matches('/');
    let runs = names(Path::new(folder)).unwrap_or_default();
    let root = runs
        .iter()
        .find_map(|file| Some(file.split_once("_it0")?.0.to_owned()));
    match root {
        Some(root) => format!("; did you mean {folder}/{root}?"),
        None => "; give what the run was given with --o, for instance Class3D/job001/run, and wait until it has written \
                 its first files"
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_names() {
        assert_eq!(number("run_it003_model.star", "run"), Some(3));
        assert_eq!(number("run_it1234_optimiser.star", "run"), Some(1234));
        assert_eq!(number("run_it003_half1_model.star", "run"), Some(3));
        for other in [
            "run_it003_half2_model.star",
            "run_ct5_it006_model.star",
            "run_it003_model.star.tmp",
            "run_it03_model.star",
            "run_model.star",
        ] {
            assert_eq!(number(other, "run"), None, "{other}");
        }
    }

    #[test]
    fn a_folder_in_place_of_a_prefix_gets_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_string_lossy().into_owned();
        let message = |prefix: &str| sets(prefix).unwrap_err().to_string();
        assert!(message(&format!("{root}/run")).contains("--o"));
        std::fs::write(folder.path().join("run_it000_model.star"), "").unwrap();
        assert_eq!(
            sets(&format!("{root}/run")).unwrap(),
            [SetName::Iteration(0)]
        );
        assert!(message(&root).ends_with(&format!("did you mean {root}/run?")));
        assert!(message("/no/such/folder/run").starts_with("/no/such/folder: "));
    }
}
