//! Folder and files that belong to one user alone: on a disk that is shared, others may have put something under their
//! names.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Returns the folder of this user inside `parent`, made if it is not there.
///
/// # Errors
/// It cannot be made, or what has its name is no folder, belongs to somebody else, or is open to others.
pub(super) fn folder(parent: &Path) -> io::Result<PathBuf> {
    let user = user();
    let folder = parent.join(format!("gerelion_scratch_{user}"));
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // Of the name itself, not of what a link points to.
    let found = fs::symlink_metadata(&folder)?;
    let trouble = if !found.is_dir() {
        "is no folder".to_owned()
    } else if found.uid() != user {
        format!(
            "belongs to user {}, but copies of user {user} are private",
            found.uid()
        )
    } else if found.mode() & 0o077 != 0 {
        format!(
            "is open to other users (mode {:o}), who may have put files there; remove it, or chmod 700 after a look at it",
            found.mode() & 0o777
        )
    } else {
        return Ok(folder);
    };
    Err(io::Error::other(format!("{} {trouble}", folder.display())))
}

/// Opens a private file to read and write it; it is made if it is not there. What has its name but is not private, such as
/// a link to another file, is removed first.
pub(super) fn open(path: &Path) -> io::Result<File> {
    if fs::symlink_metadata(path).is_ok_and(|found| !is_private(&found)) {
        fs::remove_file(path)?;
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)?;
    if !is_private(&file.metadata()?) {
        let text = format!("{} is not a private file of this user", path.display());
        return Err(io::Error::other(text));
    }
    Ok(file)
}

/// Whether `path` is a private file of this many bytes.
pub(super) fn is_whole(path: &Path, length: u64) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| is_private(&found) && found.len() == length)
}

/// Removes a file or link if there is one.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A plain file with one name that this user alone may read and write.
fn is_private(found: &Metadata) -> bool {
    found.is_file() && found.uid() == user() && found.mode() & 0o077 == 0 && found.nlink() == 1
}

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    #[test]
    fn the_folder_and_its_files_are_closed_to_others() {
        let parent = tempfile::tempdir().unwrap();
        let made = folder(parent.path()).unwrap();
        assert_eq!(fs::metadata(&made).unwrap().mode() & 0o777, 0o700);
        let file = open(&made.join("a")).unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(folder(parent.path()).unwrap(), made, "used again");
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let made = folder(parent.path()).unwrap();
        fs::set_permissions(&made, fs::Permissions::from_mode(0o777)).unwrap();
        let error = folder(parent.path()).unwrap_err().to_string();
        assert!(error.contains("open to other users (mode 777)"), "{error}");
    }

    #[test]
    fn a_link_in_place_of_the_folder_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let name = folder(parent.path()).unwrap();
        fs::remove_dir(&name).unwrap();
        symlink(elsewhere.path(), &name).unwrap();
        let error = folder(parent.path()).unwrap_err().to_string();
        assert!(error.contains("is no folder"), "{error}");
    }

    #[test]
    fn the_folder_of_somebody_else_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let made = folder(parent.path()).unwrap();
        // Only root can give files away.
        if chown(&made, Some(user() + 1), None).is_ok() {
            let error = folder(parent.path()).unwrap_err().to_string();
            assert!(error.contains("belongs to user"), "{error}");
        } else {
            assert_ne!(user(), 0);
        }
    }

    #[test]
    fn a_planted_link_is_replaced_and_its_target_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let victim = parent.path().join("thesis.tex");
        fs::write(&victim, b"years of work").unwrap();
        let name = parent.path().join("a.part");
        symlink(&victim, &name).unwrap();
        open(&name).unwrap().set_len(0).unwrap();
        assert!(is_whole(&name, 0));
        fs::remove_file(&name).unwrap();
        fs::hard_link(&victim, &name).unwrap();
        open(&name).unwrap().set_len(0).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"years of work");
    }
}
