//! One run at a time writes files of one `--o`: two would mix theirs, and nothing could be continued from the mixture.

use crate::errors::{Code, Message};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The right to write files of a root, held until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct OutputLock {
    path: PathBuf,
    /// Locked.
    _file: File,
}

impl OutputLock {
    /// Takes the lock of `root` (`--o`). A file system without locks gives none, and the run goes on without.
    ///
    /// # Errors
    /// Another run holds it; the message says which.
    pub(crate) fn take(root: &str) -> Result<Option<Self>, Message> {
        let path = lock_file(root);
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        // That nothing can be written there is told by the check of the output folder.
        let Ok(mut file) = opened else {
            return Ok(None);
        };
        match file.try_lock() {
            Ok(()) => {
                // For the message to another run; the lock holds without it.
                let _ = file
                    .set_len(0)
                    .and_then(|()| write!(file, "process {} on {}", std::process::id(), host()));
                remove_leftovers(root);
                Ok(Some(Self { path, _file: file }))
            }
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let _ = file.read_to_string(&mut owner);
                Err(Code::OUTPUT_IN_USE.says(format!(
                    "another run ({}) is writing files of --o {root}, and both would overwrite each other's. Wait for it, stop \
                     it, or give another --o",
                    if owner.is_empty() { "its process is not known" } else { &owner }
                )))
            }
            Err(TryLockError::Error(_)) => Ok(None),
        }
    }
}

impl Drop for OutputLock {
    fn drop(&mut self) {
        // Removed while the lock is held, so that it is never that of another run. A file that stays does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

/// Splits a root into the folder of its files and the beginning of their names.
fn folder_and_name(root: &str) -> (&Path, &str) {
    match root.rsplit_once('/') {
        None => (Path::new("."), root),
        Some(("", name)) => (Path::new("/"), name),
        Some((folder, name)) => (Path::new(folder), name),
    }
}

/// Removes files that a killed run with this root has left unfinished. Only who holds the lock may do so.
fn remove_leftovers(root: &str) {
    let (folder, name) = folder_and_name(root);
    let begin = format!("{name}_");
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&begin) && name.ends_with(".tmp") {
            // It does no harm where it stays.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Hidden, so that listings of results do not show it.
fn lock_file(root: &str) -> PathBuf {
    let (folder, name) = folder_and_name(root);
    folder.join(format!(".{name}.gerelion_lock"))
}

fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "this machine".to_owned(), |name| name.trim().to_owned())
}

/// Returns the last iteration of which an earlier run with this root has left an optimiser file.
pub(crate) fn last_iteration_there(root: &str) -> Option<usize> {
    let (folder, name) = folder_and_name(root);
    let prefix = format!("{name}_it");
    fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let rest = name
                .strip_prefix(&prefix)?
                .strip_suffix("_optimiser.star")?;
            rest.parse::<usize>().ok()
        })
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_has_a_folder_and_a_name() {
        let split = |root| folder_and_name(root);
        assert_eq!(split("run"), (Path::new("."), "run"));
        assert_eq!(split("/run"), (Path::new("/"), "run"));
        assert_eq!(
            split("Class3D/job001/run"),
            (Path::new("Class3D/job001"), "run")
        );
    }

    #[test]
    fn one_run_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let root = format!("{}/run", folder.path().display());
        let first = OutputLock::take(&root).unwrap().unwrap();
        let refused = OutputLock::take(&root).unwrap_err();
        assert_eq!(refused.code, Code::OUTPUT_IN_USE);
        let process = format!("process {} on", std::process::id());
        assert!(refused.text.contains(&process), "{refused}");
        // Another root of the folder is free.
        assert!(OutputLock::take(&format!("{root}2")).unwrap().is_some());
        drop(first);
        assert!(OutputLock::take(&root).unwrap().is_some());
    }

    #[test]
    fn unfinished_files_of_a_killed_run_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let root = format!("{}/run", folder.path().display());
        for name in [
            "run_it002_data.star.4711.tmp",
            "run2_it002_data.star.4711.tmp",
            "run_it001_data.star",
        ] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        drop(OutputLock::take(&root).unwrap());
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(
            left,
            ["run2_it002_data.star.4711.tmp", "run_it001_data.star"]
        );
    }

    #[test]
    fn iterations_of_an_earlier_run_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let root = format!("{}/run", folder.path().display());
        for name in [
            "run_it010_optimiser.star",
            "run_it025_optimiser.star",
            "run_ct5_it030_optimiser.star",
            "run_it027_data.star",
        ] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(last_iteration_there(&root), Some(25));
        assert_eq!(last_iteration_there(&format!("{root}2")), None);
        assert_eq!(last_iteration_there("/nonexistent/run"), None);
    }
}
