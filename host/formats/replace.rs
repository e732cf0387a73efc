//! Files that are whole or not there: written under a temporary name, brought to the disk, and renamed.

use crate::errors::{Code, Message, shell_word};
use crate::formats::mrc::header::is_stack;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Refuses an output whose folder is not there, or that is one of the inputs, by name or by a link of either kind, before a
/// program begins its work.
///
/// # Errors
/// There is no such folder; the output is one of the inputs, or is there and no file: the message names it.
pub fn check_output(inputs: &[&Path], output: &Path) -> Result<(), Message> {
    let folder = output
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(Code::OUTPUT_FOLDER.says(format!(
            "the output folder {} of {} does not exist; make it first: mkdir -p {}",
            folder.display(),
            output.display(),
            shell_word(folder)
        )));
    }
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

/// As [`check_output`] for an output that is a map: its name is not that of a stack or a table, and no file of another kind is
/// there.
///
/// # Errors
/// As [`check_output`] and [`check_kind`], or the name is that of another kind of file.
pub fn check_map_output(inputs: &[&Path], output: &Path) -> Result<(), Message> {
    check_output(inputs, output)?;
    let extension = output.extension().and_then(|end| end.to_str());
    if let Some(kind) = OF_OTHER_KINDS
        .iter()
        .find_map(|(end, kind)| (extension == Some(*end)).then_some(kind))
    {
        return Err(Code::BAD_VALUE
            .says(format!(
                "the output is a map, and this name is that of {kind}, as which programs would read it; let it end with .mrc"
            ))
            .about(output.display()));
    }
    check_place(output, Content::Map)
}

/// As [`check_kind`], as the message of a program that has not begun its work.
///
/// # Errors
/// There is a file of another kind.
pub fn check_place(output: &Path, content: Content) -> Result<(), Message> {
    check_kind(output, content).map_err(|error| {
        let message = Code::CANNOT_WRITE.says(error.to_string());
        message.about(output.display())
    })
}

/// Endings of names that no map has.
const OF_OTHER_KINDS: [(&str, &str); 3] = [
    ("mrcs", "an image stack"),
    ("star", "a table"),
    ("pdf", "a document"),
];

/// Whether a folder is one in which the kernel shows devices and processes, not a disk; memory under /dev/shm may be used.
pub fn is_of_the_kernel(folder: &Path) -> bool {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let within = |name: &str| folder.starts_with(name);
    (within("/dev") && !within("/dev/shm")) || within("/proc") || within("/sys")
}

/// Content of a file that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A text, or a table of particles.
    Text,
    /// A table of something else.
    Table,
    /// A page, which begins with a tag.
    Page,
    /// A map.
    Map,
    /// A stack of images.
    Images,
}

/// Bytes from the begin of a file that tell its kind: the labels of its tables are among them.
const BEGIN: u64 = 1 << 16;

/// Whether the beginning of a text is that of a STAR file with particles.
fn names_images(begin: &[u8]) -> bool {
    const LABEL: &[u8] = b"_rlnImageName";
    begin
        .split(|byte| *byte == b'\n')
        .any(|line| line.trim_ascii_start().starts_with(LABEL))
}

/// Refuses to put a file in the place of one of another kind, such as a table in the place of the images that it names. An
/// empty file, or one of zeros that a full disk has left, is no loss.
///
/// # Errors
/// There is a file of another kind.
pub fn check_kind(path: &Path, content: Content) -> io::Result<()> {
    only_files(path)?;
    let mut begin = Vec::new();
    let begun = File::open(path).and_then(|file| file.take(BEGIN).read_to_end(&mut begin));
    // A file that is not there, or that may not be read: writing tells the rest.
    if begun.is_err() || begin.iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    let is_text = !begin.contains(&0);
    let (fits, there) = match content {
        Content::Table if is_text && names_images(&begin) => (false, "particle table"),
        Content::Text | Content::Table => (is_text, "file of binary data"),
        Content::Page => (begin.starts_with(b"<"), "file that is no page"),
        Content::Map if !is_text && is_stack(path, &begin) => (false, "stack of images"),
        Content::Map | Content::Images => (!is_text, "file of text"),
    };
    match fits {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "there is a {there} of this name, which would be lost; give another name, or remove it"
        ))),
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
    fn a_file_of_another_kind_stays() {
        use Content::{Images, Map, Page, Table, Text};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for (there, fits) in [
            (&b"data_general\n"[..], &[Text, Table][..]),
            (b"data_particles\nloop_\n _rlnImageName #1\n", &[Text]),
            (b"<!DOCTYPE html>", &[Text, Table, Page]),
            (b"\x20\0\0\0\x20\0\0\0", &[Map, Images]),
            (b"", &[Text, Table, Page, Map, Images]),
            (b"\0\0\0\0", &[Text, Table, Page, Map, Images]),
        ] {
            fs::write(&path, there).unwrap();
            for content in [Text, Table, Page, Map, Images] {
                let may = check_kind(&path, content).is_ok();
                assert_eq!(may, fits.contains(&content), "{there:?} {content:?}");
            }
        }
        fs::remove_file(&path).unwrap();
        assert!(check_kind(&path, Text).is_ok());
    }

    #[test]
    fn a_map_has_the_name_of_a_map() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| check_map_output(&[], &folder.path().join(name));
        for name in ["a.mrcs", "a.star"] {
            assert_eq!(at(name).unwrap_err().code, Code::BAD_VALUE, "{name}");
        }
        for name in ["a.mrc", "a.map", "a"] {
            at(name).unwrap();
        }
        fs::write(folder.path().join("a.mrc"), "a text").unwrap();
        assert_eq!(at("a.mrc").unwrap_err().code, Code::CANNOT_WRITE);
    }

    #[test]
    fn devices_are_no_disk() {
        for (folder, is_kernels) in [
            ("/dev", true),
            ("/dev/../dev/pts", true),
            ("/proc/self", true),
            ("/dev/shm", false),
            ("/tmp", false),
            ("development", false),
        ] {
            assert_eq!(is_of_the_kernel(Path::new(folder)), is_kernels, "{folder}");
        }
    }

    /// A file that cannot be brought to the disk, as a pipe cannot, does not get its name.
    #[test]
    fn what_is_not_on_the_disk_has_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.star");
        fs::write(&path, b"first").unwrap();
        fs::write(temporary_name(&path), b"second").unwrap();
        let (_reader, writer) = io::pipe().unwrap();
        let unsynced = File::from(std::os::fd::OwnedFd::from(writer));
        assert!(finish(&unsynced, &path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"first");
        let refused = check_output(&[], &folder.path().join("b/a.star")).unwrap_err();
        assert_eq!(refused.code, Code::OUTPUT_FOLDER);
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
