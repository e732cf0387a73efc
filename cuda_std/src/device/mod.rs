//! The instructions of the device.

pub mod atomic;
pub mod memory;
pub mod mma;
pub mod shared;
pub mod thread;
pub mod warp;

/// A panic in a kernel (an index out of bounds, say) stops the grid; the host sees a launch failure.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: `trap` has no preconditions.
    unsafe { core::arch::nvptx::trap() }
}
