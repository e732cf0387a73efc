//! First use of the device libraries: they load their kernels then, which takes some tenths of a second for each card.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::{Cube, CubeTransform, Device, DeviceError, Direction, ImageTransforms};
use super::{MatrixProduct, Precision};

/// A thread that uses cuFFT and cuBLAS once on a device, while the caller reads files.
pub struct WarmUp(Option<JoinHandle<()>>);

impl WarmUp {
    /// Starts it.
    pub fn start(device: Arc<Device>) -> Self {
        Self(Some(thread::spawn(move || {
            // Whatever is wrong here is met again, and reported, by the first who needs it.
            let _ = use_libraries(&device);
        })))
    }

    /// Waits until it is done.
    pub fn finish(&mut self) {
        if let Some(thread) = self.0.take() {
            // A panic there was printed there.
            let _ = thread.join();
        }
    }
}

impl Drop for WarmUp {
    fn drop(&mut self) {
        self.finish();
    }
}

fn use_libraries(device: &Device) -> Result<(), DeviceError> {
    const SIDE: usize = 64;
    // SAFETY: filled by the first transform; any numbers will do.
    let mut cube: Cube = unsafe { Cube::new(device, SIDE)? };
    let both = [Direction::Forward, Direction::Inverse];
    let plan = CubeTransform::new(device, SIDE, &both)?;
    for direction in both {
        plan.run(device, direction, &mut cube)?;
    }
    let images = device.zeros::<f32>(SIDE * SIDE)?;
    // SAFETY: filled by the transform.
    let mut transforms = unsafe { device.buffer(SIDE * (SIDE / 2 + 1))? };
    ImageTransforms::new(device, SIDE, 1)?.forward(device, &images, &mut transforms)?;
    let out = device.zeros::<f32>(SIDE * SIDE)?;
    // SAFETY: three arrays of SIDE × SIDE values.
    unsafe {
        MatrixProduct::new(device).run(
            device,
            Precision::Single,
            images.pointer(),
            images.pointer(),
            (SIDE, SIDE, SIDE),
            out.pointer(),
            SIDE,
        )?;
    }
    device.synchronise()
}
