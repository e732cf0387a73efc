//! The work of local resolution around a point on a device: transforms of two maps within a sphere, their correlation per shell, and the sum of
//! a filtered map within spheres. Curves are judged on the host.

use crate::device::{Buffer, Cube, CubeTransform, Device, DeviceError, Direction};
use gpu::kernels::local_resolution::{AddSphere, FilterTransform, SoftSphereViews, SphereOfMap};
use gpu::kernels::solvent::CorrelateTransforms;
use ndarray::Array3;
use num_complex::Complex32;
use std::sync::Arc;

/// A sphere with a soft edge in the box of a map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sphere {
    /// Voxel (z, y, x) of its centre.
    pub centre: [i64; 3],
    /// Voxels.
    pub radius: f64,
    /// Width of the edge outside it, voxels.
    pub edge: f64,
}

impl Sphere {
    fn for_kernels(&self) -> SoftSphereViews {
        let [centre_z, centre_y, centre_x] = self.centre.map(|c| c as i32);
        SoftSphereViews {
            centre_x,
            centre_y,
            centre_z,
            radius: self.radius,
            edge: self.edge,
        }
    }
}

/// Pairs of maps on a device, and sums over the spheres that were put into them.
pub struct SpheresOnDevice {
    device: Arc<Device>,
    n: u32,
    plans: CubeTransform,
    pairs: Vec<[Buffer<f32>; 2]>,
    /// The transform that is filtered.
    transform: Buffer<[f32; 2]>,
    /// Σ m·v, Σ m·frequency and Σ m per voxel.
    sums: Buffer<f64>,
    /// Working space.
    cubes: [Cube; 2],
    correlation: Buffer<f64>,
}

impl SpheresOnDevice {
    /// Brings pairs of maps of n³ voxels (even n), and a half-complex transform of the same box, (z, y, x) in FFT order, to a device.
    ///
    /// # Errors
    /// The device is full or fails.
    pub fn new(
        device: &Arc<Device>,
        pairs: &[[&Array3<f32>; 2]],
        transform: &Array3<Complex32>,
    ) -> Result<Self, DeviceError> {
        let n = transform.dim().0;
        let upload = |map: &Array3<f32>| {
            let map = map.as_standard_layout();
            device.upload_as(map.as_slice().expect("in standard layout"), |&v| v)
        };
        let pair = |[a, b]: &[&Array3<f32>; 2]| Ok([upload(a)?, upload(b)?]);
        let transform = transform.as_standard_layout();
        let values = transform.as_slice().expect("in standard layout");
        // SAFETY: filled by kernels before they are read.
        let cubes = unsafe { [Cube::new(device, n)?, Cube::new(device, n)?] };
        Ok(Self {
            device: device.clone(),
            n: n as u32,
            plans: CubeTransform::new(device, n, &[Direction::Forward, Direction::Inverse])?,
            pairs: pairs.iter().map(pair).collect::<Result<_, DeviceError>>()?,
            transform: device.upload_as(values, |v| [v.re, v.im])?,
            sums: device.zeros(3 * n.pow(3))?,
            cubes,
            correlation: device.zeros(3 * (n / 2 + 1))?,
        })
    }

    /// Returns Σ Re(a·b*), Σ|a|² and Σ|b|² per shell 0…n/2 of both maps of a pair within a sphere.
    ///
    /// # Errors
    /// The device fails.
    pub fn correlate(
        &mut self,
        pair: usize,
        sphere: &Sphere,
    ) -> Result<Vec<[f64; 3]>, DeviceError> {
        let sphere = sphere.for_kernels();
        for (map, cube) in self.pairs[pair].iter().zip(&mut self.cubes) {
            // SAFETY: array sizes as the kernel demands. What follows each row is not looked at by the transform.
            unsafe {
                self.device.launch(&SphereOfMap {
                    map: map.view(),
                    n: self.n,
                    sphere,
                    out: cube.voxels(),
                })?;
            }
            self.plans.run(&self.device, Direction::Forward, cube)?;
        }
        self.correlation = self.device.zeros(self.correlation.len())?;
        let [first, second] = self.cubes.each_ref().map(Cube::transform);
        // SAFETY: array sizes as the kernel demands.
        unsafe {
            self.device.launch(&CorrelateTransforms {
                first,
                second,
                n: self.n,
                out: self.correlation.view(),
            })?;
        }
        let length = self.correlation.len();
        let values = self.device.download(&self.correlation, length)?;
        Ok(values.as_chunks::<3>().0.to_vec())
    }

    /// Filters the transform by `factors`, one per squared radius and 0 beyond the last, and adds the map that it is of within a sphere,
    /// with `frequency`, to the sums.
    ///
    /// # Errors
    /// The device fails.
    pub fn add(
        &mut self,
        sphere: &Sphere,
        factors: &[f32],
        frequency: f64,
    ) -> Result<(), DeviceError> {
        let on_device = self.device.upload(factors)?;
        let cube = &mut self.cubes[0];
        // SAFETY: array sizes as the kernels demand.
        unsafe {
            self.device.launch(&FilterTransform {
                transform: self.transform.view(),
                n: self.n,
                factors: on_device.view(),
                count: factors.len() as u32,
                out: cube.transform(),
            })?;
            self.plans.run(&self.device, Direction::Inverse, cube)?;
            self.device.launch(&AddSphere {
                cube: cube.voxels(),
                n: self.n,
                sphere: sphere.for_kernels(),
                frequency,
                sums: self.sums.view(),
            })
        }
    }

    /// Returns Σ m·v, Σ m·frequency and Σ m of every voxel, x fastest.
    ///
    /// # Errors
    /// The device fails.
    pub fn sums(&self) -> Result<Vec<[f64; 3]>, DeviceError> {
        let values = self.device.download(&self.sums, self.sums.len())?;
        Ok(values.as_chunks::<3>().0.to_vec())
    }
}
