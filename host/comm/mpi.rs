//! Ranks over MPI.

use super::Communicator;
use crate::errors::{Code, Coded};
use mpi::collective::SystemOperation;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{
    Communicator as _, CommunicatorCollectives as _, Destination as _, Group as _,
    MatchedReceiveVec as _, Root as _, Source as _,
};
use mpi::{Rank, Tag, Threading};

/// Values a collective moves at a time: MPI counts with 32 bits, and what is summed needs a second buffer.
const CHUNK: usize = 1 << 22;
/// Tag of notes.
const NOTE: Tag = 77;

/// MPI cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MpiError {
    /// Started twice.
    #[error("MPI was started before in this process")]
    Started,
    /// The watch thread needs calls from two threads.
    #[error(
        "this MPI library lets only one thread call it ({0:?}), but two are needed: one computes, one watches over the other \
         ranks. Use a build of Open MPI or MPICH with support for MPI_THREAD_MULTIPLE (the default of both)"
    )]
    Threads(Threading),
}

impl Coded for MpiError {
    fn code(&self) -> Code {
        match self {
            Self::Started => Code::INTERNAL,
            Self::Threads(_) => Code::MPI,
        }
    }
}

/// All processes that mpirun or srun started.
pub struct MpiRanks {
    /// Ends MPI when dropped.
    _universe: Universe,
    rank: usize,
    size: usize,
}

impl MpiRanks {
    /// Join the other processes.
    ///
    /// # Errors
    /// MPI was started before, or does not allow several threads.
    pub fn start() -> Result<Self, MpiError> {
        let (universe, threading) =
            mpi::initialize_with_threading(Threading::Multiple).ok_or(MpiError::Started)?;
        if threading != Threading::Multiple {
            return Err(MpiError::Threads(threading));
        }
        let world = universe.world();
        Ok(Self {
            rank: world.rank() as usize,
            size: world.size() as usize,
            _universe: universe,
        })
    }
}

fn sum_over(ranks: &SimpleCommunicator, values: &mut [f64]) {
    let mut sum = vec![0.0; values.len().min(CHUNK)];
    for part in values.chunks_mut(CHUNK) {
        let sum = &mut sum[..part.len()];
        ranks.all_reduce_into(&part[..], sum, SystemOperation::sum());
        part.copy_from_slice(sum);
    }
}

impl Communicator for MpiRanks {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn sum(&self, values: &mut [f64]) {
        sum_over(&SimpleCommunicator::world(), values);
    }

    fn sum_among(&self, members: &[usize], values: &mut [f64]) {
        let world = SimpleCommunicator::world();
        let members: Vec<Rank> = members.iter().map(|&rank| rank as Rank).collect();
        let group = world.group().include(&members);
        let ranks = world.split_by_subgroup(&group);
        sum_over(&ranks.expect("called by members alone"), values);
    }

    fn broadcast(&self, root: usize, bytes: &mut [u8]) {
        let world = SimpleCommunicator::world();
        let root = world.process_at_rank(root as Rank);
        for part in bytes.chunks_mut(8 * CHUNK) {
            root.broadcast_into(part);
        }
    }

    fn gather(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut lengths = vec![0u64; self.size];
        SimpleCommunicator::world().all_gather_into(&(bytes.len() as u64), &mut lengths[..]);
        (0..self.size)
            .map(|root| {
                let mut part = if root == self.rank {
                    bytes.to_vec()
                } else {
                    vec![0; lengths[root] as usize]
                };
                self.broadcast(root, &mut part);
                part
            })
            .collect()
    }

    fn post(&self, to: usize, note: &[u8]) {
        let world = SimpleCommunicator::world();
        world.process_at_rank(to as Rank).send_with_tag(note, NOTE);
    }

    fn take_note(&self) -> Option<(usize, Vec<u8>)> {
        let world = SimpleCommunicator::world();
        let found = world.any_process().immediate_matched_probe_with_tag(NOTE)?;
        let (note, status) = found.matched_receive_vec::<u8>();
        Some((status.source_rank() as usize, note))
    }

    fn abort(&self, status: i32) -> ! {
        SimpleCommunicator::world().abort(status)
    }
}
