//! Copying of a file in parts, which can be interrupted.

use super::private;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes copied between two looks at the free space.
const CHUNK: usize = 32 << 20;
/// Bytes written between two moments at which they are known to be on the disk.
const BETWEEN_SYNCS: u64 = 256 << 20;

/// A copy in the making.
pub(super) struct Copying<'a> {
    from: &'a mut File,
    length: u64,
    /// Images copied so far.
    part: File,
    part_path: PathBuf,
    /// Holds the number of bytes of the part that are on the disk for certain. After a power failure the part itself may
    /// be longer, with zeros at its end.
    synced: PathBuf,
    done: u64,
    synced_at: u64,
    buffer: Vec<u8>,
}

impl<'a> Copying<'a> {
    /// Begins to copy a file of `length` bytes, or goes on where an earlier attempt is known to have come.
    pub(super) fn begin(from: &'a mut File, length: u64, copy: &Path) -> io::Result<Self> {
        let (part_path, synced) = (part(copy), synced(copy));
        let mut part = private::open(&part_path)?;
        let mut text = String::new();
        // An unreadable note is worth nothing.
        let _ = private::open(&synced)?.read_to_string(&mut text);
        let done = text.trim().parse().unwrap_or(0);
        let done = match done <= part.metadata()?.len() && done <= length {
            true => done,
            false => 0,
        };
        part.set_len(done)?;
        part.seek(SeekFrom::Start(done))?;
        from.seek(SeekFrom::Start(done))?;
        Ok(Self {
            from,
            length,
            part,
            part_path,
            synced,
            done,
            synced_at: done,
            buffer: vec![0; CHUNK.min(length.max(1) as usize)],
        })
    }

    /// Bytes that the next step writes; 0 when all are there.
    pub(super) fn next(&self) -> u64 {
        (self.length - self.done).min(CHUNK as u64)
    }

    /// Copies the next bytes.
    pub(super) fn step(&mut self) -> io::Result<()> {
        let bytes = &mut self.buffer[..(self.length - self.done).min(CHUNK as u64) as usize];
        self.from.read_exact(bytes)?;
        self.part.write_all(bytes)?;
        self.done += bytes.len() as u64;
        if self.done - self.synced_at >= BETWEEN_SYNCS {
            self.sync()?;
        }
        Ok(())
    }

    /// Makes sure that what was copied is on the disk, and notes how much it is.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.part.sync_all()?;
        let mut note = private::open(&self.synced)?;
        note.set_len(0)?;
        write!(note, "{}", self.done)?;
        note.sync_data()?;
        self.synced_at = self.done;
        Ok(())
    }

    /// Gives the whole copy its name.
    pub(super) fn finish(self, copy: &Path) -> io::Result<()> {
        self.part.sync_all()?;
        fs::rename(&self.part_path, copy)?;
        private::remove(&self.synced)
    }

    /// Removes what was copied.
    pub(super) fn give_up(self) -> io::Result<()> {
        private::remove(&self.part_path)?;
        private::remove(&self.synced)
    }
}

/// Name of an unfinished copy.
pub(super) fn part(copy: &Path) -> PathBuf {
    with_suffix(copy, ".part")
}

/// Name of the note beside an unfinished copy.
pub(super) fn synced(copy: &Path) -> PathBuf {
    with_suffix(copy, ".synced")
}

/// `path` with something after it.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Length and time of the last change, nanoseconds: what tells two states of a file apart.
pub(super) fn state_of(metadata: &Metadata) -> (u64, i128) {
    let time = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    (metadata.len(), time)
}

/// No room was left on the disk.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Bytes that a user may still write on the disk of `folder`.
pub(super) fn free_space(folder: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(found.f_bavail * found.f_frsize)
}
