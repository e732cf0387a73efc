//! The description of a kernel that a launch needs; `#[kernel]` derives all of it from the kernel's own signature.
//!
//! A kernel `gather_transforms` comes with a struct `GatherTransforms`, which has a field for each of its arguments. The
//! struct knows its entry point, the shape of its launch and the lengths of its arrays ([`Launch`]), and is listed in
//! [`KERNELS`].

use core::ffi::c_void;
use core::fmt;
use core::marker::PhantomData;

pub use linkme;

/// An array that a kernel reads or writes: its address in the memory of the device, and its length.
pub struct View<T> {
    address: u64,
    length: usize,
    element: PhantomData<*mut T>,
}

// SAFETY: a number and a length; whoever reads through them answers for it.
unsafe impl<T> Send for View<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for View<T> {}

impl<T> Clone for View<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for View<T> {}

impl<T> fmt::Debug for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} elements at {:#x}", self.length, self.address)
    }
}

impl<T> View<T> {
    /// Describes `length` elements from `address` on.
    pub const fn new(address: u64, length: usize) -> Self {
        Self {
            address,
            length,
            element: PhantomData,
        }
    }

    /// Describes an array of the host, for the emulator.
    pub fn of(array: &mut [T]) -> Self {
        Self::new(array.as_mut_ptr().expose_provenance() as u64, array.len())
    }

    /// Returns the null pointer: an optional argument that is not given.
    pub const fn null() -> Self {
        Self::new(0, 0)
    }

    /// True for an argument that is not given.
    pub fn is_null(self) -> bool {
        self.address == 0
    }

    /// Returns the address of the first element.
    pub fn address(self) -> u64 {
        self.address
    }

    /// Returns the number of elements.
    pub fn len(self) -> usize {
        self.length
    }

    /// True without elements.
    pub fn is_empty(self) -> bool {
        self.length == 0
    }

    /// Returns the elements from `first` on.
    ///
    /// # Panics
    /// If `first` lies beyond the end.
    pub fn offset(self, first: usize) -> Self {
        assert!(
            first <= self.length,
            "element {first} of an array of {} elements",
            self.length
        );
        Self::new(
            self.address + (first * size_of::<T>()) as u64,
            self.length - first,
        )
    }

    /// Returns `length` elements from `first` on.
    ///
    /// # Panics
    /// If they reach beyond the end.
    pub fn range(self, first: usize, length: usize) -> Self {
        let rest = self.offset(first);
        assert!(length <= rest.length, "a part beyond the end of an array");
        Self::new(rest.address, length)
    }

    /// Returns the same memory as elements of another type.
    pub fn cast<U>(self) -> View<U> {
        View::new(self.address, self.length * size_of::<T>() / size_of::<U>())
    }

    /// Returns the address as a pointer of the host, which it is in the emulator.
    pub fn as_ptr(self) -> *mut T {
        core::ptr::with_exposed_provenance_mut(self.address as usize)
    }
}

/// How the emulator runs the threads of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// They do not wait for each other: one after the other.
    Apart,
    /// They wait for each other, but any number of warps gives the same result: a single warp.
    OneWarp,
    /// They wait for each other: the whole block.
    Together,
}

/// The extent of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Blocks along x, y and z; nothing is launched where one of them is 0.
    pub grid: [u32; 3],
    /// Threads per block.
    pub block: u32,
    /// Dynamic shared memory of a block in 4-byte words.
    pub shared_words: u32,
}

/// An array that is shorter than the kernel states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooShort {
    /// The kernel.
    pub kernel: &'static str,
    /// The argument.
    pub argument: &'static str,
    /// Elements that the kernel may touch.
    pub needed: u64,
    /// Elements there are.
    pub length: usize,
}

impl fmt::Display for TooShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "kernel {} needs {} elements of `{}`, which has {}",
            self.kernel, self.needed, self.argument, self.length
        )
    }
}

impl std::error::Error for TooShort {}

impl TooShort {
    /// Compares the length of an array with what the kernel states.
    pub fn check<T>(
        kernel: &'static str,
        argument: &'static str,
        array: View<T>,
        needed: u64,
    ) -> Result<(), Self> {
        if array.len() as u64 >= needed {
            return Ok(());
        }
        Err(Self {
            kernel,
            argument,
            needed,
            length: array.len(),
        })
    }
}

/// The arguments of a kernel. Implemented by `#[kernel]`.
pub trait Launch: Copy {
    /// The kernel in the list of all.
    const KERNEL: Kernel;

