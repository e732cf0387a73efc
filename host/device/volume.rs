//! Volumes on a device: those of all classes in one array, each handled by itself.

use gpu::kernels::volume::AddSums;
use std::ops::Range;
use std::sync::Arc;

use super::{Buffer, Device, DeviceError, Element, View};

/// Elements that pass through the host at a time when devices cannot copy to each other.
const STAGED: usize = 16 << 20;

/// One of several volumes of equal length that lie one after the other in an array on a device. The array is freed with
/// the last of them.
pub struct DeviceVolume<T> {
    device: Arc<Device>,
    array: Arc<Buffer<T>>,
    first: usize,
    length: usize,
}

/// Another owner of the same volume.
impl<T> Clone for DeviceVolume<T> {
    fn clone(&self) -> Self {
        Self {
            device: self.device.clone(),
            array: self.array.clone(),
            first: self.first,
            length: self.length,
        }
    }
}

impl<T: Element> DeviceVolume<T> {
    /// The `volumes` equal parts of `array`, in order.
    ///
    /// # Panics
    /// If the length of the array is no multiple of `volumes`.
    pub fn split(device: &Arc<Device>, array: Buffer<T>, volumes: usize) -> Vec<Self> {
        let length = array.len() / volumes.max(1);
        assert_eq!(length * volumes, array.len(), "volumes are of equal length");
        let array = Arc::new(array);
        (0..volumes)
            .map(|k| Self {
                device: device.clone(),
                array: array.clone(),
                first: k * length,
                length,
            })
            .collect()
    }

    /// Where it lies.
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.length
    }

    /// True without elements.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Bytes of device memory that are freed when this volume is dropped: none while others share its array.
    pub fn bytes_freed_with_it(&self) -> usize {
        match Arc::strong_count(&self.array) {
            1 => self.array.len() * size_of::<T>(),
            _ => 0,
        }
    }

    /// Describes its elements to a kernel. What is queued on the device's stream sees what was queued before.
    pub fn view(&self) -> View<T> {
        self.array.view().range(self.first, self.length)
    }

    /// True when `next` follows this volume in the same array.
    pub fn is_followed_by(&self, next: &Self) -> bool {
        Arc::ptr_eq(&self.array, &next.array) && self.first + self.length == next.first
    }

    /// Describes the elements of all `volumes` to a kernel, where they follow each other in one array.
    pub fn together(volumes: &[&Self]) -> Option<View<T>> {
        let first = volumes.first()?;
        let follow = |pair: &[&Self]| pair[0].is_followed_by(pair[1]);
        let length = first.length * volumes.len();
        let all = || first.array.view().range(first.first, length);
        volumes.windows(2).all(follow).then(all)
    }

    /// The elements of `range`. Waits for the queued work.
    pub fn read(&self, range: Range<usize>) -> Result<Vec<T>, DeviceError> {
        self.check(&range);
        // SAFETY: the range lies within this volume.
        unsafe {
            self.device
                .read_from(self.view().offset(range.start), range.len())
        }
    }

    /// The elements of all `volumes`, one volume after the other: in one copy where they follow each other in one array.
    /// Waits for the queued work.
    pub fn read_all(volumes: &[&Self]) -> Result<Vec<T>, DeviceError> {
        let Some((first, rest)) = volumes.split_first() else {
            return Ok(Vec::new());
        };
        if let Some(all) = Self::together(volumes) {
            // SAFETY: the volumes lie in the array, one after the other.
            return unsafe { first.device.read_from(all, first.length * volumes.len()) };
        }
        let mut all = first.read(0..first.length)?;
        for volume in rest {
            all.extend(volume.read(0..volume.length)?);
        }
        Ok(all)
    }

    /// Replaces the elements from `first` on.
    pub fn write(&mut self, first: usize, values: &[T]) -> Result<(), DeviceError> {
        self.check(&(first..first + values.len()));
        // SAFETY: the range lies within this volume.
        unsafe { self.device.write_to(values, self.view().offset(first)) }
    }

    /// A copy on `device`, in an array of its own.
    pub fn copy_to(&self, device: &Arc<Device>) -> Result<Self, DeviceError> {
        // SAFETY: filled below.
        let array = unsafe { device.buffer(self.length)? };
        let mut copy = Self::split(device, array, 1).remove(0);
        copy.copy_from(self)?;
        Ok(copy)
    }

    /// Takes the content of a volume of the same length, which may lie on another device: straight from device to device
    /// where they can, else through the host.
    pub fn copy_from(&mut self, other: &Self) -> Result<(), DeviceError> {
        assert_eq!(
            self.length, other.length,
            "volumes of one iteration have one shape"
        );
        // SAFETY: both volumes have this length, and the source is kept until the copy is complete.
        let copied = unsafe {
            self.device
                .copy_between(&other.device, other.view(), self.view(), self.length)
        };
        if copied.is_err() {
            for first in (0..self.length).step_by(STAGED) {
                let end = (first + STAGED).min(self.length);
                self.write(first, &other.read(first..end)?)?;
            }
        }
        Ok(())
    }

    /// Takes the content to the host. The device's memory is freed when no other owner is left; until
    /// [`Self::restore`] the volume is empty.
    pub fn park(&mut self) -> Result<Vec<T>, DeviceError> {
        let values = self.read(0..self.length)?;
        // SAFETY: without elements there is nothing to read.
        let nothing = unsafe { self.device.buffer(0)? };
        *self = Self::split(&self.device.clone(), nothing, 1).remove(0);
        Ok(values)
    }

    /// Brings back what [`Self::park`] took away.
    pub fn restore(&mut self, values: &[T]) -> Result<(), DeviceError> {
        let array = self.device.upload(values)?;
        *self = Self::split(&self.device.clone(), array, 1).remove(0);
        Ok(())
    }

    fn check(&self, range: &Range<usize>) {
        assert!(
            range.start <= range.end && range.end <= self.length,
            "a range beyond the volume"
        );
    }
}

impl DeviceVolume<[f32; 4]> {
    /// Adds `values` to the elements from `first` on.
    pub fn add(&mut self, first: usize, values: &[[f32; 4]]) -> Result<(), DeviceError> {
        self.check(&(first..first + values.len()));
        let other = self.device.upload(values)?;
        // SAFETY: both ranges have this length.
        unsafe {
            self.device.launch(&AddSums {
                count: values.len() as u32,
                other: other.view(),
                sums: self.view().offset(first),
            })
        }
    }

    /// Adds a volume of the same length, which may lie on another device.
    pub fn add_volume(&mut self, other: &Self) -> Result<(), DeviceError> {
        assert_eq!(
            self.length, other.length,
            "sums of one iteration have one shape"
        );
        let copy;
        let other = if Arc::ptr_eq(&self.device, &other.device) {
            other
        } else {
            copy = other.copy_to(&self.device)?;
            &copy
        };
        // SAFETY: both volumes have this length.
        unsafe {
            self.device.launch(&AddSums {
                count: self.length as u32,
                other: other.view(),
                sums: self.view(),
            })
        }
    }
}
