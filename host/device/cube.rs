//! Fourier transforms of cubes in place (cuFFT), with a work area that the device's ledger knows: unscaled, as stored.

use std::ffi::{c_int, c_longlong};

use cudarc::cufft::{result, sys};

use super::fft::{Plan, failed};
use super::{Buffer, Device, DeviceError, Element, View, driver};

/// The numbers of a cube, single or double.
pub trait Real: Element {
    /// The numbers of its transform.
    type Pair: Element;
    /// cuFFT's kind of a transform in this direction.
    fn kind(direction: Direction) -> sys::cufftType;
    /// Queues a transform in place.
    ///
    /// # Safety
    /// The plan is of [`Real::kind`] of this direction, and the cube at `address` as long as it says, in either layout.
    unsafe fn run(
        plan: sys::cufftHandle,
        direction: Direction,
        address: u64,
    ) -> Result<(), result::CufftError>;
}

macro_rules! real {
    ($number:ty, $forward:ident $run_forward:ident, $inverse:ident $run_inverse:ident) => {
        impl Real for $number {
            type Pair = [$number; 2];

            fn kind(direction: Direction) -> sys::cufftType {
                match direction {
                    Direction::Forward => sys::cufftType::$forward,
                    Direction::Inverse => sys::cufftType::$inverse,
                }
            }

            unsafe fn run(
                plan: sys::cufftHandle,
                direction: Direction,
                address: u64,
            ) -> Result<(), result::CufftError> {
                // SAFETY: passed on to the caller.
                unsafe {
                    match direction {
                        Direction::Forward => {
                            result::$run_forward(plan, address as *mut _, address as *mut _)
                        }
                        Direction::Inverse => {
                            result::$run_inverse(plan, address as *mut _, address as *mut _)
                        }
                    }
                }
            }
        }
    };
}
real!(f32, CUFFT_R2C exec_r2c, CUFFT_C2R exec_c2r);
real!(f64, CUFFT_D2Z exec_d2z, CUFFT_Z2D exec_z2d);

/// A cube of side n as its half-complex transform, n · n · (n/2+1) values, or in real space in the same place: rows of n
/// voxels, each followed by what is missing to 2(n/2+1).
pub struct Cube<R: Real = f32> {
    values: Buffer<R::Pair>,
    side: usize,
}

impl<R: Real> Cube<R> {
    /// Room for a cube, with any content.
    ///
    /// # Safety
    /// The content is read only after it was written.
    pub unsafe fn new(device: &Device, side: usize) -> Result<Self, DeviceError> {
        // SAFETY: passed on to the caller.
        let values = unsafe { device.buffer(Self::bytes(side) / size_of::<R::Pair>())? };
        Ok(Self { values, side })
    }

    /// Bytes of a cube of this side.
    pub fn bytes(side: usize) -> usize {
        size_of::<R::Pair>() * side * side * (side / 2 + 1)
    }

    /// Voxels along a side.
    pub fn side(&self) -> usize {
        self.side
    }

    /// The transform.
    pub fn transform(&self) -> View<R::Pair> {
        self.values.view()
    }

    /// The voxels.
    pub fn voxels(&self) -> View<R> {
        self.values.view().cast()
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
pub struct CubeTransform<R: Real = f32> {
    plans: Vec<(Direction, Plan)>,
    side: usize,
    /// Used by the plans only; freed after them.
    _work_area: Buffer<R::Pair>,
}

impl<R: Real> CubeTransform<R> {
    /// Plans for `side`³ voxels.
    pub fn new(
        device: &Device,
        side: usize,
        directions: &[Direction],
    ) -> Result<Self, DeviceError> {
        let (plans, work_bytes) = Self::plans(device, side, directions)?;
        // SAFETY: read by the plans after they wrote it.
        let work_area: Buffer<R::Pair> =
            unsafe { device.buffer(work_bytes.div_ceil(size_of::<R::Pair>()))? };
        for (_, plan) in &plans {
            // SAFETY: the area is as large as the plan asked for and lives as long.
            unsafe { result::set_work_area(plan.0, work_area.view().address() as *mut _) }
                .map_err(|e| failed(device, "planning a Fourier transform", e))?;
        }
        Ok(Self {
            plans,
            side,
            _work_area: work_area,
        })
    }

    /// Bytes of the work area that [`Self::new`] would take.
    pub fn work_area(
        device: &Device,
        side: usize,
        directions: &[Direction],
    ) -> Result<usize, DeviceError> {
        Ok(Self::plans(device, side, directions)?.1)
    }

    /// Plans without a work area, and the bytes of the one that they share.
    fn plans(
        device: &Device,
        side: usize,
        directions: &[Direction],
    ) -> Result<(Vec<(Direction, Plan)>, usize), DeviceError> {
        driver::require_cufft()?;
        device.make_current()?;
        let mut plans = Vec::new();
        let mut work_bytes = 0;
        for &direction in directions {
            let (plan, bytes) =
                plan::<R>(side, direction, device).map_err(|e| failed(device, "planning", e))?;
            plans.push((direction, plan));
            work_bytes = work_bytes.max(bytes);
        }
        Ok((plans, work_bytes))
    }

    /// Transforms `cube` in place. Unscaled.
    ///
    /// # Panics
    /// If the cube has another side, or the direction was not planned.
    pub fn run(
        &self,
        device: &Device,
        direction: Direction,
        cube: &mut Cube<R>,
    ) -> Result<(), DeviceError> {
        assert_eq!(cube.side, self.side, "a plan is for one side");
        let (_, plan) = self
            .plans
            .iter()
            .find(|(planned, _)| *planned == direction)
            .expect("a direction that was planned");
        // SAFETY: the cube is as long as the plan says, in either layout.
        unsafe { R::run(plan.0, direction, cube.values.view().address()) }
            .map_err(|e| failed(device, "transforming a volume", e))
    }
}

/// A plan in place without a work area of its own, and the bytes of the area that it needs.
fn plan<R: Real>(
    side: usize,
    direction: Direction,
    device: &Device,
) -> Result<(Plan, usize), result::CufftError> {
    let n = side as c_longlong;
    let mut sizes = [n; 3];
    let (mut real, mut complex) = ([n, n, 2 * (n / 2 + 1)], [n, n, n / 2 + 1]);
    let distance = |layout: [c_longlong; 3]| layout.iter().product();
    let (real_distance, complex_distance) = (distance(real), distance(complex));
    let (from, from_distance, to, to_distance) = match direction {
        Direction::Forward => (&mut real, real_distance, &mut complex, complex_distance),
        Direction::Inverse => (&mut complex, complex_distance, &mut real, real_distance),
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
            R::kind(direction),
            1,
        )?;
        result::set_stream(plan.0, device.stream().cu_stream().cast())?;
        bytes
    };
    Ok((plan, bytes))
}