    /// Returns grid, block and shared memory.
    fn extent(&self) -> Extent;

    /// Checks the lengths of all arrays.
    ///
    /// # Errors
    /// The first array that is too short.
    fn check(&self) -> Result<(), TooShort>;

    /// Calls `launch` with one pointer per argument of the entry point, as the driver takes them.
    fn with_arguments<R>(&self, launch: impl FnOnce(&mut [*mut c_void]) -> R) -> R;

    /// Does what one thread of the device does. Called inside the emulator.
    ///
    /// # Safety
    /// The arrays exist, and hold what the kernel's documentation asks for.
    unsafe fn run(&self);
}

/// Arguments that belong together, as the device gets them. Implemented by `#[group]`.
pub trait Group: Copy {
    /// The same on the host.
    type Views: Copy + fmt::Debug;

    /// Reads what a launch passes.
    ///
    /// # Safety
    /// There is a pointer to each field that is passed.
    unsafe fn received(arguments: *const *const c_void) -> Self::Views;
}

/// An entry point of the device module.
#[derive(Debug, Clone, Copy)]
pub struct Kernel {
    /// Name of the entry point.
    pub name: &'static str,
    /// Threads of its blocks.
    pub block: u32,
    /// How the emulator runs them.
    pub threads: Threads,
    /// Does what one thread does, with arguments as [`Launch::with_arguments`] passes them.
    ///
    /// # Safety
    /// There is a pointer to each argument; otherwise as [`Launch::run`].
    pub run: unsafe fn(*const *const c_void),
}

/// All kernels of the program, in no particular order.
#[linkme::distributed_slice]
pub static KERNELS: [Kernel];

/// Runs a kernel in the emulator, with the grid, block and shared memory of a launch on a device.
///
/// # Panics
/// If an array is too short, or as [`crate::emulator::launch`].
///
/// # Safety
/// As [`Launch::run`].
pub unsafe fn emulate<L: Launch>(arguments: &L) {
    let extent = arguments.extent();
    // SAFETY: passed on to the caller.
    unsafe { emulate_as(arguments, extent.grid, [extent.block, 1, 1]) }
}

