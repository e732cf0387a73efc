//! Copies of image stacks on a fast local disk (`--scratch_dir`).
//!
//! A copy is the file byte for byte, under a name made of the path, size and time of its source, so that a changed source
//! is never taken for the old one. Copying that was interrupted goes on where it stopped. Jobs may share the folder: a
//! stack is copied by one of them while others wait, and the last one to leave removes the copies that nobody wants kept.

use super::DatasetError;
use crate::errors::Code;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Folder that the copies are kept in, inside the user's.
const FOLDER: &str = "gerelion_scratch";
/// Bytes copied between two looks at the free space.
const CHUNK: usize = 32 << 20;

/// What to copy and what to spare.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScratchRule {
    /// Bytes to leave free on the disk.
    pub keep_free: u64,
    /// Use copies that are there, and make none.
    pub only_reuse: bool,
}

/// The copies that this process uses.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    /// Locked, shared with all users, as long as this process uses copies.
    users: File,
    copies: Vec<PathBuf>,
}

impl Scratch {
    /// Use copies in `folder`, which must exist.
    pub fn open(folder: &Path) -> Result<Self, DatasetError> {
        let error = |e: io::Error| {
            Code::SCRATCH.says(format!(
                "--scratch_dir {}: {e}; give an existing folder on a local disk of every machine that you may write to",
                folder.display()
            ))
        };
        if !folder.is_dir() {
            return Err(error(io::Error::other("there is no such folder")).into());
        }
        let folder = folder.join(FOLDER);
        fs::create_dir_all(&folder).map_err(error)?;
        let users = open_or_create(&folder.join("users.lock")).map_err(error)?;
        users.lock_shared().map_err(error)?;
        Ok(Self {
            folder,
            users,
            copies: Vec::new(),
        })
    }

    /// The copy of `source`, made now unless the rule is to make none. None: there is no copy, by the rule or for lack of
    /// space. `step` is called between parts and may stop the work.
    pub fn copy_of<E: From<DatasetError>>(
        &mut self,
        source: &Path,
        rule: &ScratchRule,
        step: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<Option<PathBuf>, E> {
        let failed = |e: io::Error| -> E {
            DatasetError::from(Code::SCRATCH.says(format!(
                "copying {} to {}: {e}; free or leave out --scratch_dir",
                source.display(),
                self.folder.display()
            )))
            .into()
        };
        let metadata = fs::metadata(source).map_err(failed)?;
        let copy = self
            .folder
            .join(copy_name(source, &metadata).map_err(failed)?);
        if !copy.exists() {
            if rule.only_reuse {
                return Ok(None);
            }
            let part = with_suffix(&copy, ".part");
            let mut file = open_or_create(&part).map_err(failed)?;
            // Another job may be copying the same stack: wait for it.
            file.lock().map_err(failed)?;
            if !copy.exists() {
                let begin = file.metadata().map_err(failed)?.len();
                let mut from = File::open(source).map_err(failed)?;
                let begin = if begin > metadata.len() { 0 } else { begin };
                file.set_len(begin).map_err(failed)?;
                from.seek(SeekFrom::Start(begin)).map_err(failed)?;
                file.seek(SeekFrom::End(0)).map_err(failed)?;
                let mut buffer = vec![0; CHUNK];
                let mut left = metadata.len() - begin;
                while left > 0 {
                    step()?;
                    let length = left.min(CHUNK as u64) as usize;
                    if free_space(&self.folder).map_err(failed)? < rule.keep_free + length as u64 {
                        drop(file);
                        fs::remove_file(&part).map_err(failed)?;
                        return Ok(None);
                    }
                    from.read_exact(&mut buffer[..length]).map_err(failed)?;
                    file.write_all(&buffer[..length]).map_err(failed)?;
                    left -= length as u64;
                }
                file.sync_all().map_err(failed)?;
                let now = fs::metadata(source).map_err(failed)?;
                if (now.len(), time(&now)) != (metadata.len(), time(&metadata)) {
                    return Err(failed(io::Error::other("the file changed meanwhile")));
                }
                fs::rename(&part, &copy).map_err(failed)?;
            } else {
                // The other job has renamed its part; ours was new and empty, if there was one.
                let _ = fs::remove_file(&part);
            }
        }
        self.copies.push(copy.clone());
        Ok(Some(copy))
    }

    /// Leave the folder. Copies that nobody wants to keep are removed by the last job that leaves.
    pub fn leave(self, keep: bool) -> io::Result<()> {
        for copy in &self.copies {
            let mark = with_suffix(copy, ".unwanted");
            if keep {
                if mark.exists() {
                    fs::remove_file(mark)?;
                }
            } else {
                open_or_create(&mark)?;
            }
        }
        self.users.unlock()?;
        if self.users.try_lock().is_err() {
            return Ok(());
        }
        for entry in fs::read_dir(&self.folder)? {
            let mark = entry?.path();
            let name = mark.to_string_lossy().into_owned();
            if let Some(copy) = name.strip_suffix(".unwanted") {
                if Path::new(copy).exists() {
                    fs::remove_file(copy)?;
                }
                fs::remove_file(mark)?;
            }
        }
        Ok(())
    }
}

fn open_or_create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Nanoseconds.
fn time(metadata: &Metadata) -> i128 {
    i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec())
}

