//! The sums of an expectation step where they are: on the host in double precision, or on a device in single precision.
//! Either kind can be read, replaced and added to in ranges, so that ranks and devices can put theirs together.

use super::backprojection::BackProjection;
use super::reference::VolumeShape;
use super::shells::round;
use crate::device::{Device, DeviceError, DeviceVolume};
use num_complex::Complex64;
use std::ops::Range;
use std::sync::Arc;

/// Back-projection sums of one class.
pub enum Sums {
    /// Double precision, on the host.
    Host(BackProjection),
    /// Single precision, on a device.
    Device(DeviceSums),
}

/// Sums of a device that wait on the host; nothing for sums that were there anyway.
pub struct Parked(Option<Vec<[f32; 4]>>);

/// Sums on a device: (re, im, weight, 0) a voxel, layout as `ReferenceVolume`.
pub struct DeviceSums {
    /// The voxels.
    pub volume: DeviceVolume<[f32; 4]>,
    /// Their geometry.
    pub shape: VolumeShape,
}

impl DeviceSums {
    /// Rp² with Rp = ROUND(r_max·P): voxels and samples beyond it are not used.
    pub fn radius2(&self) -> u32 {
        round(self.shape.r_max as f64 * self.shape.padding).pow(2) as u32
    }

    /// Geometry as kernels take it.
    pub fn kernel_shape(&self) -> gpu::slice::VolumeShape {
        self.shape.for_kernels()
    }

    /// Unpadded shells ROUND(|v|/P) that occur up to Rp.
    pub fn shells(&self) -> usize {
        round(f64::from(self.radius2()).sqrt() / self.shape.padding) as usize + 1
    }
}

/// Data and weight of a range of voxels.
fn voxels(
    sums: &mut BackProjection,
    range: Range<usize>,
) -> impl Iterator<Item = (&mut Complex64, &mut f64)> {
    sums.data[range.clone()]
        .iter_mut()
        .zip(&mut sums.weight[range])
}

fn wide(v: &[f32; 4]) -> [f64; 3] {
    [v[0], v[1], v[2]].map(f64::from)
}

fn narrow(v: &[f64; 3]) -> [f32; 4] {
    [v[0] as f32, v[1] as f32, v[2] as f32, 0.0]
}

impl From<BackProjection> for Sums {
    fn from(sums: BackProjection) -> Self {
        Sums::Host(sums)
    }
}

impl Sums {
    /// Stored voxels.
    pub fn voxels(&self) -> usize {
        match self {
            Sums::Host(sums) => sums.weight.len(),
            Sums::Device(sums) => sums.volume.len(),
        }
    }

    /// r_max in unpadded shells.
    pub fn r_max(&self) -> usize {
        match self {
            Sums::Host(sums) => sums.r_max,
            Sums::Device(sums) => sums.shape.r_max,
        }
    }

    /// Padding factor P.
    pub fn padding(&self) -> f64 {
        match self {
            Sums::Host(sums) => sums.padding,
            Sums::Device(sums) => sums.shape.padding,
        }
    }

    /// (re, im, weight) of the voxels of `range`. What was added before is in it; single-precision sums are given as
    /// they are, so reading and replacing changes nothing.
    pub fn read(&self, range: Range<usize>) -> Result<Vec<[f64; 3]>, DeviceError> {
        match self {
            Sums::Host(sums) => Ok(sums.data[range.clone()]
                .iter()
                .zip(&sums.weight[range])
                .map(|(a, w)| [a.re, a.im, *w])
                .collect()),
            Sums::Device(sums) => Ok(sums.volume.read(range)?.iter().map(wide).collect()),
        }
    }

    /// Replace the voxels from `first` on.
    pub fn replace(&mut self, first: usize, values: &[[f64; 3]]) -> Result<(), DeviceError> {
        match self {
            Sums::Host(sums) => {
                let range = first..first + values.len();
                for ((a, w), v) in voxels(sums, range).zip(values) {
                    (*a, *w) = (Complex64::new(v[0], v[1]), v[2]);
                }
                Ok(())
            }
            Sums::Device(sums) => {
                let values: Vec<[f32; 4]> = values.iter().map(narrow).collect();
                sums.volume.write(first, &values)
            }
        }
    }

