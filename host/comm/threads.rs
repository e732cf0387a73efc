//! Ranks that are threads of one process, for tests of what several ranks do together.

use super::Communicator;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Barrier, Mutex};

/// Notes that wait for a rank, with their senders.
type Notes = VecDeque<(usize, Vec<u8>)>;

/// State that the threads share.
struct Shared {
    /// A barrier for each list of ranks that have met.
    barriers: Mutex<HashMap<Vec<usize>, Arc<Barrier>>>,
    /// Contribution of each rank to the current collective.
    board: Mutex<Vec<Vec<u8>>>,
    notes: Mutex<Vec<Notes>>,
}

/// One of several threads that act as ranks.
pub(super) struct ThreadRank {
    rank: usize,
    size: usize,
    shared: Arc<Shared>,
}

/// Run `work` on `size` ranks at the same time; their results in rank order.
pub(super) fn on_ranks<T: Send>(size: usize, work: impl Fn(ThreadRank) -> T + Sync) -> Vec<T> {
    let shared = Arc::new(Shared {
        barriers: Mutex::default(),
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
    /// Returns the contribution of each of `members`.
    fn exchange(&self, members: &[usize], bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut barriers = self.shared.barriers.lock().unwrap();
        let barrier = barriers.entry(members.to_vec());
        let barrier = barrier
            .or_insert_with(|| Arc::new(Barrier::new(members.len())))
            .clone();
        drop(barriers);
        self.shared.board.lock().unwrap()[self.rank] = bytes.to_vec();
        barrier.wait();
        let board = self.shared.board.lock().unwrap();
        let all = members.iter().map(|&rank| board[rank].clone()).collect();
        drop(board);
        barrier.wait();
        all
    }

    fn all(&self) -> Vec<usize> {
        (0..self.size).collect()
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
        self.sum_among(&self.all(), values);
    }

    fn sum_among(&self, members: &[usize], values: &mut [f64]) {
        let all = self.exchange(members, bytemuck::cast_slice(values));
        values.fill(0.0);
        for bytes in all {
            let theirs: Vec<f64> = bytemuck::allocation::pod_collect_to_vec(&bytes);
            values.iter_mut().zip(theirs).for_each(|(a, b)| *a += b);
        }
    }

    fn broadcast(&self, root: usize, bytes: &mut [u8]) {
        let all = self.gather(bytes);
        bytes.copy_from_slice(&all[root]);
    }

    fn gather(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.exchange(&self.all(), bytes)
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
