//! Running a kernel on the host, one thread of the operating system for each thread of a block; blocks run in turn.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::gate::Gate;

/// Words a lane can show to its warp at once.
const SLOTS: usize = 16;
/// What shared memory holds at the start of a block: a NaN, so that reading what nobody wrote is seen.
const POISON: u32 = 0x7fc0_dead;

/// What the threads of a block have in common.
pub(super) struct Block {
    pub(super) shared: Vec<AtomicU32>,
    pub(super) barrier: Gate,
    warps: Vec<Warp>,
}

struct Warp {
    gate: Gate,
    slots: Vec<AtomicU32>,
}

/// Where an emulated thread is.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) thread: [u32; 3],
    pub(super) block: [u32; 3],
    pub(super) block_dim: [u32; 3],
    pub(super) grid_dim: [u32; 3],
    /// Index of the thread within the block.
    pub(super) rank: u32,
    pub(super) team: Arc<Block>,
}

thread_local! {
    static CONTEXT: RefCell<Option<Context>> = const { RefCell::new(None) };
}

/// Calls `f` with the context of the running thread.
pub(super) fn here<R>(f: impl FnOnce(&Context) -> R) -> R {
    CONTEXT.with_borrow(|c| {
        f(c.as_ref()
            .expect("device functions run inside emulator::launch"))
    })
}

/// Shows `words` to the other lanes of the warp; `read` sees `(lane, word)` of all of them.
pub(super) fn exchange<R>(words: &[u32], read: impl FnOnce(&dyn Fn(u32, usize) -> u32) -> R) -> R {
    here(|context| {
        let warp = &context.team.warps[context.rank as usize / 32];
        let lane = context.rank as usize % 32;
        for (k, word) in words.iter().enumerate() {
            warp.slots[lane * SLOTS + k].store(*word, Ordering::SeqCst);
        }
        warp.gate.wait();
        let result = read(&|lane, k| warp.slots[lane as usize * SLOTS + k].load(Ordering::SeqCst));
        // Nobody may write its next words before all have read these.
        warp.gate.wait();
        result
    })
}

/// Tells the others that a thread is gone, also when it panics.
struct Leaving<'a>(&'a Gate);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// Runs `kernel` for every thread of every block. `shared` is in bytes. Blocks are multiples of 32 threads.
///
/// # Panics
/// When a thread panics.
pub fn launch(grid: [u32; 3], block: [u32; 3], shared: usize, kernel: impl Fn() + Sync) {
    let threads = block.iter().product::<u32>();
    assert!(
        threads > 0 && threads % 32 == 0,
        "a block is a multiple of 32 threads"
    );
    let team = Arc::new(Block {
        shared: (0..shared.div_ceil(4))
            .map(|_| AtomicU32::new(POISON))
            .collect(),
        barrier: Gate::new(threads as usize),
        warps: (0..threads / 32)
            .map(|_| Warp {
                gate: Gate::new(32),
                slots: (0..32 * SLOTS).map(|_| AtomicU32::new(0)).collect(),
            })
            .collect(),
    });
    let between_blocks = Gate::new(threads as usize);
    std::thread::scope(|scope| {
        for rank in 0..threads {
            let (team, between_blocks, kernel) = (team.clone(), &between_blocks, &kernel);
            let thread = [
                rank % block[0],
                rank / block[0] % block[1],
                rank / (block[0] * block[1]),
            ];
            scope.spawn(move || {
                let _leaving = Leaving(between_blocks);
                for index in 0..grid.iter().product::<u32>() {
                    if rank == 0 {
                        team.barrier.reset(threads as usize);
                        team.warps.iter().for_each(|w| w.gate.reset(32));
                        team.shared
                            .iter()
                            .for_each(|w| w.store(POISON, Ordering::SeqCst));
                    }
                    between_blocks.wait();
                    CONTEXT.set(Some(Context {
                        thread,
                        block: [
                            index % grid[0],
                            index / grid[0] % grid[1],
                            index / (grid[0] * grid[1]),
                        ],
                        block_dim: block,
                        grid_dim: grid,
                        rank,
                        team: team.clone(),
                    }));
                    {
                        let _of_block = Leaving(&team.barrier);
                        let _of_warp = Leaving(&team.warps[rank as usize / 32].gate);
                        kernel();
                    }
                    between_blocks.wait();
                }
            });
        }
    });
}

