//! Fourier transforms of images on the device (cuFFT): unscaled, as stored; scaling and centring belong to the kernels.

use std::ffi::c_int;

use cudarc::cufft::{result, sys};

use super::{Buffer, Device, DeviceError, driver};

pub(super) fn failed(device: &Device, doing: &str, error: result::CufftError) -> DeviceError {
    if error.0 == sys::cufftResult::CUFFT_ALLOC_FAILED {
        let (free, total) = device.memory().unwrap_or((0, 0));
        return DeviceError::Full {
            ordinal: device.ordinal(),
            asked_mib: 0,
            free_mib: free >> 20,
            total_mib: total >> 20,
        };
    }
    DeviceError::Call {
        ordinal: device.ordinal(),
        doing: doing.to_string(),
        code: format!("{:?}", error.0),
    }
}

/// A plan, destroyed when dropped.
pub(super) struct Plan(pub(super) sys::cufftHandle);

// SAFETY: a plan may move between threads; it is used through &mut or by one engine at a time.
unsafe impl Send for Plan {}

impl Plan {
    fn new(
        device: &Device,
        sizes: &[c_int],
        kind: sys::cufftType,
        batch: usize,
    ) -> Result<Self, DeviceError> {
        driver::require_cufft()?;
        device.make_current()?;
        let real: c_int = sizes.iter().product();
        let last = sizes[sizes.len() - 1];
        let half = real / last * (last / 2 + 1);
        let (from, to) = if kind == sys::cufftType::CUFFT_R2C {
            (real, half)
        } else {
            (half, real)
        };
        // SAFETY: null strides mean packed arrays; the sizes outlive the call.
        let plan = unsafe {
            result::plan_many(
                sizes.len() as c_int,
                sizes.as_ptr().cast_mut(),
                std::ptr::null_mut(),
                1,
                from,
                std::ptr::null_mut(),
                1,
                to,
                kind,
                batch as c_int,
            )
        }
        .map_err(|e| failed(device, "planning a Fourier transform", e))?;
        let plan = Self(plan);
        // SAFETY: plan and stream are alive.
        unsafe { result::set_stream(plan.0, device.stream().cu_stream().cast()) }
            .map_err(|e| failed(device, "planning a Fourier transform", e))?;
        Ok(plan)
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        // SAFETY: destroyed once. An error here could not be acted on.
        let _ = unsafe { result::destroy(self.0) };
    }
}

/// Transforms of batches of square images, in one direction: real rows to half-complex, or back.
pub struct ImageTransforms {
    plan: Plan,
    kind: sys::cufftType,
    side: usize,
    batch: usize,
}

impl ImageTransforms {
    /// Has the library load its kernels, which it does for the first plan of a device.
    pub fn load(device: &Device) -> Result<(), DeviceError> {
        Self::new(device, 64, 1).map(drop)
    }

    /// Plan for forward transforms of `batch` images of `side`² pixels.
    pub fn new(device: &Device, side: usize, batch: usize) -> Result<Self, DeviceError> {
        Self::of_kind(device, sys::cufftType::CUFFT_R2C, side, batch)
    }

    /// Plan for inverse transforms of `batch` images of `side`² pixels.
    pub fn inverse_plan(device: &Device, side: usize, batch: usize) -> Result<Self, DeviceError> {
        Self::of_kind(device, sys::cufftType::CUFFT_C2R, side, batch)
    }

    fn of_kind(
        device: &Device,
        kind: sys::cufftType,
        side: usize,
        batch: usize,
    ) -> Result<Self, DeviceError> {
        let n = side as c_int;
        Ok(Self {
            plan: Plan::new(device, &[n, n], kind, batch)?,
            kind,
            side,
            batch,
        })
    }

    /// Pixels along a side.
    pub fn side(&self) -> usize {
        self.side
    }

    /// Images a batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Transforms all images of `from` into `to` (side · (side/2+1) values per image). Unscaled.
    pub fn forward(
        &self,
        device: &Device,
        from: &Buffer<f32>,
        to: &mut Buffer<[f32; 2]>,
    ) -> Result<(), DeviceError> {
        assert_eq!(self.kind, sys::cufftType::CUFFT_R2C);
        assert!(from.len() >= self.batch * self.side * self.side);
        assert!(to.len() >= self.batch * self.side * (self.side / 2 + 1));
        // SAFETY: both arrays are as long as the plan says (checked above) and different.
        unsafe {
            result::exec_r2c(
                self.plan.0,
                from.view().address() as *mut sys::cufftReal,
                to.view().address() as *mut sys::cufftComplex,
            )
        }
        .map_err(|e| failed(device, "transforming images", e))
    }

    /// Transforms all of `from` (side · (side/2+1) values per image) into the images `to`. Unscaled; `from` is overwritten.
    pub fn inverse(
        &self,
        device: &Device,
        from: &mut Buffer<[f32; 2]>,
        to: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        assert_eq!(self.kind, sys::cufftType::CUFFT_C2R);
        assert!(from.len() >= self.batch * self.side * (self.side / 2 + 1));
        assert!(to.len() >= self.batch * self.side * self.side);
        // SAFETY: both arrays are as long as the plan says (checked above) and different.
        unsafe {
            result::exec_c2r(
                self.plan.0,
                from.view().address() as *mut sys::cufftComplex,
                to.view().address() as *mut sys::cufftReal,
            )
        }
        .map_err(|e| failed(device, "transforming images", e))
    }
}