/// Name of the copy of a file: its own after a number that stands for path, size and time.
fn copy_name(source: &Path, metadata: &Metadata) -> io::Result<String> {
    let path = fs::canonicalize(source)?;
    let key = format!("{}\n{}\n{}", path.display(), metadata.len(), time(metadata));
    // FNV-1a.
    let number = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(format!("{number:016x}_{name}"))
}

/// Bytes that a user may still write on the disk of `folder`.
fn free_space(folder: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(found.f_bavail * found.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: ScratchRule = ScratchRule {
        keep_free: 0,
        only_reuse: false,
    };
    const REUSE: ScratchRule = ScratchRule {
        only_reuse: true,
        ..ALL
    };

    fn go_on() -> Result<(), DatasetError> {
        Ok(())
    }

    /// A folder with a stack of `bytes`.
    fn source(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mrcs");
        fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    fn files(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder.join(FOLDER))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "users.lock")
            .collect();
        names.sort();
        names
    }

    #[test]
    fn copies_are_found_again_until_their_source_changes() {
        let (folder, path) = source(b"images");
        let mut scratch = Scratch::open(folder.path()).unwrap();
        let none = scratch.copy_of(&path, &REUSE, &mut go_on).unwrap();
        assert_eq!(none, None, "nothing to reuse yet");
        let copy = scratch.copy_of(&path, &ALL, &mut go_on).unwrap().unwrap();
        assert_eq!(fs::read(&copy).unwrap(), b"images");
        let found = scratch.copy_of(&path, &REUSE, &mut go_on).unwrap();
        assert_eq!(found, Some(copy.clone()));
        fs::write(&path, b"others").unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        let new = scratch.copy_of(&path, &ALL, &mut go_on).unwrap().unwrap();
        assert_ne!(new, copy);
        assert_eq!(fs::read(new).unwrap(), b"others");
        scratch.leave(false).unwrap();
        assert!(files(folder.path()).is_empty());
    }

    #[test]
    fn interrupted_copying_goes_on_where_it_stopped() {
        let bytes: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
        let (folder, path) = source(&bytes);
        let stop = || Err(DatasetError::from(Code::OTHER_RANK.says("stopped")));
        let mut scratch = Scratch::open(folder.path()).unwrap();
        scratch.copy_of(&path, &ALL, &mut { stop }).unwrap_err();
        let part = files(folder.path()).remove(0);
        assert!(part.ends_with(".part"));
        // What an interruption left, wrongly filled, so that the test can see that it was not copied again.
        fs::write(folder.path().join(FOLDER).join(part), vec![7; 1000]).unwrap();
        let copy = scratch.copy_of(&path, &ALL, &mut go_on).unwrap().unwrap();
        let found = fs::read(copy).unwrap();
        assert_eq!(found[..1000], vec![7; 1000]);
        assert_eq!(found[1000..], bytes[1000..]);
    }

    #[test]
    fn a_disk_that_is_full_is_left_alone() {
        let (folder, path) = source(b"images");
        let greedy = ScratchRule {
            keep_free: u64::MAX / 2,
            ..ALL
        };
        let mut scratch = Scratch::open(folder.path()).unwrap();
        let none = scratch.copy_of(&path, &greedy, &mut go_on).unwrap();
        assert_eq!(none, None);
        assert!(files(folder.path()).is_empty());
        let missing = Scratch::open(&folder.path().join("none")).unwrap_err();
        assert!(missing.to_string().contains("--scratch_dir"), "{missing}");
    }

    #[test]
    fn jobs_share_copies_and_the_last_one_removes_them() {
        let (folder, path) = source(b"images");
        let mut one = Scratch::open(folder.path()).unwrap();
        let mut two = Scratch::open(folder.path()).unwrap();
        std::thread::scope(|scope| {
            for scratch in [&mut one, &mut two] {
                let path = &path;
                scope.spawn(move || scratch.copy_of(path, &ALL, &mut go_on).unwrap().unwrap());
            }
        });
        assert_eq!(files(folder.path()).len(), 1, "one copy for both");
        one.leave(false).unwrap();
        let copy = two.copy_of(&path, &REUSE, &mut go_on).unwrap().unwrap();
        assert!(copy.exists(), "the other job still uses it");
        two.leave(false).unwrap();
        assert!(!copy.exists());
        // With --keep_scratch it stays, whatever a job before wanted.
        let mut three = Scratch::open(folder.path()).unwrap();
        let copy = three.copy_of(&path, &ALL, &mut go_on).unwrap().unwrap();
        three.leave(true).unwrap();
        assert!(copy.exists());
    }
}