    /// Add to the voxels from `first` on.
    pub fn add_values(&mut self, first: usize, values: &[[f64; 3]]) -> Result<(), DeviceError> {
        match self {
            Sums::Host(sums) => {
                let range = first..first + values.len();
                for ((a, w), v) in voxels(sums, range).zip(values) {
                    *a += Complex64::new(v[0], v[1]);
                    *w += v[2];
                }
                Ok(())
            }
            Sums::Device(sums) => {
                let values: Vec<[f32; 4]> = values.iter().map(narrow).collect();
                sums.volume.add(first, &values)
            }
        }
    }

    /// Add the sums of another worker, or of the other half-set, wherever they are.
    ///
    /// # Panics
    /// If the shapes differ: all sums of one iteration have the same current size.
    pub fn add(&mut self, other: &Sums) -> Result<(), DeviceError> {
        /// Voxels at a time between host and device.
        const RANGE: usize = 8 << 20;
        assert_eq!(
            (self.voxels(), self.r_max()),
            (other.voxels(), other.r_max()),
            "sums of one iteration have one shape"
        );
        match (&mut *self, other) {
            (Sums::Host(own), Sums::Host(other)) => own.add(other),
            (Sums::Device(own), Sums::Device(other)) => own.volume.add_volume(&other.volume)?,
            _ => {
                for first in (0..self.voxels()).step_by(RANGE) {
                    let end = (first + RANGE).min(self.voxels());
                    self.add_values(first, &other.read(first..end)?)?;
                }
            }
        }
        Ok(())
    }

    /// Do `work`; when a device is full, once more while the sums wait on the host.
    pub fn make_room_for<R, E: From<DeviceError>>(
        &mut self,
        is_full: impl Fn(&E) -> bool,
        mut work: impl FnMut() -> Result<R, E>,
    ) -> Result<R, E> {
        match (work(), &self) {
            (Err(error), Sums::Device(_)) if is_full(&error) => {
                let parked = self.park()?;
                let result = work();
                self.restore(parked)?;
                result
            }
            (result, _) => result,
        }
    }

    /// Sums on a device go to the host and free their memory; until [`Self::restore`] they are empty.
    pub fn park(&mut self) -> Result<Parked, DeviceError> {
        Ok(Parked(match self {
            Sums::Host(_) => None,
            Sums::Device(sums) => Some(sums.volume.park()?),
        }))
    }

    /// Brings back what [`Self::park`] took away.
    pub fn restore(&mut self, parked: Parked) -> Result<(), DeviceError> {
        match (self, parked.0) {
            (Sums::Device(sums), Some(values)) => sums.volume.restore(&values),
            _ => Ok(()),
        }
    }

    /// Bytes that the sums take of `device`.
    pub fn bytes_on(&self, device: &Arc<Device>) -> usize {
        match self {
            Sums::Device(sums) if Arc::ptr_eq(sums.volume.device(), device) => {
                sums.volume.len() * size_of::<[f32; 4]>()
            }
            _ => 0,
        }
    }

    /// A copy in the same place.
    pub fn duplicate(&self) -> Result<Self, DeviceError> {
        Ok(match self {
            Sums::Host(sums) => Sums::Host(sums.clone()),
            Sums::Device(sums) => Sums::Device(DeviceSums {
                volume: sums.volume.copy_to(sums.volume.device())?,
                shape: sums.shape,
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums of two workers, put together range by range, are those added at once.
    #[test]
    fn ranges_put_sums_together() {
        let numbered = |step: f64| {
            let mut sums = BackProjection::new(8, 2.0, 6);
            for (i, (a, w)) in sums.data.iter_mut().zip(&mut sums.weight).enumerate() {
                *a = Complex64::new(i as f64 * step, -step);
                *w = i as f64 + step;
            }
            Sums::from(sums)
        };
        let (mut whole, mut ranges, other) = (numbered(1.0), numbered(1.0), numbered(0.5));
        whole.add(&other).unwrap();
        for first in (0..ranges.voxels()).step_by(100) {
            let end = (first + 100).min(ranges.voxels());
            ranges
                .add_values(first, &other.read(first..end).unwrap())
                .unwrap();
        }
        let all = 0..whole.voxels();
        assert_eq!(
            whole.read(all.clone()).unwrap(),
            ranges.read(all.clone()).unwrap()
        );
        assert_eq!(whole.read(3..4).unwrap(), [[4.5, -1.5, 7.5]]);
        ranges.replace(3, &[[1.0, 2.0, 3.0]]).unwrap();
        assert_eq!(ranges.read(2..5).unwrap()[1], [1.0, 2.0, 3.0]);
        assert_eq!(ranges.read(4..5).unwrap(), whole.read(4..5).unwrap());
    }
}
