//! Large matrix products (cuBLAS, or this program's own kernels where cuBLAS is not installed).

use gpu::kernels::product::{InnerProducts, InnerProductsTf32, InnerProductsTf32x3};
use gpu::launch::Launch;
use std::ffi::c_int;

use cudarc::cublas::{CudaBlas, sys};

use super::{Device, DeviceError, driver};

/// How operands are rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 24 bits.
    Single,
    /// Tensor cores, 11 bits (from compute capability 8.0 on).
    Tf32,
    /// Tensor cores, operands split in two parts: nearly single precision for three products.
    Tf32x3,
}

impl Precision {
    /// By its name on the command line: single, tf32 or tf32x3.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "single" => Some(Self::Single),
            "tf32" => Some(Self::Tf32),
            "tf32x3" => Some(Self::Tf32x3),
            _ => None,
        }
    }
}

/// Products of rows with rows: out[r · out_stride + c] = Σ_k left[r · length + k] · right[c · length + k].
pub struct MatrixProduct {
    blas: Option<CudaBlas>,
}

impl MatrixProduct {
    /// Uses cuBLAS where it can be loaded.
    pub fn new(device: &Device) -> Self {
        let blas = driver::require_cublas()
            .ok()
            .and_then(|()| CudaBlas::new(device.stream().clone()).ok());
        Self { blas }
    }

    /// Queues a product. `length` is a multiple of 32.
    ///
    /// # Errors
    /// An array is too short, or the library or the driver refuses.
    ///
    /// # Safety
    /// The arrays exist until the product is there.
    pub unsafe fn run(
        &self,
        device: &Device,
        precision: Precision,
        product: InnerProducts,
    ) -> Result<(), DeviceError> {
        let InnerProducts {
            left,
            right,
            rows,
            columns,
            length,
            out,
            out_stride,
        } = product;
        match (&self.blas, precision) {
            (Some(blas), Precision::Single | Precision::Tf32) => {
                product.check().map_err(|short| device.short_array(short))?;
                let compute = match precision {
                    Precision::Tf32 => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
                    _ => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
                };
                let (one, zero) = (1.0f32, 0.0f32);
                let kind = sys::cudaDataType::CUDA_R_32F;
                // cuBLAS stores columns: its (column, row) is our (row, column).
                // SAFETY: the lengths are checked; alpha and beta outlive the call.
                let status = unsafe {
                    sys::cublasGemmEx(
                        *blas.handle(),
                        sys::cublasOperation_t::CUBLAS_OP_T,
                        sys::cublasOperation_t::CUBLAS_OP_N,
                        columns as c_int,
                        rows as c_int,
                        length as c_int,
                        (&raw const one).cast(),
                        right.address() as *const _,
                        kind,
                        length as c_int,
                        left.address() as *const _,
                        kind,
                        length as c_int,
                        (&raw const zero).cast(),
                        out.address() as *mut _,
                        kind,
                        out_stride as c_int,
                        compute,
                        sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
                    )
                };
                if status == sys::cublasStatus_t::CUBLAS_STATUS_SUCCESS {
                    Ok(())
                } else {
                    Err(DeviceError::Call {
                        ordinal: device.ordinal(),
                        doing: format!("a product of {rows} × {length} with {length} × {columns}"),
                        code: format!("{status:?}"),
                    })
                }
            }
            // SAFETY: passed on to the caller.
            (_, Precision::Tf32x3) if device.capability() >= 80 => unsafe {
                device.launch(&InnerProductsTf32x3::from(product))
            },
            // SAFETY: passed on to the caller.
            (None, Precision::Tf32) if device.capability() >= 80 => unsafe {
                device.launch(&InnerProductsTf32::from(product))
            },
            // SAFETY: passed on to the caller.
            _ => unsafe { device.launch(&product) },
        }
    }
}
