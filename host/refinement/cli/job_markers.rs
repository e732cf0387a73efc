//! Marker files through which a job scheduler follows and stops a run (`--pipeline_control`, spec 03 §4.3).

use crate::errors::{Code, Message};
use std::ffi::CString;
use std::path::PathBuf;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All is done.
    Success,
    /// An error stopped it.
    Failure,
    /// The scheduler asked it to stop.
    Aborted,
}

impl Ending {
    const ALL: [Self; 3] = [Self::Success, Self::Failure, Self::Aborted];

    fn file_name(self) -> &'static str {
        match self {
            Ending::Success => "RELION_JOB_EXIT_SUCCESS",
            Ending::Failure => "RELION_JOB_EXIT_FAILURE",
            Ending::Aborted => "RELION_JOB_EXIT_ABORTED",
        }
    }

    /// Exit status of the program (spec 03 §4.2).
    pub fn exit_status(self) -> u8 {
        match self {
            Ending::Success => 0,
            Ending::Failure => 1,
            Ending::Aborted => 2,
        }
    }
}

/// The scheduler's prefix; without one nothing is read or written.
#[derive(Debug, Clone, Default)]
pub struct Pipeline {
    prefix: Option<String>,
}

impl Pipeline {
    /// `prefix` is used as it is: schedulers pass the job folder with its slash.
    pub fn new(prefix: Option<String>) -> Self {
        Pipeline { prefix }
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.prefix
            .as_ref()
            .map(|prefix| PathBuf::from(format!("{prefix}{name}")))
    }

    /// Remove marker files of an earlier run, so that they are not taken for this one's.
    ///
    /// # Errors
    /// No marker could be left at the end: said before hours of work, not after them.
    pub fn start(&self) -> Result<(), Message> {
        for ending in Ending::ALL {
            if let Some(path) = self.path(ending.file_name()) {
                // Most often there is none.
                let _ = std::fs::remove_file(path);
            }
        }
        let Some(probe) = self.path(&format!(".relion_refine_{}.tmp", std::process::id())) else {
            return Ok(());
        };
        std::fs::write(&probe, b"writable?")
            .and_then(|()| std::fs::remove_file(&probe))
            .map_err(|error| self.cannot_write(&error))
    }

    /// Whether the scheduler has asked the run to stop.
    pub fn abort_requested(&self) -> bool {
        self.path("RELION_JOB_ABORT_NOW")
            .is_some_and(|path| path.exists())
    }

    /// Some ending has been marked.
    pub fn has_ended(&self) -> bool {
        Ending::ALL
            .into_iter()
            .filter_map(|ending| self.path(ending.file_name()))
            .any(|path| path.exists())
    }

    /// The file that marks a failure, for those who can no longer allocate a name.
    pub fn failure_marker(&self) -> Option<CString> {
        let path = self.path(Ending::Failure.file_name())?;
        CString::new(path.into_os_string().into_encoded_bytes()).ok()
    }

    /// Leave the marker file of an ending. The run is over: of an error nothing but its words matters.
    pub fn finish(&self, ending: Ending) -> Result<(), Message> {
        let Some(path) = self.path(ending.file_name()) else {
            return Ok(());
        };
        std::fs::write(&path, b"").map_err(|error| self.cannot_write(&error))
    }

    fn cannot_write(&self, error: &std::io::Error) -> Message {
        Code::CANNOT_WRITE.says(format!(
            "cannot write the marker files {}RELION_JOB_EXIT_... (--pipeline_control): {error}; does the folder exist, and has the \
             disk room? The value of the option is a job folder with its slash.",
            self.prefix.as_deref().unwrap_or_default()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &std::path::Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn each_ending_leaves_one_empty_file_and_a_new_start_removes_it() {
        let folder = tempfile::tempdir().unwrap();
        let pipeline = Pipeline::new(Some(format!("{}/", folder.path().display())));
        for ending in [Ending::Success, Ending::Failure, Ending::Aborted] {
            pipeline.start().unwrap();
            pipeline.finish(ending).unwrap();
            assert_eq!(names(folder.path()), [ending.file_name()]);
        }
    }

    #[test]
    fn an_abort_file_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let pipeline = Pipeline::new(Some(format!("{}/", folder.path().display())));
        assert!(!pipeline.abort_requested());
        std::fs::write(folder.path().join("RELION_JOB_ABORT_NOW"), b"").unwrap();
        assert!(pipeline.abort_requested());
    }

    #[test]
    fn without_a_prefix_nothing_is_touched() {
        let pipeline = Pipeline::default();
        assert!(!pipeline.abort_requested());
        assert_eq!(pipeline.finish(Ending::Success), Ok(()));
    }

    #[test]
    fn a_missing_folder_is_named() {
        let pipeline = Pipeline::new(Some("/nonexistent/job001/".into()));
        let message = pipeline.finish(Ending::Failure).unwrap_err();
        assert!(
            message.text.contains("/nonexistent/job001/RELION_JOB_EXIT"),
            "{message}"
        );
        assert_eq!(pipeline.start().unwrap_err(), message);
    }
}
