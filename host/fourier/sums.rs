//! The sums of an expectation step where they are: on the host in double precision, or on a device in single precision.
//! Either kind can be read, replaced and added to in ranges, so that ranks and devices can put theirs together.

use super::backprojection::BackProjection;
use super::shape::VolumeShape;
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
#[derive(Default)]
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
        self.shape.radius2() as u32
    }

    /// Geometry as kernels take it.
    pub fn kernel_shape(&self) -> gpu::slice::VolumeShape {
        self.shape.for_kernels()
    }

    /// Returns a copy on the host, in double precision.
    pub fn to_host(&self) -> Result<BackProjection, DeviceError> {
        /// Voxels that are copied at a time.
        const RANGE: usize = 8 << 20;
        let voxels = self.volume.len();
        let mut sums = with_room(self.shape, voxels);
        for first in (0..voxels).step_by(RANGE) {
            let range = first..(first + RANGE).min(voxels);
            append(&mut sums, &self.volume.read(range)?);
        }
        Ok(sums)
    }

    /// Unpadded shells ROUND(|v|/P) that occur up to Rp.
    pub fn shells(&self) -> usize {
        round(f64::from(self.radius2()).sqrt() / self.shape.padding) as usize + 1
    }
}

/// Returns the sums of a device's voxels, (re, im, weight, 0) each, in double precision on the host.
pub fn on_host(voxels: &[[f32; 4]], shape: VolumeShape) -> BackProjection {
    let mut sums = with_room(shape, voxels.len());
    append(&mut sums, voxels);
    sums
}

fn with_room(shape: VolumeShape, voxels: usize) -> BackProjection {
    BackProjection {
        data: Vec::with_capacity(voxels),
        weight: Vec::with_capacity(voxels),
        shape,
    }
}

fn append(sums: &mut BackProjection, voxels: &[[f32; 4]]) {
    for &[re, im, weight, _] in voxels {
        sums.data.push(Complex64::new(re.into(), im.into()));
        sums.weight.push(weight.into());
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

    /// Grid of the sums.
    pub fn shape(&self) -> &VolumeShape {
        match self {
            Sums::Host(sums) => &sums.shape,
            Sums::Device(sums) => &sums.shape,
        }
    }

    /// r_max in unpadded shells.
    pub fn r_max(&self) -> usize {
        self.shape().r_max
    }

    /// Padding factor P.
    pub fn padding(&self) -> f64 {
        self.shape().padding
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
            (Sums::Host(own), Sums::Host(other)) => {
                own.add(other);
                return Ok(());
            }
            (Sums::Device(own), Sums::Device(other)) => {
                match own.volume.add_volume(&other.volume) {
                    // On another device, without room for a copy here.
                    Err(error) if error.is_full() => {}
                    added => return added,
                }
            }
            _ => {}
        }
        for first in (0..self.voxels()).step_by(RANGE) {
            let values = other.read(first..(first + RANGE).min(other.voxels()))?;
            match self.add_values(first, &values) {
                Err(error) if error.is_full() => {
                    self.move_to_host()?;
                    self.add_values(first, &values)?;
                }
                added => added?,
            }
        }
        Ok(())
    }

    /// Moves the sums to the host for good and frees their memory on the device.
    pub fn move_to_host(&mut self) -> Result<(), DeviceError> {
        if let Sums::Device(_) = self {
            *self = Sums::Host(self.to_host()?);
        }
        Ok(())
    }

    /// Moves the sums of another device to `device`, or to the host where there is no room for them. Sums on the host stay
    /// there.
    pub fn move_to(&mut self, device: &Arc<Device>) -> Result<(), DeviceError> {
        let Sums::Device(sums) = self else {
            return Ok(());
        };
        if Arc::ptr_eq(sums.volume.device(), device) {
            return Ok(());
        }
        match sums.volume.copy_to(device) {
            Err(error) if error.is_full() => self.move_to_host(),
            copied => {
                sums.volume = copied?;
                Ok(())
            }
        }
    }

    /// Returns a copy of the sums on the host, in double precision.
    pub fn to_host(&self) -> Result<BackProjection, DeviceError> {
        match self {
            Sums::Host(sums) => Ok(sums.clone()),
            Sums::Device(sums) => sums.to_host(),
        }
    }

    /// Moves the sums to the host for good and returns them, in double precision.
    pub fn into_host(self) -> Result<BackProjection, DeviceError> {
        match self {
            Sums::Host(sums) => Ok(sums),
            Sums::Device(sums) => sums.to_host(),
        }
    }

    /// Does `work`; when a device is full, once more while the sums wait on the host.
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

    /// Brings back what [`Self::park`] took away. On a device that has no room for it any more it stays on the host.
    pub fn restore(&mut self, parked: Parked) -> Result<(), DeviceError> {
        let (Sums::Device(sums), Some(values)) = (&mut *self, parked.0) else {
            return Ok(());
        };
        match sums.volume.restore(&values) {
            Err(error) if error.is_full() => {
                *self = Sums::Host(on_host(&values, sums.shape));
                Ok(())
            }
            restored => restored,
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

    /// Returns a copy: in the same place, or on the host where the device has no room for it.
    pub fn duplicate(&self) -> Result<Self, DeviceError> {
        let Sums::Device(sums) = self else {
            return Ok(Sums::Host(self.to_host()?));
        };
        Ok(match sums.volume.copy_to(sums.volume.device()) {
            Err(error) if error.is_full() => Sums::Host(sums.to_host()?),
            copied => Sums::Device(DeviceSums {
                volume: copied?,
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
