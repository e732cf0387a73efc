//! Kernels by name, called with the arguments of a launch.

use std::ffi::c_void;

use cuda_std::emulator;
use gpu::kernels::{
    coarse, columns, fine, gridding, grouping, halves, map, prepare, product, project, scan,
    solvent, statistics, store, ties, trials, volume, weights,
};

/// A function whose arguments are read from where a launch keeps them.
trait Callable: Sync {
    /// # Safety
    /// The arguments are those of the function.
    unsafe fn call(&self, arguments: *const *const c_void);
}

macro_rules! callable {
    () => {};
    ($first:ident $($rest:ident)*) => {
        impl<$first: Copy, $($rest: Copy),*> Callable for unsafe fn($first, $($rest),*) {
            #[allow(unused_assignments, non_snake_case)]
            unsafe fn call(&self, arguments: *const *const c_void) {
                let mut i = 0;
                // SAFETY: the caller keeps one pointer an argument, each to a value of its type.
                unsafe {
                    let $first = **arguments.add(i).cast::<*const $first>();
                    i += 1;
                    $(
                        let $rest = **arguments.add(i).cast::<*const $rest>();
                        i += 1;
                    )*
                    self($first, $($rest),*);
                }
            }
        }
        callable!($($rest)*);
    };
}
callable!(A B C D E F G H I J K L M N O P Q R S T U V W X Y Z Aa Ab Ac Ad);

/// How the threads of a kernel may run.
#[derive(Clone, Copy, PartialEq)]
enum Run {
    /// They do not wait for each other: one after the other.
    Apart,
    /// Together, and with any number of them: with one warp.
    OneWarp,
    /// Together, as many as were asked for.
    AsAsked,
}

macro_rules! table {
    ($($run:ident $module:ident::$name:ident($($argument:tt)*);)*) => {
        const NAMES: &[(&str, Run)] = &[$((stringify!($name), Run::$run)),*];

        /// # Safety
        /// The arguments are those of the kernel.
        unsafe fn call(index: usize, arguments: *const *const c_void) {
            let functions: &[&dyn Callable] =
                &[$(&($module::$name as unsafe fn($($argument)*))),*];
            // SAFETY: passed on to the caller.
            unsafe { functions[index].call(arguments) }
        }
    };
}

table! {
    OneWarp prepare::prepare_images(_, _, _, _, _, _, _, _);
    Apart prepare::gather_transforms(_, _, _, _, _, _, _, _);
    OneWarp prepare::shell_powers(_, _, _);
    OneWarp prepare::box_powers(_, _, _, _);
    Apart prepare::ctf_values(_, _, _, _, _, _);
    Apart project::project_slices(_, _, _, _, _, _, _, _, _, _, _, _);
    Apart columns::weighted_columns(_, _, _, _, _, _, _, _, _, _, _, _, _);
    AsAsked product::inner_products(_, _, _, _, _, _, _);
    AsAsked product::inner_products_tf32(_, _, _, _, _, _, _);
    AsAsked product::inner_products_tf32x3(_, _, _, _, _, _, _);
    OneWarp coarse::coarse_select(_, _, _, _, _, _, _, _, _, _, _, _, _, _);
    AsAsked ties::tied_correlations(_, _, _, _, _, _, _, _, _, _, _);
    OneWarp coarse::coarse_list(_, _, _, _, _, _, _, _, _, _, _, _, _, _);
    OneWarp scan::exclusive_scan(_, _, _, _);
    Apart grouping::count_pairs(_, _, _, _);
    Apart grouping::place_pairs(_, _, _, _, _, _, _);
    Apart grouping::list_parents(_, _, _, _, _);
    OneWarp fine::fine_differences_8x4(_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _);
    OneWarp fine::fine_differences_1x1(_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _);
    OneWarp weights::fine_weights(_, _, _, _, _, _, _, _, _, _, _, _);
    OneWarp weights::list_kept(_, _, _, _, _, _);
    OneWarp statistics::fine_statistics(_, _, _, _, _, _, _, _, _, _);
    Apart store::store_orientations(
        _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _
    );
    OneWarp store::reduce_shares(_, _, _, _, _, _, _, _, _);
    Apart volume::add_sums(_, _, _);
    Apart volume::complete_zero_plane(_, _);
    Apart volume::add_rotated(_, _, _, _, _, _);
    Apart volume::regularise(_, _, _, _, _, _, _);
    AsAsked volume::weight_by_bin(_, _, _, _, _, _);
    Apart volume::divide_into_transform(_, _, _, _, _, _, _, _);
    Apart gridding::begin_densities(_, _, _);
    Apart gridding::spread_densities(_, _, _, _, _);
    Apart gridding::weight_by_blob(_, _, _, _);
    Apart gridding::divide_densities(_, _, _, _, _);
    Apart gridding::compensate_into_transform(_, _, _, _, _, _, _);
    AsAsked volume::crop_reference(_, _, _, _, _, _, _, _, _, _);
    Apart map::pad_map(_, _, _, _, _);
    Apart map::crop_map(_, _, _, _, _);
    AsAsked map::background_sums(_, _, _, _, _);
    Apart map::finish_map(_, _, _, _, _, _);
    Apart solvent::multiply_maps(_, _, _, _);
    Apart solvent::add_map(_, _, _);
    OneWarp solvent::masked_sums(_, _, _, _);
    Apart solvent::blend_map(_, _, _, _);
    OneWarp solvent::map_moments(_, _, _);
    Apart solvent::shift_map(_, _, _, _, _, _);
    Apart solvent::low_pass_transform(_, _, _, _);
    Apart solvent::randomise_phases(_, _, _, _, _);
    AsAsked solvent::correlate_transforms(_, _, _, _);
    Apart halves::join_halves(_, _, _, _);
    Apart halves::average_half(_, _, _, _, _);
    AsAsked halves::correlate_halves(_, _, _, _);
    AsAsked halves::weight_statistics(_, _, _, _, _, _, _, _);
    OneWarp trials::trial_differences(_, _, _, _, _, _, _, _, _, _);
    AsAsked trials::trial_spectrum(_, _, _, _, _, _, _, _, _, _);
}

/// Place of a kernel in the table.
pub fn index_of(name: &str) -> Option<usize> {
    NAMES.iter().position(|(n, _)| *n == name)
}

/// Name of the kernel at a place of the table.
pub fn name_of(index: usize) -> &'static str {
    NAMES[index].0
}

/// Runs a kernel to its end.
///
/// # Safety
/// The arguments are those of the kernel.
pub unsafe fn launch(
    index: usize,
    grid: [u32; 3],
    block: [u32; 3],
    shared: usize,
    arguments: *const *const c_void,
) {
    let arguments = arguments.expose_provenance();
    let kernel = || {
        // SAFETY: passed on to the caller.
        unsafe { call(index, std::ptr::with_exposed_provenance(arguments)) }
    };
    match NAMES[index].1 {
        Run::Apart => emulator::launch_apart(grid, block, kernel),
        Run::OneWarp => emulator::launch(grid, [32, 1, 1], shared, kernel),
        Run::AsAsked => emulator::launch(grid, block, shared, kernel),
    }
}
