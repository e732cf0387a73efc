//! Fourier transforms of cubes in place (cuFFT), with a work area that the device's ledger knows: unscaled, as stored.

use std::ffi::{c_int, c_longlong};

use cudarc::cufft::{result, sys};

use super::fft::{Plan, failed};
use super::{Buffer, Device, DeviceError, Pointer, driver};

/// Bytes of a number pair.
const PAIR: usize = size_of::<[f32; 2]>();

/// A cube of side n as its half-complex transform, n · n · (n/2+1) values, or in real space in the same place: rows of n
/// voxels, each followed by what is missing to 2(n/2+1).
pub struct Cube {
    values: Buffer<[f32; 2]>,
    side: usize,
}

impl Cube {
    /// Room for a cube, with any content.
    ///
    /// # Safety
    /// The content is read only after it was written.
    pub unsafe fn new(device: &Device, side: usize) -> Result<Self, DeviceError> {
        // SAFETY: passed on to the caller.
        let values = unsafe { device.buffer(Self::bytes(side) / PAIR)? };
        Ok(Self { values, side })
    }

    /// Bytes of a cube of this side.
    pub fn bytes(side: usize) -> usize {
        PAIR * side * side * (side / 2 + 1)
    }

    /// Voxels along a side.
    pub fn side(&self) -> usize {
        self.side
    }

    /// The transform.
    pub fn transform(&self) -> Pointer<[f32; 2]> {
        self.values.pointer()
    }

    /// The voxels.
    pub fn voxels(&self) -> Pointer<f32> {
        self.values.pointer().cast()
    }
}

/// Which way a cube is transformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Real space to transform.
    Forward,
    /// Transform to real space.
    Inverse,
}

/// Transforms of cubes of one side, in one or both directions, which share a work area.
pub struct CubeTransform {
    plans: Vec<(Direction, Plan)>,
    side: usize,
    /// Used by the plans only; freed after them.
    _work_area: Buffer<[f32; 2]>,
}

impl CubeTransform {
    /// Plans for `side`³ voxels.
    pub fn new(
        device: &Device,
        side: usize,
        directions: &[Direction],
    ) -> Result<Self, DeviceError> {
        driver::require_cufft()?;
        device.make_current()?;
        let mut plans = Vec::new();
        let mut work_bytes = 0;
        for &direction in directions {
            let (plan, bytes) =
                plan(side, direction, device).map_err(|e| failed(device, "planning", e))?;
            plans.push((direction, plan));
            work_bytes = work_bytes.max(bytes);
        }
        // SAFETY: read by the plans after they wrote it.
        let work_area: Buffer<[f32; 2]> = unsafe { device.buffer(work_bytes.div_ceil(PAIR))? };
        for (_, plan) in &plans {
            // SAFETY: the area is as large as the plan asked for and lives as long.
            unsafe { result::set_work_area(plan.0, work_area.pointer().address() as *mut _) }
                .map_err(|e| failed(device, "planning a Fourier transform", e))?;
        }
        Ok(Self {
            plans,
            side,
            _work_area: work_area,
        })
    }

    /// Transforms `cube` in place. Unscaled.
    ///
    /// # Panics
    /// If the cube has another side, or the direction was not planned.
    pub fn run(
        &self,
        device: &Device,
        direction: Direction,
        cube: &mut Cube,
    ) -> Result<(), DeviceError> {
        assert_eq!(cube.side, self.side, "a plan is for one side");
        let (_, plan) = self
            .plans
            .iter()
            .find(|(planned, _)| *planned == direction)
            .expect("a direction that was planned");
        let address = cube.values.pointer().address();
        // SAFETY: the cube is as long as the plan says, in either layout.
        unsafe {
            match direction {
                Direction::Forward => {
                    result::exec_r2c(plan.0, address as *mut _, address as *mut _)
                }
                Direction::Inverse => {
                    result::exec_c2r(plan.0, address as *mut _, address as *mut _)
                }
            }
        }
        .map_err(|e| failed(device, "transforming a volume", e))
    }
}

/// A plan in place without a work area of its own, and the bytes of the area that it needs.
fn plan(
    side: usize,
    direction: Direction,
    device: &Device,
) -> Result<(Plan, usize), result::CufftError> {
    let n = side as c_longlong;
    let mut sizes = [n; 3];
    let (mut real, mut complex) = ([n, n, 2 * (n / 2 + 1)], [n, n, n / 2 + 1]);
    let distance = |layout: [c_longlong; 3]| layout.iter().product();
    let (real_distance, complex_distance) = (distance(real), distance(complex));
    let (kind, from, from_distance, to, to_distance) = match direction {
        Direction::Forward => (
            sys::cufftType::CUFFT_R2C,
            &mut real,
            real_distance,
            &mut complex,
            complex_distance,
        ),
        Direction::Inverse => (
            sys::cufftType::CUFFT_C2R,
            &mut complex,
            complex_distance,
            &mut real,
            real_distance,
        ),
    };
    let plan = Plan(result::create()?);
    // SAFETY: the plan and the stream are alive, the arrays of sizes outlive the calls.
    let bytes = unsafe {
        result::set_auto_allocation(plan.0, false)?;
        let bytes = result::make_plan_many64(
            plan.0,
            sizes.len() as c_int,
            sizes.as_mut_ptr(),
            from.as_mut_ptr(),
            1,
            from_distance,
            to.as_mut_ptr(),
            1,
            to_distance,
            kind,
            1,
        )?;
        result::set_stream(plan.0, device.stream().cu_stream().cast())?;
        bytes
    };
    Ok((plan, bytes))
}
