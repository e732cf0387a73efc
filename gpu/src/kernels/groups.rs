//! Arguments that several kernels take together. Pointers and numbers of a group are passed one by one; the host fills the
//! struct of the same name with `Views`, whose arrays know their lengths. Types of fields have their whole paths, since every
//! kernel that takes the group names them.

use cuda_std::prelude::*;

use super::image_share::ctf_or_one;

/// References, and where slices lie in them.
#[group]
pub struct References {
    /// Volumes of this shape, one per class.
    #[unchecked]
    pub volumes: *const [f32; 2],
    /// The shape.
    #[len(1)]
    pub shape: *const crate::slice::VolumeShape,
    /// Axes of each slice.
    #[unchecked]
    pub axes: *const crate::slice::SliceAxes,
    /// Class of each slice, or of the orientation that slices descend from.
    #[unchecked]
    pub class_of: *const u32,
}

/// Slices that were made before.
#[group]
pub struct Slices {
    /// A slice per orientation, in rows of `stride`.
    #[unchecked]
    pub rows: *const [f32; 2],
    /// Row length.
    pub stride: u32,
}

/// Images of a batch as they are compared with slices.
#[group]
pub struct Compared {
    /// Images.
    #[launch]
    pub count: u32,
    /// F of each image, in rows of `stride`.
    #[len(count * stride)]
    pub images: *const [f32; 2],
    /// C of each image, likewise; null where it is 1.
    #[optional(count * stride)]
    pub ctf: *const f32,
    /// Row length.
    pub stride: u32,
    /// s of each image.
    #[len(count)]
    pub scales: *const f32,
    /// √Σ|F|² of each image for cross-correlation, else null.
    #[optional(count)]
    pub powers: *const f32,
    /// V of each pixel that is compared.
    #[len(pixels)]
    pub weight: *const f32,
    /// Pixels that are compared.
    pub pixels: u32,
}

impl Compared {
    /// Returns s·C, V and F of pixel `p` of an image.
    ///
    /// # Safety
    /// Image and pixel exist.
    #[inline(always)]
    pub(super) unsafe fn load(&self, image: usize, scale: f32, p: usize) -> (f32, f32, [f32; 2]) {
        let at = image * self.stride as usize + p;
        // SAFETY: the caller's.
        unsafe {
            (
                scale * ctf_or_one(self.ctf, at),
                memory::load(self.weight, p),
                memory::load2(self.images, at),
            )
        }
    }
}

/// Phases e^{iφ} of shifts.
#[group]
pub struct Phases {
    /// Shifts, with their children.
    #[launch]
    pub shifts: u32,
    /// A row of `stride` per shift.
    #[len(shifts * stride)]
    pub rows: *const [f32; 2],
    /// Row length.
    pub stride: u32,
}

/// Significant coarse samples, and how many children each has.
#[group]
pub struct Samples {
    /// Samples.
    #[launch]
    pub count: u32,
    /// The list.
    #[len(count)]
    pub list: *const crate::samples::Sample,
    /// Children of an orientation.
    pub orientation_children: u32,
    /// Children of a shift.
    pub shift_children: u32,
}
