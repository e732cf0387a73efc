//! Copies of image stacks on a fast local disk (`--scratch_dir`).
//!
//! A copy is the file byte for byte, under a name made of the path, size and time of its source, so that a changed source
//! is never taken for the old one. A copy that was changed since it was made is made again. Copies lie in a folder that the user alone can look into. Copying that was interrupted
//! goes on where it stopped. Jobs may share the folder: a stack is copied by one of them while others wait, and the last
//! one to leave, however it ends, removes the copies that nobody wants kept.

mod copying;
mod private;
mod seal;

use super::DatasetError;
use crate::errors::Code;
use crate::formats::replace;
use copying::{Copying, free_space, is_full, part, state_of, synced, with_suffix};
use sha2::{Digest, Sha256};
use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

/// Characters of the name of a stack that end the name of its copy.
const NAME: usize = 100;
/// How often a lock that another job holds is tried.
const RETRY: Duration = Duration::from_millis(200);

/// Limits on copying: space to leave free, and whether only existing copies are used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScratchRule {
    /// Bytes to leave free on the disk.
    pub keep_free: u64,
    /// Use copies that are there, and make none.
    pub only_reuse: bool,
    /// Compare some blocks of copies that are there with those of their sources.
    pub compare: bool,
}

/// Next step of the copy, reported before it is done; the receiver may stop the work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step<'a> {
    /// A part of a stack is copied.
    Part,
    /// Another job holds a lock, and waiting for it begins. With the lock's file and what is known of its holder.
    WaitingFor(&'a Path, &'a str),
    /// It still holds the lock.
    Waiting,
    /// A copy that is there is not as it was made, and is not used.
    Changed(&'a Path),
}

/// Is told of steps.
pub type Steps<'a, E> = dyn FnMut(Step) -> Result<(), E> + 'a;

/// The copies that this process uses, until it is dropped.
#[derive(Debug)]
pub struct Scratch(Arc<Held>);

/// The folder as this process holds it.
#[derive(Debug)]
struct Held {
    folder: PathBuf,
    /// Copies stay at the end.
    keep: bool,
    using: Mutex<Using>,
}

#[derive(Debug)]
struct Using {
    /// Locked, shared with all users, as long as this process uses copies. None: it has left.
    users: Option<File>,
    copies: Vec<PathBuf>,
}

/// Folders that this process holds, for when it ends in a hurry.
static HELD: Mutex<Vec<Weak<Held>>> = Mutex::new(Vec::new());

/// Leaves all folders because the process ends now, without the main thread.
pub fn leave_before_exit() {
    for held in lock(&HELD).iter().filter_map(Weak::upgrade) {
        // Nothing can be done any more about copies that cannot be removed.
        let _ = held.leave();
    }
}

impl Scratch {
    /// Uses copies in `folder`, which must exist. With `keep` they stay at the end.
    pub fn open<E: From<DatasetError>>(
        folder: &Path,
        keep: bool,
        steps: &mut Steps<E>,
    ) -> Result<Self, E> {
        let error = |e: io::Error| -> E {
            DatasetError::from(Code::SCRATCH.says(format!(
                "--scratch_dir {}: {e}; give an existing folder on a local disk of every machine that you may write to",
                folder.display()
            )))
            .into()
        };
        if !folder.is_dir() {
            return Err(error(io::Error::other("there is no such folder")));
        }
        if replace::is_of_the_kernel(folder) {
            return Err(error(io::Error::other(
                "the kernel shows devices and processes there, which is no disk",
            )));
        }
        let folder = private::folder(folder).map_err(error)?;
        let path = folder.join("users.lock");
        let users = private::open(&path).map_err(error)?;
        wait_for(&path, steps, error, || users.try_lock_shared())?;
        let held = Arc::new(Held {
            folder,
            keep,
            using: Mutex::new(Using {
                users: Some(users),
                copies: Vec::new(),
            }),
        });
        lock(&HELD).push(Arc::downgrade(&held));
        Ok(Self(held))
    }

    /// Returns the copy of `source`, made now unless the rule is to make none. None: there is no copy, by the rule or for
    /// lack of space.
    pub fn copy_of<E: From<DatasetError>>(
        &mut self,
        source: &Path,
        rule: &ScratchRule,
        steps: &mut Steps<E>,
    ) -> Result<Option<PathBuf>, E> {
        let failed = |e: io::Error| -> E {
            DatasetError::from(Code::SCRATCH.says(format!(
                "copying {} to {}: {e}; free or leave out --scratch_dir",
                source.display(),
                self.0.folder.display()
            )))
            .into()
        };
        let metadata = fs::metadata(source).map_err(failed)?;
        let name = copy_name(source, &metadata).map_err(failed)?;
        let copy = self.0.folder.join(name);
        if !is_good(source, &copy, metadata.len(), rule, steps)? {
            if rule.only_reuse || !self.make(source, &metadata, &copy, rule, steps, failed)? {
                return Ok(None);
            }
        } else if !self.0.keep {
            private::open(&unwanted(&copy)).map_err(failed)?;
        }
        lock(&self.0.using).copies.push(copy.clone());
        Ok(Some(copy))
    }

