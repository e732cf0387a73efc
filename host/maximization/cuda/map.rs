//! Maps on a device: the way from and to the host, and their transforms.

use crate::device::{Buffer, Cube, CubeTransform, Device, DeviceError, Direction, View};
use gpu::kernels::map::{CropMap, PadMap};
use gpu::kernels::solvent::MultiplyMaps;
use ndarray::Array3;
use std::sync::Arc;

/// A map of side n in single precision, x fastest.
pub(crate) struct DeviceMap {
    pub device: Arc<Device>,
    pub voxels: Buffer<f32>,
    side: usize,
}

impl DeviceMap {
    /// A map with any content.
    ///
    /// # Safety
    /// The content is read only after it was written.
    pub(crate) unsafe fn new(device: &Arc<Device>, side: usize) -> Result<Self, DeviceError> {
        Ok(Self {
            device: device.clone(),
            // SAFETY: passed on to the caller.
            voxels: unsafe { device.buffer(side.pow(3))? },
            side,
        })
    }

    /// A copy of a map of the host.
    pub(crate) fn upload(device: &Arc<Device>, map: &Array3<f64>) -> Result<Self, DeviceError> {
        let map = map.as_standard_layout();
        let values = map.as_slice().expect("in standard layout");
        Ok(Self {
            device: device.clone(),
            voxels: device.upload_as(values, |&v| v as f32)?,
            side: map.dim().0,
        })
    }

    /// The map on the host.
    pub(crate) fn to_host(&self) -> Result<Array3<f64>, DeviceError> {
        let values = self.device.download_as(&self.voxels, f64::from)?;
        Ok(Array3::from_shape_vec([self.side; 3], values).expect("a value a voxel"))
    }

    /// Voxels along a side.
    pub(crate) fn side(&self) -> u32 {
        self.side as u32
    }

    /// Voxels.
    pub(crate) fn count(&self) -> u32 {
        self.voxels.len() as u32
    }

    pub(crate) fn view(&self) -> View<f32> {
        self.voxels.view()
    }

    /// This map times `factor`, as another map.
    pub(crate) fn times(&self, factor: &DeviceMap) -> Result<Self, DeviceError> {
        // SAFETY: filled by the kernel.
        let product = unsafe { Self::new(&self.device, self.side)? };
        // SAFETY: all maps have one side.
        unsafe {
            self.device.launch(&MultiplyMaps {
                count: self.count(),
                map: self.view(),
                factor: factor.view(),
                out: product.view(),
            })?;
        }
        Ok(product)
    }

    /// Its transform, unscaled, origin in the corner.
    pub(crate) fn transform(&self, plan: &CubeTransform) -> Result<Cube, DeviceError> {
        // SAFETY: filled by the kernel.
        let mut cube = unsafe { Cube::new(&self.device, self.side)? };
        let n = self.side();
        // SAFETY: the cube has the side of the map.
        unsafe {
            self.device.launch(&PadMap {
                map: self.view(),
                n,
                padded_box: n,
                sinc_box: 0.0,
                out: cube.voxels(),
            })?;
        }
        plan.run(&self.device, Direction::Forward, &mut cube)?;
        Ok(cube)
    }

    /// The map whose transform is `cube`.
    pub(crate) fn from_transform(
        device: &Arc<Device>,
        mut cube: Cube,
        plan: &CubeTransform,
    ) -> Result<Self, DeviceError> {
        plan.run(device, Direction::Inverse, &mut cube)?;
        // SAFETY: filled by the kernel.
        let map = unsafe { Self::new(device, cube.side())? };
        // SAFETY: the cube has the side of the map.
        unsafe {
            device.launch(&CropMap {
                padded: cube.voxels(),
                padded_box: map.side(),
                n: map.side(),
                scale: 1.0,
                out: map.view(),
            })?
        };
        Ok(map)
    }
}
