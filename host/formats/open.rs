//! Opening of files that are read.

use crate::errors::{Code, Message};
use std::fs::{self, File};
use std::path::Path;

/// Opens a file to read it; `what` it should be ("the map") is for messages.
///
/// # Errors
/// There is no such file, it may not be read, or it is a folder, a pipe or a device. A pipe would be waited for without end.
pub fn open_to_read(path: &Path, what: &str) -> Result<File, Message> {
    let unopened = |e| Message::unopened(what, &e);
    // Looked at before it is opened: opening a pipe waits for a writer.
    let metadata = fs::metadata(path).map_err(unopened)?;
    if metadata.is_dir() {
        return Err(Code::FILE_UNREADABLE
            .says(format!("{what} is a folder, not a file; name a file in it")));
    }
    if !metadata.is_file() {
        return Err(Code::FILE_UNREADABLE.says(format!(
            "{what} is a pipe or device, not a file; files may be read more than once and in any order, so copy it to a file"
        )));
    }
    File::open(path).map_err(unopened)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_alone_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.mrc");
        fs::write(&file, b"map").unwrap();
        assert!(open_to_read(&file, "the map").is_ok());
        let refused = |path: &Path| open_to_read(path, "the map").unwrap_err().text;
        assert!(refused(folder.path()).starts_with("the map is a folder"));
        assert!(refused(Path::new("/dev/null")).starts_with("the map is a pipe or device"));
        let missing = refused(&folder.path().join("none.mrc"));
        assert!(missing.starts_with("cannot open the map: there is no such file"));
    }
}