/// Runs a kernel in the emulator with another grid and block.
///
/// # Panics
/// If an array is too short, or as [`crate::emulator::launch`].
///
/// # Safety
/// As [`Launch::run`].
pub unsafe fn emulate_as<L: Launch>(arguments: &L, grid: [u32; 3], block: [u32; 3]) {
    if let Err(short) = arguments.check() {
        panic!("{short}");
    }
    let shared = 4 * arguments.extent().shared_words as usize;
    // SAFETY: passed on to the caller.
    let thread = || unsafe { arguments.run() };
    match L::KERNEL.threads {
        Threads::Apart => crate::emulator::launch_apart(grid, block, thread),
        Threads::OneWarp | Threads::Together => {
            crate::emulator::launch(grid, block, shared, thread);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    /// Scales rows of `width` numbers.
    #[kernel(block = 64, grid = [rows, width.div_ceil(BLOCK), 1], shared = 3 * rows, emulate = Apart)]
    unsafe fn scale_rows(
        #[launch] rows: u32,
        #[len(rows * width)] values: *const f32,
        width: u32,
        #[optional(rows)] factors: *const f64,
        #[len(rows * width)] out: *mut f32,
    ) {
        // SAFETY: the column is checked; there are as many rows as blocks along x.
        unsafe {
            let row = thread::block_idx_x() as usize;
            let column = thread::block_idx_y() * thread::block_dim_x() + thread::thread_idx_x();
            if column < width {
                let factor = if factors.is_null() {
                    2.0
                } else {
                    *factors.add(row)
                };
                let at = row * width as usize + column as usize;
                *out.add(at) = *values.add(at) * factor as f32;
            }
        }
    }

    fn arguments(values: &mut [f32], out: &mut [f32]) -> ScaleRows {
        ScaleRows {
            rows: 2,
            values: View::of(values),
            width: 70,
            factors: View::null(),
            out: View::of(out),
        }
    }

    #[test]
    fn a_signature_gives_the_launch() {
        let (mut values, mut out) = ([1.5; 140], [0.0; 140]);
        let launch = arguments(&mut values, &mut out);
        let extent = Extent {
            grid: [2, 2, 1],
            block: 64,
            shared_words: 6,
        };
        assert_eq!(launch.extent(), extent);
        // SAFETY: both arrays exist.
        unsafe { emulate(&launch) };
        assert_eq!(out, [3.0; 140]);
    }

    /// A launch passes the arguments of the entry point, without those that only shape the launch, and the entry of the
    /// list of kernels reads them.
    #[test]
    fn the_list_of_kernels_has_the_entry_point() {
        let (mut values, mut out) = ([1.0; 140], [0.0; 140]);
        let mut factors = [5.0f64, 7.0];
        let mut launch = arguments(&mut values, &mut out);
        launch.factors = View::of(&mut factors);
        let kernel = KERNELS.iter().find(|k| k.name == "scale_rows").unwrap();
        assert_eq!((kernel.block, kernel.threads), (64, Threads::Apart));
        launch.with_arguments(|arguments| {
            assert_eq!(arguments.len(), 4);
            let arguments = arguments.as_ptr().cast::<*const c_void>();
            let thread = || {
                // SAFETY: made by the launch itself.
                unsafe { (kernel.run)(arguments) }
            };
            crate::emulator::launch_apart([2, 2, 1], [64, 1, 1], thread);
        });
        assert_eq!((out[69], out[70]), (5.0, 7.0));
    }

    #[test]
    fn an_array_that_is_too_short_is_refused() {
        let (mut values, mut out) = ([1.0; 140], [0.0; 139]);
        let launch = arguments(&mut values, &mut out);
        let short = launch.check().unwrap_err();
        assert_eq!(
            short.to_string(),
            "kernel scale_rows needs 140 elements of `out`, which has 139"
        );
        let mut factors = [1.0f64];
        let (mut values, mut out) = ([1.0; 140], [0.0; 140]);
        let mut launch = arguments(&mut values, &mut out);
        assert_eq!(launch.check(), Ok(()));
        launch.factors = View::of(&mut factors);
        assert_eq!(launch.check().unwrap_err().argument, "factors");
    }

    /// Rows of numbers.
    #[group]
    struct Rows {
        #[launch]
        count: u32,
        #[len(count * width)]
        values: *const f32,
        width: u32,
    }

    /// Adds up the columns of two arrays.
    #[kernel(block = 64, grid = [a.width.div_ceil(BLOCK), 1, 1], emulate = Apart)]
    unsafe fn add_columns(
        rows: u32,
        #[group] a: Rows,
        #[group] b: Rows,
        #[len(a.width)] out: *mut f32,
    ) {
        // SAFETY: the column is checked; both arrays have as many rows.
        unsafe {
            let column = thread::index_1d();
            if column < a.width as usize {
                let sum = |rows_of: Rows| {
                    let values =
                        (0..rows as usize).map(|row| row * rows_of.width as usize + column);
                    values.map(|at| *rows_of.values.add(at)).sum::<f32>()
                };
                *out.add(column) = sum(a) + sum(b);
            }
        }
    }

    fn rows(values: &mut [f32], width: u32) -> RowsViews {
        RowsViews {
            count: 2,
            values: View::of(values),
            width,
        }
    }

    /// The fields of groups are passed one by one, those that only shape the launch left out, and their arrays are checked.
    #[test]
    fn groups_are_passed_field_by_field() {
        let (mut a, mut b, mut out) = ([1.0; 20], [2.0; 24], [0.0; 10]);
        let launch = AddColumns {
            rows: 2,
            a: rows(&mut a, 10),
            b: rows(&mut b, 12),
            out: View::of(&mut out),
        };
        assert_eq!(launch.check(), Ok(()));
        let kernel = KERNELS.iter().find(|k| k.name == "add_columns").unwrap();
        launch.with_arguments(|arguments| {
            assert_eq!(arguments.len(), 6);
            let arguments = arguments.as_ptr().cast::<*const c_void>();
            let thread = || {
                // SAFETY: made by the launch itself.
                unsafe { (kernel.run)(arguments) }
            };
            crate::emulator::launch_apart([1, 1, 1], [64, 1, 1], thread);
        });
        assert_eq!(out, [6.0; 10]);
        let short = AddColumns {
            b: rows(&mut b[..23], 12),
            ..launch
        };
        assert_eq!(
            short.check().unwrap_err().to_string(),
            "kernel add_columns needs 24 elements of `b.values`, which has 23"
        );
    }

    #[test]
    fn a_part_of_a_view_knows_its_length() {
        let view = View::<u32>::new(0x100, 8).offset(3);
        assert_eq!((view.address(), view.len()), (0x10c, 5));
        assert_eq!(view.cast::<u64>().len(), 2);
        assert!(View::<f32>::null().is_null());
    }
}
