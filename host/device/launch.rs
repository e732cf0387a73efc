//! Launching kernels. What a launch needs to know stands in the signature of each kernel (`gpu/src/kernels`).

use cudarc::driver::result;
use gpu::launch::{Extent, Launch, TooShort};

use super::driver::failed;
use super::{Device, DeviceError};

impl Device {
    /// Queues a kernel, after checking that its arrays are as long as it states.
    ///
    /// # Errors
    /// An array is too short, or the driver refuses the launch.
    ///
    /// # Safety
    /// The arrays exist until the kernel has run, and hold what the kernel's documentation asks for: indices in them lie
    /// within the arrays that they point into, and so do those whose length the kernel marks as unchecked.
    pub unsafe fn launch<L: Launch>(&self, kernel: &L) -> Result<(), DeviceError> {
        let name = L::KERNEL.name;
        let Extent {
            grid: [x, y, z],
            block,
            shared_words,
        } = kernel.extent();
        if [x, y, z].contains(&0) {
            return Ok(());
        }
        kernel.check().map_err(|short| self.short_array(short))?;
        let function = self.function(name)?;
        self.make_current()?;
        kernel
            .with_arguments(|arguments| {
                // SAFETY: the arguments are the kernel's own; what they point to is promised by the caller. The driver
                // copies the arguments during the call.
                unsafe {
                    result::launch_kernel(
                        function.cu_function(),
                        (x, y, z),
                        (block, 1, 1),
                        4 * shared_words,
                        self.stream().cu_stream(),
                        arguments,
                    )
                }
            })
            .map_err(|e| failed(self.ordinal(), &format!("launching {name}"), e))
    }

    /// The error of an array that is shorter than a kernel states.
    pub(super) fn short_array(&self, short: TooShort) -> DeviceError {
        DeviceError::ShortArray {
            ordinal: self.ordinal(),
            short,
        }
    }
}
