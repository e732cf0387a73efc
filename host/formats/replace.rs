//! Files that are whole or not there: written under a temporary name, brought to the disk, and renamed.

use crate::errors::{Code, Message};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Refuses an output that is one of the inputs, by name or by a link of either kind, before a program begins its work.
///
/// # Errors
/// The output is one of the inputs, or is there and no file: the message names it.
pub fn check_output(inputs: &[&Path], output: &Path) -> Result<(), Message> {
    // A file that is not there yet, or that may not be looked at: writing tells the rest.
    let Ok(there) = output.metadata() else {
        return Ok(());
    };
    if let Err(error) = only_files(output) {
        return Err(Code::CANNOT_WRITE.says(format!("{}: {error}", output.display())));
    }
    let is_there = |input: &&&Path| {
        let input = input.metadata();
        input.is_ok_and(|input| (input.dev(), input.ino()) == (there.dev(), there.ino()))
    };
    match inputs.iter().find(is_there) {
        None => Ok(()),
        Some(_) => {
            let text = "this file is read by the program and would be lost if its output took its place; give the output another name";
            Err(Code::BAD_VALUE.says(text).about(output.display()))
        }
    }
}

/// Refuses to put a file in the place of a device, a pipe or a folder: `/dev/null` would be gone for all programs.
fn only_files(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(there) if !there.is_file() => Err(io::Error::other(
            "there is a folder, pipe or device of this name, which a file cannot replace; give another name",
        )),
        _ => Ok(()),
    }
}

/// Returns the name under which this process writes a file before it is complete. Another process that writes the same
/// file has another.
pub fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    name.into()
}

/// Writes `path` through a temporary file beside it, so that a kill or a power cut never leaves half a file under a good
/// name: the content is on the disk before the file gets its name.
///
/// # Errors
/// The file cannot be written, or its name is that of a folder, pipe or device; nothing is left of the attempt.
pub fn replace_file(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    only_files(path)?;
    let temporary = temporary_name(path);
    let attempt = || {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&temporary)?);
        write(&mut out)?;
        out.flush()?;
        finish(&out.into_inner()?, path)
    };
    attempt().inspect_err(|_| {
        // What is left of a failed attempt is of no use; that it cannot be removed changes nothing.
        let _ = fs::remove_file(&temporary);
    })
}

/// Brings a file that was written under its [`temporary_name`] to the disk and gives it its own.
pub fn finish(file: &File, path: &Path) -> io::Result<()> {
    only_files(path)?;
    file.sync_all()?;
    fs::rename(temporary_name(path), path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.star");
        replace_file(&path, |out| out.write_all(b"first")).unwrap();
        let failed = replace_file(&path, |out| {
            out.write_all(b"half of the sec")?;
            Err(io::Error::other("disk full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "disk full");
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no leftovers"
        );
    }

    #[test]
    fn devices_and_folders_stay() {
        let folder = tempfile::tempdir().unwrap();
        for path in [Path::new("/dev/null"), folder.path()] {
            let failed = replace_file(path, |out| out.write_all(b"map")).unwrap_err();
            assert!(failed.to_string().contains("cannot replace"), "{failed}");
            assert!(!temporary_name(path).exists());
        }
    }

    #[test]
    fn inputs_are_no_outputs() {
        let folder = tempfile::tempdir().unwrap();
        let [input, hard, soft, other] =
            ["in.mrc", "hard.mrc", "soft.mrc", "out.mrc"].map(|name| folder.path().join(name));
        fs::write(&input, b"map").unwrap();
        fs::hard_link(&input, &hard).unwrap();
        std::os::unix::fs::symlink("in.mrc", &soft).unwrap();
        for output in [&input, &hard, &soft] {
            let refused = check_output(&[&other, &input], output).unwrap_err();
            assert_eq!(refused.code, Code::BAD_VALUE);
        }
        check_output(&[&input], &other).unwrap();
    }
}
