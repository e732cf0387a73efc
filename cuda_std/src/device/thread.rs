//! Thread and block indices, and the barrier.

use core::arch::nvptx as arch;

macro_rules! index {
    ($(#[$doc:meta])* $name:ident = $intrinsic:ident) => {
        $(#[$doc])*
        #[inline(always)]
        pub fn $name() -> u32 {
            // SAFETY: reading a special register has no preconditions.
            unsafe { arch::$intrinsic() }
        }
    };
}

index!(/// Index of the thread in its block, x.
    thread_idx_x = _thread_idx_x);
index!(/// Index of the thread in its block, y.
    thread_idx_y = _thread_idx_y);
index!(/// Index of the thread in its block, z.
    thread_idx_z = _thread_idx_z);
index!(/// Index of the block in the grid, x.
    block_idx_x = _block_idx_x);
index!(/// Index of the block in the grid, y (at most 65 534).
    block_idx_y = _block_idx_y);
index!(/// Index of the block in the grid, z (at most 65 534).
    block_idx_z = _block_idx_z);
index!(/// Threads of a block, x.
    block_dim_x = _block_dim_x);
index!(/// Threads of a block, y.
    block_dim_y = _block_dim_y);
index!(/// Threads of a block, z.
    block_dim_z = _block_dim_z);
index!(/// Blocks of the grid, x.
    grid_dim_x = _grid_dim_x);
index!(/// Blocks of the grid, y.
    grid_dim_y = _grid_dim_y);
index!(/// Blocks of the grid, z.
    grid_dim_z = _grid_dim_z);

/// Index of the thread in a one-dimensional grid.
#[inline(always)]
pub fn index_1d() -> usize {
    block_idx_x() as usize * block_dim_x() as usize + thread_idx_x() as usize
}

/// Threads of a one-dimensional grid: the stride of a grid-stride loop.
#[inline(always)]
pub fn grid_size_1d() -> usize {
    grid_dim_x() as usize * block_dim_x() as usize
}

/// Asks the assembler for at most `N` registers per thread, so that as many threads as possible run at a time. The builder of
/// the module writes the limit into the header of the kernel, which is where it has an effect.
#[inline(always)]
pub fn limit_registers<const N: u32>() {
    // SAFETY: a comment.
    unsafe {
        core::arch::asm!("// registers at most {}", const N, options(nomem, nostack, preserves_flags))
    }
}

/// Waits until all threads of the block are here; their earlier writes to shared and global memory are visible after.
///
/// Every thread of the block must reach the same barrier.
#[inline(always)]
pub fn sync_threads() {
    // SAFETY: the intrinsic is convergent and orders memory, so the compiler keeps it where it stands.
    unsafe { arch::_syncthreads() }
}
