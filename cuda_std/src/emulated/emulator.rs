//! Running a kernel on the host, one coroutine for each thread of a block; blocks run in turn.
//!
//! A thread runs until it has to wait for others at a [`Gate`], then the next one goes on. Everything happens on the calling
//! thread of the operating system, so changing from one emulated thread to another takes nanoseconds, and a launch does
//! the same every time.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, Yielder};

use super::gate::Gate;

/// Words a lane can show to its warp at once.
const SLOTS: usize = 16;
/// Content of shared memory at the start of a block: a NaN, so that reading what nobody wrote is seen.
const POISON: u32 = 0x7fc0_dead;
/// Bytes of the stack of an emulated thread; what is not touched takes no memory.
const STACK: usize = 256 << 10;

/// State that the threads of a block share.
pub(super) struct Block {
    pub(super) shared: Vec<AtomicU32>,
    pub(super) barrier: Gate,
    warps: Vec<Warp>,
}

struct Warp {
    gate: Gate,
    slots: Vec<AtomicU32>,
}

impl Block {
    fn new(threads: u32, shared: usize) -> Self {
        Self {
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
        }
    }
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
    pub(super) team: Rc<Block>,
}

thread_local! {
    /// The emulated thread that is running; null between launches.
    static CONTEXT: Cell<*const Context> = const { Cell::new(std::ptr::null()) };
    /// Hands over to the other threads of the block; null where there are none.
    static YIELDER: Cell<*const Yielder<(), ()>> = const { Cell::new(std::ptr::null()) };
}

/// Calls `f` with the context of the running thread.
pub(super) fn here<R>(f: impl FnOnce(&Context) -> R) -> R {
    let context = CONTEXT.get();
    assert!(
        !context.is_null(),
        "device functions run inside emulator::launch"
    );
    // SAFETY: a launch keeps the contexts of its threads until it has taken this pointer back.
    f(unsafe { &*context })
}

/// Yields to the other threads of the block.
pub(super) fn let_others_run() {
    let yielder = YIELDER.get();
    assert!(
        !yielder.is_null(),
        "a thread waits for others, but is alone"
    );
    // SAFETY: it belongs to the running coroutine, which is suspended inside this call only.
    unsafe { (*yielder).suspend(()) };
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

/// Takes the context of the running thread back at the end of a launch, also when the kernel panics.
struct Running;

impl Drop for Running {
    fn drop(&mut self) {
        CONTEXT.set(std::ptr::null());
        YIELDER.set(std::ptr::null());
    }
}

/// Runs `kernel` for every thread of every block. `shared` is in bytes. Blocks are multiples of 32 threads.
///
/// # Panics
/// When a thread panics, or when threads wait for others that never come.
pub fn launch(grid: [u32; 3], block: [u32; 3], shared: usize, kernel: impl Fn()) {
    let threads = block.iter().product::<u32>();
    assert!(
        threads > 0 && threads % 32 == 0,
        "a block is a multiple of 32 threads"
    );
    let mut stacks: Vec<DefaultStack> = (0..threads)
        .map(|_| DefaultStack::new(STACK).expect("memory for the stack of a thread"))
        .collect();
    let _running = Running;
    for index in 0..grid.iter().product::<u32>() {
        let team = Rc::new(Block::new(threads, shared));
        let contexts: Vec<Context> = (0..threads)
            .map(|rank| Context {
                thread: [
                    rank % block[0],
                    rank / block[0] % block[1],
                    rank / (block[0] * block[1]),
                ],
                block: [
                    index % grid[0],
                    index / grid[0] % grid[1],
                    index / (grid[0] * grid[1]),
                ],
                block_dim: block,
                grid_dim: grid,
                rank,
                team: team.clone(),
            })
            .collect();
        run_block(&contexts, &mut stacks, &kernel);
    }
}

/// Runs the threads of one block in turn until all have returned.
fn run_block(contexts: &[Context], stacks: &mut [DefaultStack], kernel: &impl Fn()) {
    let mut threads: Vec<_> = contexts
        .iter()
        .zip(stacks)
        .map(|(context, stack)| {
            let run = move |yielder: &Yielder<(), ()>, ()| {
                YIELDER.set(yielder);
                let _of_block = Leaving(&context.team.barrier);
                let _of_warp = Leaving(&context.team.warps[context.rank as usize / 32].gate);
                kernel();
                std::ptr::from_ref(yielder)
            };
            // SAFETY: what the closure borrows outlives the coroutines, which end or are unwound in this function.
            let coroutine = unsafe { Coroutine::with_stack_unchecked(stack, run) };
            (context, coroutine, std::ptr::null::<Yielder<(), ()>>())
        })
        .collect();
    while threads.iter().any(|(_, coroutine, _)| !coroutine.done()) {
        let before = progress(contexts);
        let mut returned = false;
        for (context, coroutine, yielder) in &mut threads {
            if coroutine.done() {
                continue;
            }
            CONTEXT.set(*context);
            YIELDER.set(*yielder);
            coroutine.resume(());
            // The first time it is the coroutine that makes it known.
            *yielder = YIELDER.get();
            returned |= coroutine.done();
        }
        assert!(
            returned || progress(contexts) != before,
            "threads of a block wait for others that never come"
        );
    }
}

/// How often the gates of a block have opened.
fn progress(contexts: &[Context]) -> u64 {
    let team = &contexts[0].team;
    let of_warps = team.warps.iter().map(|w| w.gate.openings()).sum::<u64>();
    team.barrier.openings() + of_warps
}

/// Runs a kernel whose threads do not wait for each other, one thread after the other: much faster than [`launch`].
///
/// # Panics
/// When the kernel uses shared memory; a barrier or shuffle would not do what it should.
pub fn launch_apart(grid: [u32; 3], block: [u32; 3], kernel: impl Fn()) {
    let threads = block.iter().product::<u32>();
    let mut context = Context {
        thread: [0; 3],
        block: [0; 3],
        block_dim: block,
        grid_dim: grid,
        rank: 0,
        team: Rc::new(Block {
            shared: Vec::new(),
            barrier: Gate::new(1),
            warps: Vec::new(),
        }),
    };
    let _running = Running;
    for index in 0..grid.iter().product::<u32>() {
        for rank in 0..threads {
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
            CONTEXT.set(&context);
            kernel();
        }
    }
}

/// A pointer to an array of the host, as kernels take it.
#[derive(Debug, Clone, Copy)]
pub struct DevicePointer<T>(*mut T);

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

    /// A kernel that would hang on a device is found out.
    #[test]
    #[should_panic(expected = "wait for others that never come")]
    fn threads_that_wait_for_nobody_are_noticed() {
        launch([1, 1, 1], [64, 1, 1], 0, || {
            // Half of the block waits for the block, the other half for its warp, of which one thread is at the barrier.
            if thread::thread_idx_x() < 33 {
                thread::sync_threads();
            } else {
                warp::sync_warp();
            }
        });
    }

    #[test]
    #[should_panic(expected = "thread 40")]
    fn a_panic_of_a_thread_is_that_of_the_launch() {
        launch([1, 1, 1], [64, 1, 1], 0, || {
            assert!(thread::thread_idx_x() != 40, "thread 40");
            thread::sync_threads();
        });
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
