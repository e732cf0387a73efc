//! cuFFT: real transforms of batches of arrays of any rank, unscaled.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Mutex;

use rustfft::FftPlanner;
use rustfft::num_complex::Complex;

const SUCCESS: i32 = 0;

#[derive(Clone)]
struct Plan {
    sizes: Vec<usize>,
    batch: usize,
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
    let sizes = sizes.iter().map(|s| *s as usize).collect();
    let batch = batch as usize;
    let handle = plans(|p| {
        let handle = p.keys().max().map_or(1, |k| k + 1);
        p.insert(handle, Plan { sizes, batch });
        handle
    });
    // SAFETY: the caller's integer.
    unsafe { *plan = handle };
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

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cufftExecR2C(plan: i32, from: *const f32, to: *mut [f32; 2]) -> i32 {
    let plan = plans(|p| p[&plan].clone());
    let real: usize = plan.sizes.iter().product();
    let n = plan.sizes[plan.sizes.len() - 1];
    let (rows, width) = (real / n, n / 2 + 1);
    for b in 0..plan.batch {
        // SAFETY: the arrays are as long as the plan says.
        let input = unsafe { std::slice::from_raw_parts(from.add(b * real), real) };
        let mut values: Vec<Complex<f64>> = input
            .iter()
            .map(|v| Complex::new(f64::from(*v), 0.0))
            .collect();
        transform(&mut values, &plan.sizes, false);
        for row in 0..rows {
            for x in 0..width {
                let v = values[row * n + x];
                // SAFETY: as above.
                unsafe { *to.add((b * rows + row) * width + x) = [v.re as f32, v.im as f32] };
            }
        }
    }
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cufftExecC2R(plan: i32, from: *const [f32; 2], to: *mut f32) -> i32 {
    let plan = plans(|p| p[&plan].clone());
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
            Complex::new(f64::from(v[0]), f64::from(v[1]))
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
            unsafe { *to.add(b * real + i) = v.re as f32 };
        }
    }
    SUCCESS
}
