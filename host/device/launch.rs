//! Typed launches: one method a kernel, with the kernel's own argument names (see `gpu/src/kernels/`).
//!
//! Each method knows the shape of its launch. All are unsafe for the same reason: a kernel trusts the lengths of the
//! arrays it is given, which its documentation states.

use std::ffi::c_void;

use cudarc::driver::result;
use gpu::correlation::ExactSample;
use gpu::ctf::CtfCoefficients;
use gpu::image::ImageTask;
use gpu::samples::{Alignment, Pair, Parent, Sample, Selection};
use gpu::shapes::{
    FINE_WORDS, ONE_VALUE_WORDS, PREPARE_WORDS, SELECT_WORDS, TENSOR_TILE, TENSOR_WORDS, TILE,
    TILE_WORDS,
};
use gpu::slice::{SliceAxes, VolumeShape};

use super::driver::failed;
use super::{Device, DeviceError, Pointer};

/// Entry points and the threads of their blocks.
pub const KERNELS: &[(&str, u32)] = &[
    ("prepare_images", 512),
    ("gather_transforms", 128),
    ("shell_powers", 256),
    ("box_powers", 256),
    ("ctf_values", 128),
    ("project_slices", 128),
    ("weighted_columns", 128),
    ("inner_products", 256),
    ("inner_products_tf32", 256),
    ("inner_products_tf32x3", 256),
    ("coarse_select", 512),
    ("coarse_list", 512),
    ("tied_correlations", 32),
    ("exclusive_scan", 512),
    ("count_pairs", 256),
    ("place_pairs", 256),
    ("list_parents", 256),
    ("fine_differences_8x4", 128),
    ("fine_differences_1x1", 128),
    ("fine_weights", 256),
    ("list_kept", 256),
    ("fine_statistics", 128),
    ("store_orientations", 128),
    ("reduce_shares", 256),
    ("add_sums", 256),
    ("complete_zero_plane", 128),
    ("add_rotated", 256),
    ("regularise", 256),
    ("weight_by_bin", 256),
    ("divide_into_transform", 256),
    ("begin_densities", 256),
    ("spread_densities", 256),
    ("weight_by_blob", 256),
    ("divide_densities", 256),
    ("compensate_into_transform", 256),
    ("crop_reference", 256),
    ("pad_map", 256),
    ("crop_map", 256),
    ("background_sums", 256),
    ("finish_map", 256),
    ("multiply_maps", 256),
    ("add_map", 256),
    ("masked_sums", 256),
    ("blend_map", 256),
    ("map_moments", 256),
    ("shift_map", 256),
    ("low_pass_transform", 256),
    ("randomise_phases", 256),
    ("correlate_transforms", 256),
    ("join_halves", 256),
    ("average_half", 256),
    ("correlate_halves", 256),
    ("weight_statistics", 256),
    ("trial_differences", 256),
    ("trial_spectrum", 256),
];