    /// Makes a copy, or waits until another job has made it. False: there is no room for it.
    fn make<E>(
        &self,
        source: &Path,
        metadata: &Metadata,
        copy: &Path,
        rule: &ScratchRule,
        steps: &mut Steps<E>,
        failed: impl Fn(io::Error) -> E + Copy,
    ) -> Result<bool, E> {
        let lock_path = with_suffix(copy, ".lock");
        let mut made_by_one = private::open(&lock_path).map_err(failed)?;
        wait_for(&lock_path, steps, failed, || made_by_one.try_lock())?;
        // Said to those who wait. It is of no other use.
        let _ = write!(made_by_one, "process {}", std::process::id());
        if !self.0.keep {
            private::open(&unwanted(copy)).map_err(failed)?;
        }
        // Told before.
        let mut silent = |_: Step| -> Result<(), E> { Ok(()) };
        if !is_good(source, copy, metadata.len(), rule, &mut silent)? {
            private::remove(&seal::path(copy)).map_err(failed)?;
            private::remove(copy).map_err(failed)?;
            let mut from = File::open(source).map_err(failed)?;
            let mut copying = Copying::begin(&mut from, metadata.len(), copy).map_err(failed)?;
            while copying.next() > 0 {
                if let Err(stop) = steps(Step::Part) {
                    copying.sync().map_err(failed)?;
                    return Err(stop);
                }
                let free = free_space(&self.0.folder).map_err(failed)?;
                let written = match free < rule.keep_free.saturating_add(copying.next()) {
                    true => Err(io::ErrorKind::StorageFull.into()),
                    false => copying.step(),
                };
                match written {
                    Err(error) if is_full(&error) => {
                        copying.give_up().map_err(failed)?;
                        return Ok(false);
                    }
                    result => result.map_err(failed)?,
                }
            }
            if state_of(&fs::metadata(source).map_err(failed)?) != state_of(metadata) {
                copying.give_up().map_err(failed)?;
                return Err(failed(io::Error::other("the file changed meanwhile")));
            }
            self.0.name(copying, copy).map_err(failed)?;
        }
        private::remove(&lock_path).map_err(failed)?;
        Ok(true)
    }

    /// Leaves the folder. Copies that nobody wants to keep are removed by the last job that leaves.
    pub fn leave(self) -> io::Result<()> {
        self.0.leave()
    }
}

impl Drop for Scratch {
    /// The run ends with an error, which is what matters.
    fn drop(&mut self) {
        let _ = self.0.leave();
    }
}

impl Held {
    /// Gives a copy its name, unless the process is ending.
    fn name(&self, copying: Copying, copy: &Path) -> io::Result<()> {
        let using = lock(&self.using);
        if using.users.is_none() {
            return Err(io::Error::other("the program is ending"));
        }
        copying.finish(copy)?;
        seal::put_on(copy)
    }

    fn leave(&self) -> io::Result<()> {
        let mut using = lock(&self.using);
        let Some(users) = using.users.take() else {
            return Ok(());
        };
        if self.keep {
            for copy in &using.copies {
                private::remove(&unwanted(copy))?;
            }
        }
        users.unlock()?;
        if users.try_lock().is_err() {
            return Ok(());
        }
        for entry in fs::read_dir(&self.folder)? {
            let mark = entry?.path();
            if mark.extension().is_some_and(|end| end == "unwanted") {
                let copy = mark.with_extension("");
                let lock = with_suffix(&copy, ".lock");
                for file in [part(&copy), synced(&copy), seal::path(&copy), lock] {
                    private::remove(&file)?;
                }
                private::remove(&copy)?;
                private::remove(&mark)?;
            }
        }
        Ok(())
    }
}

/// Whether a copy of a source of `length` bytes is there as it was made; tells when it is not.
fn is_good<E>(
    source: &Path,
    copy: &Path,
    length: u64,
    rule: &ScratchRule,
    steps: &mut Steps<E>,
) -> Result<bool, E> {
    // One without a seal is being made, or was when its job was killed.
    if !private::is_whole(copy, length) || !seal::path(copy).exists() {
        return Ok(false);
    }
    // What cannot be read cannot be used.
    let is_like = || !rule.compare || seal::is_like(copy, source).unwrap_or(false);
    if seal::holds(copy) && is_like() {
        return Ok(true);
    }
    steps(Step::Changed(copy))?;
    Ok(false)
}

/// Name of the mark of a copy that shall not stay.
fn unwanted(copy: &Path) -> PathBuf {
    with_suffix(copy, ".unwanted")
}

/// A thread that panicked leaves lists that are still valid.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for a lock, which another job may hold.
fn wait_for<E>(
    path: &Path,
    steps: &mut Steps<E>,
    failed: impl Fn(io::Error) -> E,
    attempt: impl Fn() -> Result<(), TryLockError>,
) -> Result<(), E> {
    let mut told = false;
    loop {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) if told => steps(Step::Waiting)?,
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Unknown when it cannot be read.
                let _ = File::open(path).and_then(|mut file| file.read_to_string(&mut holder));
                steps(Step::WaitingFor(path, holder.trim()))?;
                told = true;
            }
        }
        thread::sleep(RETRY);
    }
}

/// Name of the copy of a file: the end of its own after a number that stands for path, size and time.
fn copy_name(source: &Path, metadata: &Metadata) -> io::Result<String> {
    let path = fs::canonicalize(source)?;
    let (length, time) = state_of(metadata);
    let mut key = Sha256::new();
    key.update(path.as_os_str().as_bytes());
    key.update(format!("\n{length}\n{time}"));
    let number: String = key.finalize()[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let end: Vec<char> = name.chars().rev().take(NAME).collect();
    let end: String = end.into_iter().rev().collect();
    Ok(format!("{number}_{end}"))
}

#[cfg(test)]
mod tests;
