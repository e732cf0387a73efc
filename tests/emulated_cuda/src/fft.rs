//! cuFFT: real transforms of batches of arrays of any rank, unscaled; of single arrays also in place.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Mutex;

use rustfft::FftPlanner;
use rustfft::num_complex::Complex;

const SUCCESS: i32 = 0;

/// cuFFT's code for a plan that cannot be run.
const INVALID_PLAN: i32 = 1;

#[derive(Clone, Default)]
struct Plan {
    sizes: Vec<usize>,
    batch: usize,
    /// Numbers from one row of real voxels to the next.
    real_row: usize,
    /// The caller gives the work area, and has done so.
    needs_work_area: bool,
    has_work_area: bool,
}

impl Plan {
    fn runs(&self) -> bool {
        self.has_work_area || !self.needs_work_area
    }
}

static PLANS: Mutex<Option<HashMap<i32, Plan>>> = Mutex::new(None);

fn plans<R>(f: impl FnOnce(&mut HashMap<i32, Plan>) -> R) -> R {
    f(PLANS.lock().unwrap().get_or_insert_default())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cufftPlanMany(
    plan: *mut i32,
    rank: i32,
    sizes: *const i32,
    _in_embed: *const i32,
    _in_stride: i32,
    _in_distance: i32,
    _out_embed: *const i32,
    _out_stride: i32,
    _out_distance: i32,
    _kind: i32,
    batch: i32,
) -> i32 {
    // SAFETY: the caller's sizes, `rank` of them.
    let sizes = unsafe { std::slice::from_raw_parts(sizes, rank as usize) };
    let sizes: Vec<usize> = sizes.iter().map(|s| *s as usize).collect();
    let made = Plan {
        real_row: sizes[sizes.len() - 1],
        sizes,
        batch: batch as usize,
        ..Plan::default()
    };
    // SAFETY: the caller's integer.
    unsafe { *plan = insert(made) };
    SUCCESS
}

fn insert(plan: Plan) -> i32 {
    plans(|p| {
        let handle = p.keys().max().map_or(1, |k| k + 1);
        p.insert(handle, plan);
        handle
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cufftCreate(plan: *mut i32) -> i32 {
    // SAFETY: the caller's integer.
    unsafe { *plan = insert(Plan::default()) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cufftSetAutoAllocation(plan: i32, automatic: i32) -> i32 {
    plans(|p| p.get_mut(&plan).expect("a plan").needs_work_area = automatic == 0);
    SUCCESS
}

/// The layout of the real side tells whether rows are padded; the work area is as large as the transform.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cufftMakePlanMany64(
    plan: i32,
    rank: i32,
    sizes: *const i64,
    in_embed: *const i64,
    _in_stride: i64,
    _in_distance: i64,
    out_embed: *const i64,
    _out_stride: i64,
    _out_distance: i64,
    kind: i32,
    batch: i64,
    work_size: *mut usize,
) -> i32 {
    const REAL_TO_COMPLEX: i32 = 0x2a;
    const DOUBLE_REAL_TO_COMPLEX: i32 = 0x6a;
    const DOUBLE_COMPLEX_TO_REAL: i32 = 0x6c;
    let rank = rank as usize;
    let real = if [REAL_TO_COMPLEX, DOUBLE_REAL_TO_COMPLEX].contains(&kind) {
        in_embed
    } else {
        out_embed
    };
    // SAFETY: the caller's sizes and layouts, `rank` of each.
    let (sizes, real_row) = unsafe {
        (
            std::slice::from_raw_parts(sizes, rank),
            *real.add(rank - 1) as usize,
        )
    };
    let sizes: Vec<usize> = sizes.iter().map(|s| *s as usize).collect();
    let last = sizes[rank - 1];
    let complex = sizes[..rank - 1].iter().product::<usize>() * (last / 2 + 1);
    let double = [DOUBLE_REAL_TO_COMPLEX, DOUBLE_COMPLEX_TO_REAL].contains(&kind);
    let pair = if double { 16 } else { 8 };
    plans(|p| {
        let plan = p.get_mut(&plan).expect("a plan");
        (plan.sizes, plan.batch, plan.real_row) = (sizes, batch as usize, real_row);
    });
    // SAFETY: the caller's number.
    unsafe { *work_size = pair * complex };
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cufftSetWorkArea(plan: i32, area: *mut c_void) -> i32 {
    plans(|p| p.get_mut(&plan).expect("a plan").has_work_area = !area.is_null());
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cufftSetStream(_plan: i32, _stream: *mut c_void) -> i32 {
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cufftDestroy(plan: i32) -> i32 {
    plans(|p| p.remove(&plan));
    SUCCESS
}

/// Transforms all axes of a whole complex array.
fn transform(values: &mut [Complex<f64>], sizes: &[usize], inverse: bool) {
    let mut planner = FftPlanner::new();
    let mut stride = 1;
    for &n in sizes.iter().rev() {
        let fft = if inverse {
            planner.plan_fft_inverse(n)
        } else {
            planner.plan_fft_forward(n)
        };
        let mut line = vec![Complex::default(); n];
        for first in (0..values.len()).filter(|i| i / stride % n == 0) {
            (0..n).for_each(|k| line[k] = values[first + k * stride]);
            fft.process(&mut line);
            (0..n).for_each(|k| values[first + k * stride] = line[k]);
        }
        stride *= n;
    }
}

/// A number of an array: in between all is double.
trait Number: Copy {
    fn get(self) -> f64;
    fn of(value: f64) -> Self;
}

impl Number for f32 {
    fn get(self) -> f64 {
        f64::from(self)
    }

    fn of(value: f64) -> Self {
        value as f32
    }
}

impl Number for f64 {
    fn get(self) -> f64 {
        self
    }

    fn of(value: f64) -> Self {
        value
    }
}

/// # Safety
/// The arrays are as long as the plan says.
unsafe fn forward<R: Number>(plan: i32, from: *const R, to: *mut [R; 2]) -> i32 {
    let plan = plans(|p| p[&plan].clone());
    if !plan.runs() {
        return INVALID_PLAN;
    }
    let real: usize = plan.sizes.iter().product();
    let n = plan.sizes[plan.sizes.len() - 1];
    let (rows, width) = (real / n, n / 2 + 1);
    for b in 0..plan.batch {
        let mut values: Vec<Complex<f64>> = (0..real)
            .map(|i| {
                // SAFETY: the arrays are as long as the plan says.
                let v = unsafe { *from.add((b * rows + i / n) * plan.real_row + i % n) };
                Complex::new(v.get(), 0.0)
            })
            .collect();
        transform(&mut values, &plan.sizes, false);
        for row in 0..rows {
            for x in 0..width {
                let v = values[row * n + x];
                // SAFETY: as above.
                unsafe { *to.add((b * rows + row) * width + x) = [R::of(v.re), R::of(v.im)] };
            }
        }
    }
    SUCCESS
}

/// # Safety
/// The arrays are as long as the plan says.
unsafe fn inverse<R: Number>(plan: i32, from: *const [R; 2], to: *mut R) -> i32 {
    let plan = plans(|p| p[&plan].clone());
    if !plan.runs() {
        return INVALID_PLAN;
    }
    let real: usize = plan.sizes.iter().product();
    let n = plan.sizes[plan.sizes.len() - 1];
    let (rows, width) = (real / n, n / 2 + 1);
    let leading = &plan.sizes[..plan.sizes.len() - 1];
    // The row that holds the mates of a row: every leading index negated.
    let mate = |row: usize| {
        let (mut rest, mut stride, mut out) = (row, 1, 0);
        for &size in leading.iter().rev() {
            out += (size - rest % size) % size * stride;
            rest /= size;
            stride *= size;
        }
        out
    };
    for b in 0..plan.batch {
        let at = |row: usize, x: usize| {
            // SAFETY: the arrays are as long as the plan says.
            let v = unsafe { *from.add((b * rows + row) * width + x) };
            Complex::new(v[0].get(), v[1].get())
        };
        let mut values: Vec<Complex<f64>> = (0..real)
            .map(|i| {
                let (row, x) = (i / n, i % n);
                if x < width {
                    at(row, x)
                } else {
                    at(mate(row), n - x).conj()
                }
            })
            .collect();
        transform(&mut values, &plan.sizes, true);
        for (i, v) in values.iter().enumerate() {
            // SAFETY: as above.
            unsafe { *to.add((b * rows + i / n) * plan.real_row + i % n) = R::of(v.re) };
        }
    }
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cufftExecR2C(plan: i32, from: *const f32, to: *mut [f32; 2]) -> i32 {
    // SAFETY: the caller's arrays.
    unsafe { forward(plan, from, to) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cufftExecD2Z(plan: i32, from: *const f64, to: *mut [f64; 2]) -> i32 {
    // SAFETY: the caller's arrays.
    unsafe { forward(plan, from, to) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cufftExecC2R(plan: i32, from: *const [f32; 2], to: *mut f32) -> i32 {
    // SAFETY: the caller's arrays.
    unsafe { inverse(plan, from, to) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cufftExecZ2D(plan: i32, from: *const [f64; 2], to: *mut f64) -> i32 {
    // SAFETY: the caller's arrays.
    unsafe { inverse(plan, from, to) }
}
