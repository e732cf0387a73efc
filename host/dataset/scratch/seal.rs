//! The mark that tells a copy as it was made from one that something else has been written to since: a seal beside it, and some blocks of
//! its source.

use super::copying::with_suffix;
use super::private;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Blocks that are compared with the source, spread evenly from the first to the last byte: enough for a stack of zeros or of other
/// images, and little to read where there are thousands of stacks.
const BLOCKS: u64 = 8;
/// Bytes of each.
const BLOCK: u64 = 4096;

/// Notes the state of a copy that has just been made.
pub(super) fn put_on(copy: &Path) -> io::Result<()> {
    let state = state(copy)?;
    let mut seal = private::open(&path(copy))?;
    seal.set_len(0)?;
    write!(seal, "{state}")
}

/// Whether a copy is as it was made. What is written to it changes its time of change, which no program can set back.
pub(super) fn holds(copy: &Path) -> bool {
    let noted = fs::read_to_string(path(copy));
    noted.is_ok_and(|noted| state(copy).is_ok_and(|state| state == noted))
}

/// Whether some blocks of a copy are those of its source: a disk may lose what no program has changed.
pub(super) fn is_like(copy: &Path, source: &Path) -> io::Result<bool> {
    let (copy, source) = (File::open(copy)?, File::open(source)?);
    let last = copy.metadata()?.len().saturating_sub(BLOCK);
    let length = copy.metadata()?.len().min(BLOCK) as usize;
    let (mut a, mut b) = (vec![0; length], vec![0; length]);
    for block in 0..BLOCKS {
        let at = last * block / (BLOCKS - 1);
        copy.read_exact_at(&mut a, at)?;
        source.read_exact_at(&mut b, at)?;
        if a != b {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Name of the seal of a copy.
pub(super) fn path(copy: &Path) -> PathBuf {
    with_suffix(copy, ".seal")
}

/// The file that it is, its length, and the times of its content and of its last change.
fn state(copy: &Path) -> io::Result<String> {
    let found = fs::symlink_metadata(copy)?;
    Ok(format!(
        "{} {} {}.{:09} {}.{:09}",
        found.ino(),
        found.len(),
        found.mtime(),
        found.mtime_nsec(),
        found.ctime(),
        found.ctime_nsec()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A changed copy is not taken, though its length and time of modification are those of the one that was made.
    #[test]
    fn a_seal_holds_until_the_copy_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("a.mrcs");
        fs::write(&copy, b"images").unwrap();
        assert!(!holds(&copy), "none is there");
        put_on(&copy).unwrap();
        assert!(holds(&copy));
        let time = fs::metadata(&copy).unwrap().modified().unwrap();
        // The clock of a file system may tick in steps of some milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(&copy, b"others").unwrap();
        let file = File::options().write(true).open(&copy).unwrap();
        file.set_modified(time).unwrap();
        assert!(!holds(&copy));
    }

    #[test]
    fn blocks_from_the_first_to_the_last_byte_are_compared() {
        let folder = tempfile::tempdir().unwrap();
        let [copy, source] = ["copy", "source"].map(|name| folder.path().join(name));
        for length in [0, 100, 5000, 100_000] {
            let bytes = vec![7u8; length];
            fs::write(&source, &bytes).unwrap();
            fs::write(&copy, &bytes).unwrap();
            assert!(is_like(&copy, &source).unwrap(), "{length}");
            for at in [0, length.saturating_sub(1)]
                .into_iter()
                .filter(|at| *at < length)
            {
                let mut other = bytes.clone();
                other[at] = 0;
                fs::write(&copy, other).unwrap();
                assert!(!is_like(&copy, &source).unwrap(), "{length}: {at}");
            }
        }
    }
}