/// Threads of a block of kernel `name`.
const fn threads_of(name: &str) -> u32 {
    let mut i = 0;
    while i < KERNELS.len() {
        if same(KERNELS[i].0.as_bytes(), name.as_bytes()) {
            return KERNELS[i].1;
        }
        i += 1;
    }
    panic!("the kernel is not listed")
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// A kernel argument: what it is copied from.
trait Argument {
    fn source(&self) -> *mut c_void;
}

macro_rules! scalar {
    ($($scalar:ty),*) => {
        $(impl Argument for $scalar {
            fn source(&self) -> *mut c_void {
                std::ptr::from_ref(self).cast_mut().cast()
            }
        })*
    };
}
scalar!(u32, u64, i32, f32, f64);

impl<T> Argument for Pointer<T> {
    fn source(&self) -> *mut c_void {
        // A pointer is its address and nothing else.
        std::ptr::from_ref(self).cast_mut().cast()
    }
}

impl Device {
    /// # Safety
    /// The arguments are those of the kernel, in order.
    unsafe fn queue(
        &self,
        name: &'static str,
        grid: [u32; 3],
        threads: u32,
        shared_words: u32,
        arguments: &mut [*mut c_void],
    ) -> Result<(), DeviceError> {
        if grid.contains(&0) {
            return Ok(());
        }
        let function = self.function(name)?;
        self.make_current()?;
        // SAFETY: passed on to the caller; the driver copies the arguments during the call.
        unsafe {
            result::launch_kernel(
                function.cu_function(),
                (grid[0], grid[1], grid[2]),
                (threads, 1, 1),
                4 * shared_words,
                self.stream().cu_stream(),
                arguments,
            )
        }
        .map_err(|e| failed(self.ordinal(), &format!("launching {name}"), e))
    }
}

/// Defines the method of a kernel. Values before the bar shape the launch; those after it are the kernel's arguments.
macro_rules! launches {
    ($(
        $(#[$doc:meta])*
        $name:ident($($shape:ident: $shape_type:ty),* | $($argument:ident: $type:ty),* $(,)?) {
            grid: $grid:expr, words: $words:expr
        }
    )*) => {
        impl Device {
            $(
                $(#[$doc])*
                ///
                /// # Safety
                /// The arrays are as long as the kernel's documentation says.
                #[allow(clippy::too_many_arguments)]
                pub unsafe fn $name(
                    &self,
                    $($shape: $shape_type,)*
                    $($argument: $type,)*
                ) -> Result<(), DeviceError> {
                    let mut arguments = [$(Argument::source(&$argument)),*];
                    // SAFETY: the list above is the kernel's own.
                    unsafe {
                        self.queue(
                            stringify!($name),
                            $grid,
                            const { threads_of(stringify!($name)) },
                            $words,
                            &mut arguments,
                        )
                    }
                }
            )*
        }
    };
}

type F = Pointer<f32>;
type C = Pointer<[f32; 2]>;
type U = Pointer<u32>;

launches! {
    /// Norm correction, shift and mask of `images` images.
    prepare_images(images: u32 | raw: Pointer<u64>, tasks: Pointer<ImageTask>, box_size: u32, radius: f32, edge: f32, noise: F, unmasked: F, masked: F) {
        grid: [images, 1, 1], words: PREPARE_WORDS
    }
    /// Listed pixels of transforms, centred.
    gather_transforms(images: u32 | transforms: C, box_size: u32, pixels: Pointer<[i16; 2]>, pixel_count: u32, factors: C, remainders: C, out: C, stride: u32) {
        grid: [images, stride.div_ceil(128), 1], words: 0
    }
    /// Σ|F|² per shell.
    shell_powers(images: u32 | transforms: C, box_size: u32, out: F) {
        grid: [images, 1, 1], words: box_size / 2 + 1
    }
    /// √Σ|F|² over a box.
    box_powers(images: u32 | transforms: C, box_size: u32, size: u32, out: F) {
        grid: [images, 1, 1], words: ONE_VALUE_WORDS
    }
    /// CTF per image and pixel.
    ctf_values(images: u32 | coefficients: Pointer<CtfCoefficients<f64>>, pixels: Pointer<[i16; 2]>, pixel_count: u32, aberration: Pointer<f64>, out: F, stride: u32) {
        grid: [images, stride.div_ceil(128), 1], words: 0
    }
    /// Slices of `orientations` orientations.
    project_slices(orientations: u32 | volume: C, shape: Pointer<VolumeShape>, axes: Pointer<SliceAxes>, selection: U, volume_of: U, children: u32, pixels: Pointer<[i16; 2]>, pixel_count: u32, out: C, stride: u32, half_power: F, power_stride: u32) {
        grid: [orientations, stride.div_ceil(128), 1], words: 0
    }
    /// Shifted, weighted images.
    weighted_columns(images: u32 | transforms: C, image_stride: u32, ctf: F, scales: F, weight: F, phases: C, phase_stride: u32, pixel_count: u32, shifts: u32, columns: C, column_stride: u32, powers: F, power_stride: u32) {
        grid: [images, column_stride.div_ceil(128), 1], words: 0
    }
    /// Products of rows with rows, single precision.
    inner_products(| left: F, right: F, rows: u32, columns: u32, length: u32, out: F, out_stride: u32) {
        grid: [columns.div_ceil(TILE), rows.div_ceil(TILE), 1], words: TILE_WORDS
    }
    /// The same in TF32.
    inner_products_tf32(| left: F, right: F, rows: u32, columns: u32, length: u32, out: F, out_stride: u32) {
        grid: [columns.div_ceil(TENSOR_TILE), rows.div_ceil(TENSOR_TILE), 1], words: TENSOR_WORDS
    }
    /// The same in split TF32.
    inner_products_tf32x3(| left: F, right: F, rows: u32, columns: u32, length: u32, out: F, out_stride: u32) {
        grid: [columns.div_ceil(TENSOR_TILE), rows.div_ceil(TENSOR_TILE), 1], words: TENSOR_WORDS
    }
    /// Significance over coarse samples.
    coarse_select(| cross: F, norm: F, log_prior: F, class_of: U, offset_log_prior: F, visited: U, powers: F, orientations: u32, images: u32, shifts: u32, fraction: f32, limit: u32, out: Pointer<Selection>, kept: U) {
        grid: [images, 1, 1], words: SELECT_WORDS
    }
    /// List of significant coarse samples.
    coarse_list(| cross: F, norm: F, log_prior: F, class_of: U, offset_log_prior: F, visited: U, powers: F, orientations: u32, images: u32, shifts: u32, selections: Pointer<Selection>, first: U, capacity: u32, out: Pointer<Sample>) {
        grid: [images, 1, 1], words: SELECT_WORDS
    }
    /// Correlations of single samples in double precision.
    tied_correlations(samples: u32 | list: Pointer<ExactSample>, references: C, shape: Pointer<VolumeShape>, pixels: Pointer<[i16; 2]>, pixel_count: u32, images: C, image_stride: u32, ctf: F, scales: F, weight: F, out: Pointer<f64>) {
        grid: [samples, 1, 1], words: 0
    }
    /// Running sums.
    exclusive_scan(| values: U, count: u32, flags: u32, out: U) {
        grid: [1, 1, 1], words: ONE_VALUE_WORDS
    }
    /// Pairs per orientation.
    count_pairs(| samples: Pointer<Sample>, count: u32, number: U, counts: U) {
        grid: [count.div_ceil(256), 1, 1], words: 0
    }
    /// Pairs by orientation.
    place_pairs(| samples: Pointer<Sample>, count: u32, number: U, first: U, rank: U, cursor: U, pairs: Pointer<Pair>) {
        grid: [count.div_ceil(256), 1, 1], words: 0
    }
    /// Orientations that have pairs.
    list_parents(| first: U, rank: U, orientations: u32, parents: Pointer<Parent>, chosen: U) {
        grid: [orientations.div_ceil(256), 1, 1], words: 0
    }
    /// Fine differences, tiles of 8 × 4.
    fine_differences_8x4(pair_count: u32 | pairs: Pointer<Pair>, samples: Pointer<Sample>, first_parent: u32, slices: C, slice_stride: u32, transforms: C, image_stride: u32, ctf: F, scales: F, weight: F, phases: C, phase_stride: u32, pixel_count: u32, orientation_children: u32, shift_children: u32, powers: F, values: F) {
        grid: [pair_count, orientation_children / 8, shift_children / 4], words: FINE_WORDS
    }
    /// Fine differences, one by one.
    fine_differences_1x1(pair_count: u32 | pairs: Pointer<Pair>, samples: Pointer<Sample>, first_parent: u32, slices: C, slice_stride: u32, transforms: C, image_stride: u32, ctf: F, scales: F, weight: F, phases: C, phase_stride: u32, pixel_count: u32, orientation_children: u32, shift_children: u32, powers: F, values: F) {
        grid: [pair_count, orientation_children, shift_children], words: FINE_WORDS
    }
    /// Weights of fine samples.
    fine_weights(images: u32 | samples: Pointer<Sample>, first: U, orientation_children: u32, shift_children: u32, fraction: f32, limit: u32, best_only: u32, given: Pointer<Selection>, values: F, best: Pointer<u64>, out: Pointer<Alignment>, kept: U) {
        grid: [images, 1, 1], words: SELECT_WORDS
    }
    /// Samples that were kept.
    list_kept(images: u32 | samples: Pointer<Sample>, first: U, values: F, kept_first: U, capacity: u32, out: Pointer<Sample>) {
        grid: [images, 1, 1], words: ONE_VALUE_WORDS
    }
    /// Direction and offset sums.
    fine_statistics(images: u32 | samples: Pointer<Sample>, first: U, values: F, orientation_children: u32, shift_children: u32, slot_of: U, direction_weight: Pointer<f64>, shifts: C, centre: C, out: Pointer<Alignment>) {
        grid: [images, 1, 1], words: ONE_VALUE_WORDS
    }
    /// Back-projection and shares.
    store_orientations(parent_count: u32 | parents: Pointer<Parent>, pairs: Pointer<Pair>, samples: Pointer<Sample>, values: F, orientation_children: u32, shift_children: u32, axes: Pointer<SliceAxes>, class_of: U, references: C, shape: Pointer<VolumeShape>, max_radius2: f32, pixels: Pointer<[i16; 2]>, projected: u32, pixel_count: u32, masked: C, unmasked: C, ctf: F, image_stride: u32, scales: F, inverse_variance: F, phases: C, phase_stride: u32, flags: u32, classes: u32, sums: Pointer<[f32; 4]>, shares: C) {
        grid: [parent_count * orientation_children, pixel_count.div_ceil(128), 1], words: 0
    }
    /// Sums of another worker or half-set added.
    add_sums(| count: u32, other: Pointer<[f32; 4]>, sums: Pointer<[f32; 4]>) {
        grid: [count.div_ceil(256), 1, 1], words: 0
    }
    /// Friedel mates on the plane x = 0.
    complete_zero_plane(| sums: Pointer<[f32; 4]>, side: u32) {
        grid: [(side * side / 2).div_ceil(128), 1, 1], words: 0
    }
    /// Sums turned by the operators of the point group; `voxels` are those of the shape.
    add_rotated(voxels: u32 | old: Pointer<[f32; 4]>, shape: Pointer<VolumeShape>, radius2: u32, operators: F, count: u32, sums: Pointer<[f32; 4]>) {
        grid: [voxels.div_ceil(256), 1, 1], words: 0
    }
    /// Inverse prior variance added to the weights.
    regularise(voxels: u32 | sums: Pointer<[f32; 4]>, shape: Pointer<VolumeShape>, radius2: u32, padding: f32, inverse: F, shells: u32, first_shell: u32) {
        grid: [voxels.div_ceil(256), 1, 1], words: 0
    }
    /// Weights per bin.
    weight_by_bin(voxels: u32 | sums: Pointer<[f32; 4]>, shape: Pointer<VolumeShape>, radius2: u32, padding: f32, bins: u32, out: Pointer<f64>) {
        grid: [voxels.div_ceil(256 * 16), 1, 1], words: 2 * bins
    }
    /// Data divided by weights, as the transform of a box.
    divide_into_transform(| sums: Pointer<[f32; 4]>, shape: Pointer<VolumeShape>, radius2: u32, padding: f32, floor: F, bins: u32, padded_box: u32, out: C) {
        grid: [(padded_box * padded_box).saturating_mul(padded_box / 2 + 1).div_ceil(256), 1, 1], words: 0
    }
    /// Densities before the first round.
    begin_densities(voxels: u32 | shape: Pointer<VolumeShape>, radius2: u32, density: Pointer<f64>) {
        grid: [voxels.div_ceil(256), 1, 1], words: 0
    }
    /// Densities times weights, as a transform of the sums' `side`.
    spread_densities(side: u32 | sums: Pointer<[f32; 4]>, density: Pointer<f64>, shape: Pointer<VolumeShape>, scale: f64, out: Pointer<[f64; 2]>) {
        grid: [(side * side).saturating_mul(side / 2 + 1).div_ceil(256), 1, 1], words: 0
    }
    /// A real cube times the transform of the blob.
    weight_by_blob(| side: u32, padded_box: u32, blob: Pointer<f64>, cube: Pointer<f64>) {
        grid: [(side * side).saturating_mul(side).div_ceil(256), 1, 1], words: 0
    }
    /// Densities divided by what the blob made of them.
    divide_densities(side: u32 | convolved: Pointer<[f64; 2]>, scale: f64, shape: Pointer<VolumeShape>, radius2: u32, density: Pointer<f64>) {
        grid: [(side * side).saturating_mul(side / 2 + 1).div_ceil(256), 1, 1], words: 0
    }
    /// Data times densities, as the transform of a box.
    compensate_into_transform(| sums: Pointer<[f32; 4]>, density: Pointer<f64>, shape: Pointer<VolumeShape>, radius2: u32, scale: f64, padded_box: u32, out: C) {
        grid: [(padded_box * padded_box).saturating_mul(padded_box / 2 + 1).div_ceil(256), 1, 1], words: 0
    }
    /// Reference volume from the transform of a padded map.
    crop_reference(voxels: u32 | transform: C, padded_box: u32, shape: Pointer<VolumeShape>, radius2: u32, silent2: i32, scale: f32, padding: f32, shells: u32, out: C, power: Pointer<f64>) {
        grid: [voxels.div_ceil(256 * 16), 1, 1], words: 2 * shells
    }
    /// Map into a larger box, gridding-corrected.
    pad_map(| map: F, n: u32, padded_box: u32, sinc_box: f32, out: F) {
        grid: [padded_box.pow(3).div_ceil(256), 1, 1], words: 0
    }
    /// Map out of a larger box.
    crop_map(| padded: F, padded_box: u32, n: u32, scale: f32, out: F) {
        grid: [n.pow(3).div_ceil(256), 1, 1], words: 0
    }
    /// Background of a map.
    background_sums(| map: F, n: u32, sphere: f32, edge: f32, out: Pointer<f64>) {
        grid: [n.pow(3).div_ceil(256 * 16), 1, 1], words: PREPARE_WORDS
    }
    /// Mask and gridding correction of a map.
    finish_map(| map: F, n: u32, sphere: f32, edge: f32, background: Pointer<f64>, sinc_box: f32) {
        grid: [n.pow(3).div_ceil(256), 1, 1], words: 0
    }
    /// A map times a mask.
    multiply_maps(| count: u32, map: F, factor: F, out: F) {
        grid: [count.div_ceil(256), 1, 1], words: 0
    }
    /// A map added to another.
    add_map(| count: u32, other: F, map: F) {
        grid: [count.div_ceil(256), 1, 1], words: 0
    }
    /// Sum of a map within a mask.
    masked_sums(| count: u32, map: F, mask: F, out: Pointer<f64>) {
        grid: [count.div_ceil(256 * 64), 1, 1], words: 0
    }
    /// The inside of a mask brought to its mean.
    blend_map(| count: u32, mask: F, sums: Pointer<f64>, map: F) {
        grid: [count.div_ceil(256), 1, 1], words: 0
    }
    /// Mass and first moments of a map.
    map_moments(| map: F, n: u32, out: Pointer<f64>) {
        grid: [n.pow(3).div_ceil(256 * 64), 1, 1], words: 0
    }
    /// A map shifted.
    shift_map(| map: F, n: u32, shift_x: f32, shift_y: f32, shift_z: f32, out: F) {
        grid: [n.pow(3).div_ceil(256), 1, 1], words: 0
    }
    /// A transform low-passed.
    low_pass_transform(| transform: C, n: u32, limit: f32, scale: f32) {
        grid: [(n * n * (n / 2 + 1)).div_ceil(256), 1, 1], words: 0
    }
    /// Random phases at high resolution.
    randomise_phases(| transform: C, n: u32, limit2: u32, seed: u64, scale: f32) {
        grid: [(n * n * (n / 2 + 1)).div_ceil(256), 1, 1], words: 0
    }
    /// Correlation of two transforms per shell.
    correlate_transforms(| first: C, second: C, n: u32, out: Pointer<f64>) {
        grid: [(n * n * (n / 2 + 1)).div_ceil(256 * 16), 1, 1], words: 3 * (n / 2 + 1)
    }
    /// Low-resolution voxels of halves joined.
    join_halves(voxels: u32 | first: Pointer<[f32; 4]>, second: Pointer<[f32; 4]>, shape: Pointer<VolumeShape>, limit2: u32) {
        grid: [voxels.div_ceil(256), 1, 1], words: 0
    }
    /// Down-sampled average of a half.
    average_half(voxels: u32 | sums: Pointer<[f32; 4]>, shape: Pointer<VolumeShape>, padding: f32, reach: u32, out: C) {
        grid: [voxels.div_ceil(256), 1, 1], words: 0
    }
    /// Correlation of two averages per shell.
    correlate_halves(voxels: u32 | first: C, second: C, reach: u32, out: Pointer<f64>) {
        grid: [voxels.div_ceil(256 * 16), 1, 1], words: 3 * reach
    }
    /// Weights, and weights against the prior, per shell.
    weight_statistics(voxels: u32 | sums: Pointer<[f32; 4]>, shape: Pointer<VolumeShape>, radius2: u32, padding: f32, inverse: F, prior_shells: u32, shells: u32, out: Pointer<f64>) {
        grid: [voxels.div_ceil(256 * 16), 1, 1], words: 4 * shells
    }
    /// Differences between slices of trials and their turned or shifted candidates.
    trial_differences(trials: u32 | volume: C, shape: Pointer<VolumeShape>, pixels: Pointer<[i16; 2]>, pixel_count: u32, weights: F, axes: Pointer<SliceAxes>, moved: Pointer<SliceAxes>, shifts: C, candidates: u32, out: F) {
        grid: [candidates, trials, 1], words: ONE_VALUE_WORDS
    }
    /// Differences per shell, added up over the trials.
    trial_spectrum(trials: u32 | volume: C, shape: Pointer<VolumeShape>, pixels: Pointer<[i16; 2]>, shell_of: U, pixel_count: u32, weights: F, axes: Pointer<SliceAxes>, moved: Pointer<SliceAxes>, shells: u32, out: Pointer<f64>) {
        grid: [pixel_count.div_ceil(256), trials, 1], words: shells
    }
    /// Shares per shell.
    reduce_shares(rows: u32 | shares: C, masked: C, power_weight: F, image_stride: u32, pixel_count: u32, classes: u32, shell_begin: U, shells: u32, out: Pointer<[f32; 4]>) {
        grid: [rows, 1, 1], words: 0
    }
}