/// Runs a kernel whose threads do not wait for each other, one thread after the other: much faster than [`launch`].
///
/// # Panics
/// When the kernel uses shared memory; a barrier or shuffle would not do what it should.
pub fn launch_apart(grid: [u32; 3], block: [u32; 3], kernel: impl Fn()) {
    let threads = block.iter().product::<u32>();
    let team = Arc::new(Block {
        shared: Vec::new(),
        barrier: Gate::new(1),
        warps: Vec::new(),
    });
    CONTEXT.set(Some(Context {
        thread: [0; 3],
        block: [0; 3],
        block_dim: block,
        grid_dim: grid,
        rank: 0,
        team,
    }));
    for index in 0..grid.iter().product::<u32>() {
        for rank in 0..threads {
            CONTEXT.with_borrow_mut(|c| {
                let context = c.as_mut().expect("set above");
                context.rank = rank;
                context.thread = [
                    rank % block[0],
                    rank / block[0] % block[1],
                    rank / (block[0] * block[1]),
                ];
                context.block = [
                    index % grid[0],
                    index / grid[0] % grid[1],
                    index / (grid[0] * grid[1]),
                ];
            });
            kernel();
        }
    }
    CONTEXT.set(None);
}

/// A pointer that may go to the emulated threads.
#[derive(Debug, Clone, Copy)]
pub struct DevicePointer<T>(*mut T);

// SAFETY: the kernel under test is responsible for its accesses, as on the device.
unsafe impl<T> Send for DevicePointer<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for DevicePointer<T> {}

impl<T> DevicePointer<T> {
    /// Of an array the kernel reads and writes.
    pub fn of(array: &mut [T]) -> Self {
        Self(array.as_mut_ptr())
    }

    /// The pointer.
    pub fn get(self) -> *mut T {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    /// Sum of a block by shuffles and shared memory: barriers, lanes and indices must all be right.
    #[test]
    fn a_block_reduction_runs_as_on_the_device() {
        let mut input: Vec<f32> = (0..3 * 96).map(|i| i as f32).collect();
        let mut output = vec![0.0f32; 3];
        let (input_p, output_p) = (
            DevicePointer::of(&mut input),
            DevicePointer::of(&mut output),
        );
        launch([3, 1, 1], [96, 1, 1], 3 * 4, || {
            // SAFETY: the arrays have one element a thread and one a block; shared memory one word a warp.
            unsafe {
                let sum = warp::sum(*input_p.get().add(thread::index_1d()));
                let words = shared::Shared::dynamic(0);
                if warp::lane_id() == 0 {
                    words.store(thread::thread_idx_x() / 32, sum);
                }
                thread::sync_threads();
                if thread::thread_idx_x() == 0 {
                    let total = words.load(0) + words.load(1) + words.load(2);
                    *output_p.get().add(thread::block_idx_x() as usize) = total;
                }
            }
        });
        let expected: Vec<f32> = input.chunks(96).map(|c| c.iter().sum()).collect();
        assert_eq!(output, expected);
    }

    #[test]
    fn a_warp_product_equals_the_plain_one() {
        let a: Vec<f32> = (0..16 * 8).map(|i| (i % 11) as f32 - 5.0).collect();
        let b: Vec<f32> = (0..8 * 8).map(|i| (i % 7) as f32 - 3.0).collect();
        let mut d = vec![0.0f32; 16 * 8];
        let out = DevicePointer::of(&mut d);
        launch([1, 1, 1], [32, 1, 1], 0, || {
            let (g, t) = (warp::lane_id() as usize / 4, warp::lane_id() as usize % 4);
            let at = |row: usize, k: usize| mma::to_tf32(a[row * 8 + k]);
            let of_a = [at(g, t), at(g + 8, t), at(g, t + 4), at(g + 8, t + 4)];
            let of_b = [mma::to_tf32(b[t * 8 + g]), mma::to_tf32(b[(t + 4) * 8 + g])];
            let result = mma::m16n8k8_tf32(of_a, of_b, [1.0; 4]);
            for (i, value) in result.into_iter().enumerate() {
                let row = if i < 2 { g } else { g + 8 };
                // SAFETY: row < 16 and column < 8.
                unsafe { *out.get().add(row * 8 + 2 * t + i % 2) = value };
            }
        });
        for row in 0..16 {
            for column in 0..8 {
                let exact: f32 = (0..8).map(|k| a[row * 8 + k] * b[k * 8 + column]).sum();
                assert_eq!(d[row * 8 + column], exact + 1.0);
            }
        }
    }

    #[test]
    fn threads_that_return_early_do_not_block_the_others() {
        let mut count = vec![0u32];
        let counter = DevicePointer::of(&mut count);
        launch([2, 1, 1], [64, 1, 1], 0, || {
            if thread::thread_idx_x() >= 32 {
                return;
            }
            thread::sync_threads();
            // SAFETY: one counter.
            unsafe { atomic::fetch_add_u32(counter.get(), 1) };
        });
        assert_eq!(count[0], 64);
    }
}
