//! Shapes of launches that kernels and host must agree on: tiles, and words of dynamic shared memory.

/// Words of shared memory of a block reduction of `values` values at once.
pub const fn reduction_words(values: u32) -> u32 {
    values * 33
}

/// Words of `prepare_images`: two sums.
pub const PREPARE_WORDS: u32 = reduction_words(2);
/// Words of `centre_averages`: three moments.
pub const MOMENT_WORDS: u32 = reduction_words(3);
/// Intervals the search for the significance threshold tells apart in one pass.
pub const SEARCH_WAYS: usize = 16;
/// Samples that the search keeps in shared memory, once no more are left between its bounds.
pub const SEARCH_LIST: u32 = 4096;
/// Where that list begins, after the words of the reductions.
pub const SEARCH_LIST_AT: u32 = reduction_words(2 * SEARCH_WAYS as u32);
/// Words of the kernels that select significant samples.
pub const SELECT_WORDS: u32 = SEARCH_LIST_AT + SEARCH_LIST;
/// Threads of the kernels that go through the coarse samples of an image; each looks at one orientation at a time.
pub const COARSE_BLOCK: u32 = 512;
/// Words of those that select.
pub const COARSE_SELECT_WORDS: u32 = SELECT_WORDS + COARSE_BLOCK;
/// Words of those that list: a reduction, and the orientations.
pub const COARSE_LIST_WORDS: u32 = ONE_VALUE_WORDS + COARSE_BLOCK;
/// Side of the tile of images × orientations of `coarse_bounds`.
pub const BOUNDS_TILE: u32 = 32;
/// Words of `coarse_bounds`; a row has one more, so that columns lie in different banks.
pub const BOUNDS_WORDS: u32 = BOUNDS_TILE * (BOUNDS_TILE + 1);
/// Words of `fine_differences_*`: twice 40 values for each of four warps, or a block reduction of eight values.
pub const FINE_WORDS: u32 = 320;
/// Words of kernels that reduce one value.
pub const ONE_VALUE_WORDS: u32 = reduction_words(1);

/// Side of the tile of `inner_products`.
pub const TILE: u32 = 64;
/// Elements of k that `inner_products` takes in one step.
pub const STEP: u32 = 16;
/// Row of a tile in shared memory; the 4 keep rows aligned and spread them over the banks.
pub const TILE_ROW: u32 = TILE + 4;
/// Words of `inner_products`.
pub const TILE_WORDS: u32 = 2 * STEP * TILE_ROW;
/// Side of the tile of `inner_products_tf32` and `inner_products_tf32x3`.
pub const TENSOR_TILE: u32 = 128;
/// Elements of k that they take in one step; rows of their matrices are a multiple of this.
pub const TENSOR_STEP: u32 = 32;
/// Row of their tile in shared memory.
pub const TENSOR_ROW: u32 = TENSOR_STEP + 4;
/// Words of their shared memory.
pub const TENSOR_WORDS: u32 = 2 * TENSOR_TILE * TENSOR_ROW;

/// Class of an image that visits all classes.
pub const ALL_CLASSES: u32 = u32::MAX;

/// Children of an orientation that a thread of the store stage does at once, of `orientation` in all, where a shift has
/// `shift`.
pub const fn children_at_once(orientation: u32, shift: u32) -> u32 {
    match orientation {
        c if c.is_multiple_of(8) && shift.is_multiple_of(4) => 8,
        _ => 1,
    }
}

/// Pixels of a block of `store_orientations_*`, one a thread.
pub const STORE_PIXELS: u32 = 128;
/// Samples whose weights a warp of `store_orientations_8` brings at once.
pub const STORE_SAMPLES: u32 = 8;
/// Words of each of its four warps: 32 weights a sample.
pub const STORE_WARP_WORDS: u32 = 32 * STORE_SAMPLES;
/// Words of a block.
pub const STORE_WORDS: u32 = 4 * STORE_WARP_WORDS;

/// Images of a block of `fine_differences_wide`, one a thread when they are brought.
pub const WIDE_IMAGES: u32 = 128;
/// Pixels that it has in shared memory at a time.
pub const WIDE_PIXELS: u32 = 8;
/// Orientations that it compares: values of a pixel's row of slices.
pub const WIDE_SLICE_ROW: u32 = 8;
/// Words of a pixel's row of images, complex; the 2 spread the pixels over the banks.
pub const WIDE_IMAGE_ROW: u32 = 2 * WIDE_IMAGES + 2;
/// Words of a pixel's row of image weights; the 1 likewise.
pub const WIDE_POWER_ROW: u32 = WIDE_IMAGES + 1;
/// Coarse shifts for whose phases it has room within 48 KB.
pub const WIDE_SHIFTS: u32 = 128;

/// Words of `fine_differences_wide`: slices and their powers, phases of the children of `shifts` shifts, images and their
/// weights, the number of samples before each pair.
pub const fn wide_words(shifts: u32) -> u32 {
    WIDE_PIXELS * (3 * WIDE_SLICE_ROW + 8 * shifts + WIDE_IMAGE_ROW + WIDE_POWER_ROW)
        + WIDE_IMAGES
        + 1
}

/// Orientations of a block of `project_slices`.
pub const PROJECT_ORIENTATIONS: u32 = 8;
/// Pixels of a block of `project_slices`, four of each warp.
pub const PROJECT_PIXELS: u32 = 16;

/// Threads of `local_differences_*` at most, an orientation each.
pub const LOCAL_BLOCK: u32 = 256;

/// Threads of `local_differences_*` for images of up to `most` orientations: whole warps, all of which have something to do at the
/// image with most, since registers of warps that have nothing to do are lost.
pub const fn local_threads(most: u32) -> u32 {
    let blocks = if most == 0 {
        1
    } else {
        most.div_ceil(LOCAL_BLOCK)
    };
    most.div_ceil(blocks).next_multiple_of(32)
}

/// Pixels that it has in shared memory at a time.
pub const LOCAL_PIXELS: u32 = 64;
/// Pixels that a thread sums up before it adds its sums to those in device memory and begins anew.
pub const LOCAL_SUM: u32 = 8 * LOCAL_PIXELS;
/// Registers of a thread of `local_differences_*` with so many shifts: 192 threads are four, three or two blocks of a
/// multiprocessor then.
pub const fn local_registers(shifts: u32) -> u32 {
    match shifts {
        0..=10 => 80,
        11..=22 => 104,
        _ => 128,
    }
}

/// Words of a pixel there, before its shifted images: x, y, weight, and one that keeps rows aligned.
pub const LOCAL_HEAD: u32 = 4;

/// Words of a pixel of `local_differences_*` with `shifts` shifts, an even number.
pub const fn local_row(shifts: u32) -> u32 {
    LOCAL_HEAD + 2 * shifts
}

/// Shifts that a thread of `local_differences_*` takes at once when there are `shifts` of them: the smallest kernel that
/// takes all in as few rounds as possible.
pub const fn local_shifts(shifts: u32) -> u32 {
    let rounds = if shifts == 0 { 1 } else { shifts.div_ceil(40) };
    match shifts.div_ceil(rounds) {
        0..=10 => 10,
        11..=22 => 22,
        23..=32 => 32,
        _ => 40,
    }
}

const _: () = assert!(FINE_WORDS >= reduction_words(8));
const _: () = assert!(4 * wide_words(WIDE_SHIFTS) <= 48 * 1024);
