//! Thread and block indices, and the barrier.

use super::emulator::here;

macro_rules! index {
    ($(#[$doc:meta])* $name:ident = $field:ident, $axis:literal) => {
        $(#[$doc])*
        pub fn $name() -> u32 {
            here(|c| c.$field[$axis])
        }
    };
}

index!(/// Index of the thread in its block, x.
    thread_idx_x = thread, 0);
index!(/// Index of the thread in its block, y.
    thread_idx_y = thread, 1);
index!(/// Index of the thread in its block, z.
    thread_idx_z = thread, 2);
index!(/// Index of the block in the grid, x.
    block_idx_x = block, 0);
index!(/// Index of the block in the grid, y.
    block_idx_y = block, 1);
index!(/// Index of the block in the grid, z.
    block_idx_z = block, 2);
index!(/// Threads of a block, x.
    block_dim_x = block_dim, 0);
index!(/// Threads of a block, y.
    block_dim_y = block_dim, 1);
index!(/// Threads of a block, z.
    block_dim_z = block_dim, 2);
index!(/// Blocks of the grid, x.
    grid_dim_x = grid_dim, 0);
index!(/// Blocks of the grid, y.
    grid_dim_y = grid_dim, 1);
index!(/// Blocks of the grid, z.
    grid_dim_z = grid_dim, 2);

/// Index of the thread in a one-dimensional grid.
pub fn index_1d() -> usize {
    block_idx_x() as usize * block_dim_x() as usize + thread_idx_x() as usize
}

/// Threads of a one-dimensional grid: the stride of a grid-stride loop.
pub fn grid_size_1d() -> usize {
    grid_dim_x() as usize * block_dim_x() as usize
}

/// Waits until all threads of the block are here.
pub fn sync_threads() {
    here(|c| c.team.barrier.wait());
}
