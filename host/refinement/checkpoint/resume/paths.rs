//! Finding the files that a STAR file names (spec 03 §5): RELION records paths relative to the project folder.

use crate::errors::Code;
use crate::refinement::checkpoint::resume::ResumeError;
use std::path::{Path, PathBuf};

/// The file recorded as `recorded` in `owner`: relative to the current folder, or else in `owner`'s own folder. The latter
/// adds a notice; nothing in either place is an error. Of an image in a stack (`number@stack`) the stack is looked for.
pub(super) fn locate(
    recorded: &str,
    owner: &Path,
    what: &str,
    notices: &mut Vec<String>,
) -> Result<PathBuf, ResumeError> {
    if let Some((number, stack)) = recorded.split_once('@')
        && number.bytes().all(|b| b.is_ascii_digit())
    {
        let found = locate(stack, owner, what, notices)?;
        return Ok(PathBuf::from(format!("{number}@{}", found.display())));
    }
    let direct = PathBuf::from(recorded);
    if direct.is_file() {
        return Ok(direct);
    }
    let beside = beside(&direct, owner);
    match &beside {
        Some(path) if path.is_file() => {
            let notice = format!(
                "{}: the {what} recorded as {recorded} is not there; using {} instead",
                owner.display(),
                path.display()
            );
            // All images of a stack are looked for, one after the other.
            if !notices.contains(&notice) {
                notices.push(notice);
            }
            Ok(path.clone())
        }
        _ => {
            let nor = match beside.filter(|path| *path != direct) {
                Some(path) => format!(", nor is {}", path.display()),
                None => String::new(),
            };
            let text = format!(
                "{}: the {what} {recorded} that it names is not there{nor} (names are relative to the current folder). Start the \
                 program in the folder in which the run was started, or put the file back.",
                owner.display(),
            );
            Err(Code::RUN_FILE_MISSING.says(text).into())
        }
    }
}

/// Like [`locate`] for a file that may not be needed: the recorded path is kept when nothing is found.
pub(super) fn locate_or_keep(
    recorded: PathBuf,
    owner: &Path,
    notices: &mut Vec<String>,
) -> PathBuf {
    locate(&recorded.to_string_lossy(), owner, "file", notices).unwrap_or(recorded)
}

/// The file of the same name in the folder of `owner`.
fn beside(recorded: &Path, owner: &Path) -> Option<PathBuf> {
    Some(owner.parent()?.join(recorded.file_name()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_at_its_recorded_place_needs_no_notice() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run_it001_data.star");
        std::fs::write(&file, "").unwrap();
        let mut notices = Vec::new();
        let owner = Path::new("elsewhere/run_it001_optimiser.star");
        let found = locate(file.to_str().unwrap(), owner, "data file", &mut notices).unwrap();
        assert_eq!(found, file);
        assert!(notices.is_empty());
    }

    #[test]
    fn a_moved_run_is_found_beside_its_optimiser_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run_it001_data.star");
        std::fs::write(&file, "").unwrap();
        let owner = folder.path().join("run_it001_optimiser.star");
        let mut notices = Vec::new();
        let recorded = "Refine3D/job001/run_it001_data.star";
        let found = locate(recorded, &owner, "data file", &mut notices).unwrap();
        assert_eq!(found, file);
        assert!(notices[0].contains(recorded), "{notices:?}");
    }

    #[test]
    fn the_stack_of_an_image_is_looked_for_and_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run_it001_classes.mrcs");
        std::fs::write(&file, "").unwrap();
        let owner = folder.path().join("run_it001_model.star");
        let mut notices = Vec::new();
        for number in ["00000001", "00000002"] {
            let recorded = format!("{number}@Class2D/job001/run_it001_classes.mrcs");
            let found = locate(&recorded, &owner, "class average", &mut notices).unwrap();
            assert_eq!(found, PathBuf::from(format!("{number}@{}", file.display())));
        }
        assert_eq!(notices.len(), 1);
    }

    #[test]
    fn a_missing_file_is_named_with_both_places() {
        let folder = tempfile::tempdir().unwrap();
        let owner = folder.path().join("run_it001_optimiser.star");
        let error = locate("job/x_model.star", &owner, "model", &mut Vec::new()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("job/x_model.star"), "{text}");
        assert!(text.contains(folder.path().join("x_model.star").to_str().unwrap()));
    }
}
