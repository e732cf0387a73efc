//! Large matrix products (cuBLAS, or this program's own kernels where cuBLAS is not installed).

use gpu::kernels::product::{InnerProducts, InnerProductsTf32, InnerProductsTf32x3, SplitTf32};
use gpu::launch::{Launch, View};
use std::ffi::c_int;

use cudarc::cublas::{CudaBlas, sys};

use super::{Buffer, Device, DeviceError, driver};

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

    /// Has the library load what its first product of a device needs.
    pub fn load(&self, device: &Device) -> Result<(), DeviceError> {
        const SIDE: usize = 128;
        let zeros = || self.operand(device, Precision::Single, device.zeros(SIDE * SIDE)?);
        let (left, right, out) = (zeros()?, zeros()?, device.zeros::<f32>(SIDE * SIDE)?);
        let factors = Factors {
            left: &left,
            first: 0,
            right: &right,
            rows: SIDE,
            columns: SIDE,
            length: SIDE,
            out: out.view(),
        };
        // SAFETY: filled with zeros, and kept until the product is there.
        unsafe { self.run(device, Precision::Single, &factors)? };
        device.synchronise()
    }

    /// Returns `values`, which may still have any content, as an operand, with room for a second part where products of `precision` take
    /// them in two.
    pub fn operand(
        &self,
        device: &Device,
        precision: Precision,
        values: Buffer<f32>,
    ) -> Result<Operand, DeviceError> {
        let splits = precision == Precision::Tf32x3 && self.on_tensor_cores(device);
        // SAFETY: `Operand::split` fills it before it is read.
        let low = splits.then(|| unsafe { device.buffer(values.len()) });
        Ok(Operand {
            low: low.transpose()?,
            values,
        })
    }

    /// True where cuBLAS multiplies with tensor cores.
    fn on_tensor_cores(&self, device: &Device) -> bool {
        self.blas.is_some() && device.capability() >= 80
    }

    /// Queues a product. `length` is a multiple of 32.
    ///
    /// # Errors
    /// An array is too short, or the library or the driver refuses.
    ///
    /// # Safety
    /// The operands were filled, and exist until the product is there.
    pub unsafe fn run(
        &self,
        device: &Device,
        precision: Precision,
        factors: &Factors,
    ) -> Result<(), DeviceError> {
        let product = factors.product();
        // SAFETY: passed on to the caller.
        unsafe {
            match (&self.blas, precision) {
                (Some(blas), Precision::Single | Precision::Tf32) => {
                    multiply(blas, device, precision, product, false)
                }
                (Some(blas), Precision::Tf32x3) if self.on_tensor_cores(device) => {
                    // The smallest first; the product of both lower parts is below the last digit.
                    let tf32 = Precision::Tf32;
                    let (left, right) = factors.low();
                    multiply(blas, device, tf32, InnerProducts { left, ..product }, false)?;
                    multiply(blas, device, tf32, InnerProducts { right, ..product }, true)?;
                    multiply(blas, device, tf32, product, true)
                }
                (_, Precision::Tf32x3) if device.capability() >= 80 => {
                    device.launch(&InnerProductsTf32x3::from(product))
                }
                (None, Precision::Tf32) if device.capability() >= 80 => {
                    device.launch(&InnerProductsTf32::from(product))
                }
                _ => device.launch(&product),
            }
        }
    }
}

/// A matrix whose rows are multiplied with those of another.
pub struct Operand {
    /// The values, or their upper parts.
    values: Buffer<f32>,
    /// Their rest, where tensor cores multiply both parts.
    low: Option<Buffer<f32>>,
}

impl Operand {
    /// Where a kernel puts the values. [`Self::split`] follows.
    pub fn view(&self) -> View<f32> {
        self.values.view()
    }

    /// Queues what is to be done with the first `length` values once they are there.
    pub fn split(&self, device: &Device, length: usize) -> Result<(), DeviceError> {
        let Some(low) = &self.low else {
            return Ok(());
        };
        /// Values of a launch.
        const MOST: usize = 1 << 30;
        for first in (0..length).step_by(MOST) {
            // SAFETY: both arrays have as many values.
            unsafe {
                device.launch(&SplitTf32 {
                    count: MOST.min(length - first) as u32,
                    values: self.values.view().offset(first),
                    low: low.view().offset(first),
                })?;
            }
        }
        Ok(())
    }
}

/// Operands of a product, and where the products go.
#[derive(Clone, Copy)]
pub struct Factors<'a> {
    /// Rows of the product.
    pub left: &'a Operand,
    /// First of their values.
    pub first: usize,
    /// Columns of the product.
    pub right: &'a Operand,
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// Values of a row.
    pub length: usize,
    /// Rows of `columns` products.
    pub out: View<f32>,
}

impl Factors<'_> {
    /// Product of the values, or of their upper parts.
    fn product(&self) -> InnerProducts {
        InnerProducts {
            left: self.left.values.view().offset(self.first),
            right: self.right.values.view(),
            rows: self.rows as u32,
            columns: self.columns as u32,
            length: self.length as u32,
            out: self.out,
            out_stride: self.columns as u32,
        }
    }

    /// The lower parts of both operands.
    fn low(&self) -> (View<f32>, View<f32>) {
        let low = |operand: &Operand| operand.low.as_ref().expect("made for this").view();
        (low(self.left).offset(self.first), low(self.right))
    }
}

/// Queues a product with cuBLAS, which adds it to what is there where `adds` is true.
///
/// # Safety
/// As for [`MatrixProduct::run`].
unsafe fn multiply(
    blas: &CudaBlas,
    device: &Device,
    precision: Precision,
    product: InnerProducts,
    adds: bool,
) -> Result<(), DeviceError> {
    product.check().map_err(|short| device.short_array(short))?;
    let InnerProducts {
        left,
        right,
        rows,
        columns,
        length,
        out,
        out_stride,
    } = product;
    let compute = match precision {
        Precision::Tf32 => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
        _ => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
    };
    let (one, added) = (1.0f32, f32::from(u8::from(adds)));
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
            (&raw const added).cast(),
            out.address() as *mut _,
            kind,
            out_stride as c_int,
            compute,
            sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
        )
    };
    if status == sys::cublasStatus_t::CUBLAS_STATUS_SUCCESS {
        return Ok(());
    }
    Err(DeviceError::Call {
        ordinal: device.ordinal(),
        doing: format!("a product of {rows} × {length} with {length} × {columns}"),
        code: format!("{status:?}"),
    })
}
