//! Ranks that are threads of one process, for tests of what several ranks do together.

use super::Communicator;
use std::collections::VecDeque;
use std::sync::{Arc, Barrier, Mutex};

/// Notes that wait for a rank, with their senders.
type Notes = VecDeque<(usize, Vec<u8>)>;

/// What the threads share.
struct Shared {
    barrier: Barrier,
    /// What each rank brought to the collective under way.
    board: Mutex<Vec<Vec<u8>>>,
    notes: Mutex<Vec<Notes>>,
}

/// One of several threads that act as ranks.
pub struct ThreadRank {
    rank: usize,
    size: usize,
    shared: Arc<Shared>,
}

/// Run `work` on `size` ranks at the same time; their results in rank order.
pub fn on_ranks<T: Send>(size: usize, work: impl Fn(ThreadRank) -> T + Sync) -> Vec<T> {
    let shared = Arc::new(Shared {
        barrier: Barrier::new(size),
        board: Mutex::new(vec![Vec::new(); size]),
        notes: Mutex::new(vec![VecDeque::new(); size]),
    });
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..size)
            .map(|rank| {
                let shared = shared.clone();
                let work = &work;
                scope.spawn(move || work(ThreadRank { rank, size, shared }))
            })
            .collect();
        handles.into_iter().map(|h| h.join().unwrap()).collect()
    })
}

impl ThreadRank {
    fn sum_of<T: bytemuck::Pod + std::ops::AddAssign>(&self, values: &mut [T]) {
        let all = self.gather(bytemuck::cast_slice(values));
        for (rank, bytes) in all.iter().enumerate() {
            let theirs: Vec<T> = bytemuck::allocation::pod_collect_to_vec(bytes);
            for (mine, theirs) in values.iter_mut().zip(theirs) {
                if rank == 0 {
                    *mine = theirs;
                } else {
                    *mine += theirs;
                }
            }
        }
    }
}

impl Communicator for ThreadRank {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn sum(&self, values: &mut [f64]) {
        self.sum_of(values);
    }

    fn sum_single(&self, values: &mut [f32]) {
        self.sum_of(values);
    }

    fn broadcast(&self, root: usize, bytes: &mut [u8]) {
        let all = self.gather(bytes);
        bytes.copy_from_slice(&all[root]);
    }

    fn gather(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.shared.board.lock().unwrap()[self.rank] = bytes.to_vec();
        self.shared.barrier.wait();
        let all = self.shared.board.lock().unwrap().clone();
        self.shared.barrier.wait();
        all
    }

    fn post(&self, to: usize, note: &[u8]) {
        self.shared.notes.lock().unwrap()[to].push_back((self.rank, note.to_vec()));
    }

    fn take_note(&self) -> Option<(usize, Vec<u8>)> {
        self.shared.notes.lock().unwrap()[self.rank].pop_front()
    }

    fn abort(&self, status: i32) -> ! {
        panic!("rank {} aborts with status {status}", self.rank)
    }
}
