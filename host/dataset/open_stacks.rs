//! Image stacks that are kept open while images are read from them.

use crate::comm::open_files;
use crate::formats::mrc::{MrcError, StackReader};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

/// Most stacks kept open at a time: well below the usual limit of 1024 open files of a process.
const MOST_OPEN: usize = 256;
/// Where fewer files may be open, stacks have this part of them.
const SHARE_OF_OPEN: u64 = 4;

/// Returns how many stacks may be kept open at a time.
fn most_open() -> usize {
    MOST_OPEN.min((open_files::limit() / SHARE_OF_OPEN) as usize)
}

/// The stacks that are open now; the one unused for longest is closed first.
#[derive(Debug, Default)]
pub(super) struct OpenStacks(Mutex<Readers>);

#[derive(Debug, Default)]
struct Readers {
    /// By number of the stack, with the time of the last use.
    of_stack: HashMap<usize, (u64, Arc<StackReader>)>,
    clock: u64,
}

impl OpenStacks {
    /// Returns the reader of stack number `stack` of `paths`, opened where it is not yet.
    pub(super) fn reader(
        &self,
        paths: &[PathBuf],
        stack: usize,
    ) -> Result<Arc<StackReader>, MrcError> {
        let mut open = self.lock();
        open.clock += 1;
        let now = open.clock;
        if let Some((used, reader)) = open.of_stack.get_mut(&stack) {
            *used = now;
            return Ok(reader.clone());
        }
        let reader = Arc::new(StackReader::open_partial(&paths[stack])?);
        if open.of_stack.len() >= most_open() {
            let oldest = open
                .of_stack
                .iter()
                .min_by_key(|(_, (used, _))| *used)
                .map(|(&stack, _)| stack);
            oldest.map(|stack| open.of_stack.remove(&stack));
        }
        open.of_stack.insert(stack, (now, reader.clone()));
        Ok(reader)
    }

    /// A thread that panicked while holding the lock leaves a map that is still valid.
    fn lock(&self) -> MutexGuard<'_, Readers> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::mrc::{StackMode, StackWriter};

    #[test]
    fn the_stack_unused_for_longest_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mrcs");
        let mut stack = StackWriter::create(&path, 2, 1, 1.0, StackMode::Float32).unwrap();
        stack.push(&[1.0; 4]).unwrap();
        stack.finish().unwrap();
        let paths = vec![path; most_open() + 2];
        let open = OpenStacks::default();
        (0..most_open()).for_each(|stack| drop(open.reader(&paths, stack).unwrap()));
        open.reader(&paths, 0).unwrap();
        open.reader(&paths, most_open()).unwrap();
        let readers = open.lock();
        assert_eq!(readers.of_stack.len(), most_open());
        assert!(readers.of_stack.contains_key(&0) && !readers.of_stack.contains_key(&1));
    }
}
