//! cuBLAS: one product, columns as cuBLAS stores them.

use std::ffi::c_void;

const SUCCESS: i32 = 0;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasCreate_v2(handle: *mut *mut c_void) -> i32 {
    // SAFETY: the caller's pointer.
    unsafe { *handle = std::ptr::without_provenance_mut(8) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasDestroy_v2(_handle: *mut c_void) -> i32 {
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasSetStream_v2(_handle: *mut c_void, _stream: *mut c_void) -> i32 {
    SUCCESS
}

/// C(i, j) = α Σ_k op(A)(i, k) · op(B)(k, j) + β C(i, j), element (i, j) of a matrix at i + j · ld.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasGemmEx(
    _handle: *mut c_void,
    transpose_a: i32,
    transpose_b: i32,
    m: i32,
    n: i32,
    k: i32,
    alpha: *const f32,
    a: *const f32,
    _a_type: i32,
    lda: i32,
    b: *const f32,
    _b_type: i32,
    ldb: i32,
    beta: *const f32,
    c: *mut f32,
    _c_type: i32,
    ldc: i32,
    _compute: i32,
    _algorithm: i32,
) -> i32 {
    let at = |row: i32, column: i32, ld: i32| row as usize + column as usize * ld as usize;
    for j in 0..n {
        for i in 0..m {
            // SAFETY: the caller's matrices have these sizes.
            unsafe {
                let sum: f64 = (0..k)
                    .map(|l| {
                        let of_a = if transpose_a == 0 {
                            at(i, l, lda)
                        } else {
                            at(l, i, lda)
                        };
                        let of_b = if transpose_b == 0 {
                            at(l, j, ldb)
                        } else {
                            at(j, l, ldb)
                        };
                        f64::from(*a.add(of_a)) * f64::from(*b.add(of_b))
                    })
                    .sum();
                let out = c.add(at(i, j, ldc));
                let old = if *beta == 0.0 { 0.0 } else { *beta * *out };
                *out = *alpha * sum as f32 + old;
            }
        }
    }
    SUCCESS
}
