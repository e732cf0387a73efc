//! Low-pass, centring and solvent of maps on a device (spec 02 §6.1, §6.3).

use super::super::finish::{Finish, Flattening, LowPass, shift_of};
use super::map::DeviceMap;
use crate::device::{Buffer, CubeTransform, DeviceError, Direction, Pointer};

/// What [`Finish::on_host`] does.
pub fn finish(mut map: DeviceMap, finish: &Finish) -> Result<DeviceMap, DeviceError> {
    if let Some(filter) = &finish.low_pass {
        map = low_pass(&map, filter)?;
    }
    if let Some(limit) = finish.centre {
        map = centre(map, limit)?;
    }
    if let Some(flattening) = finish.flatten {
        flatten(&map, flattening)?;
    }
    Ok(map)
}

fn low_pass(map: &DeviceMap, filter: &LowPass) -> Result<DeviceMap, DeviceError> {
    let device = &map.device;
    let n = map.side() as usize;
    let plan = CubeTransform::new(device, n, &[Direction::Forward, Direction::Inverse])?;
    let cube = map.transform(&plan)?;
    let unscale = 1.0 / (n as f64).powi(3);
    // SAFETY: the cube has this side.
    unsafe {
        device.low_pass_transform(
            cube.transform(),
            map.side(),
            filter.shells(n) as f32,
            unscale as f32,
        )?;
    }
    DeviceMap::from_transform(device, cube, &plan)
}

fn centre(map: DeviceMap, limit: f64) -> Result<DeviceMap, DeviceError> {
    let device = &map.device;
    let moments: Buffer<f64> = device.zeros(4)?;
    // SAFETY: array sizes as the kernel demands.
    unsafe { device.map_moments(map.pointer(), map.side(), moments.pointer())? };
    let found = device.download(&moments, 4)?;
    let Some(shift) = shift_of([found[0], found[1], found[2], found[3]], limit) else {
        return Ok(map);
    };
    let [x, y, z] = shift.map(|s| s as f32);
    // SAFETY: filled by the kernel; both maps have one side.
    unsafe {
        let centred = DeviceMap::new(device, map.side() as usize)?;
        device.shift_map(map.pointer(), map.side(), x, y, z, centred.pointer())?;
        Ok(centred)
    }
}

fn flatten(map: &DeviceMap, flattening: &Flattening) -> Result<(), DeviceError> {
    let device = &map.device;
    let smooth = match &flattening.low_pass {
        Some((mask, filter)) => {
            let inside = map.times(&DeviceMap::upload(device, mask)?)?;
            Some(low_pass(&inside, filter)?)
        }
        None => None,
    };
    match &flattening.mask {
        Some(mask) => {
            let mask = DeviceMap::upload(device, mask)?;
            // SAFETY: both maps have one side.
            unsafe {
                device.multiply_maps(map.count(), map.pointer(), mask.pointer(), map.pointer())?;
            }
        }
        // SAFETY: array sizes as the kernel demands.
        None => unsafe {
            device.finish_map(
                map.pointer(),
                map.side(),
                flattening.radius as f32,
                flattening.edge as f32,
                Pointer::null(),
                0.0,
            )?;
        },
    }
    if let Some(smooth) = smooth {
        // SAFETY: both maps have one side.
        unsafe { device.add_map(map.count(), smooth.pointer(), map.pointer())? };
    }
    if let Some(second) = &flattening.second {
        blend(map, &DeviceMap::upload(device, second)?)?;
    }
    Ok(())
}

/// Bring the inside of a mask to its mean.
fn blend(map: &DeviceMap, mask: &DeviceMap) -> Result<(), DeviceError> {
    let device = &map.device;
    let sums: Buffer<f64> = device.zeros(2)?;
    // SAFETY: both maps have one side.
    unsafe {
        device.masked_sums(map.count(), map.pointer(), mask.pointer(), sums.pointer())?;
        device.blend_map(map.count(), mask.pointer(), sums.pointer(), map.pointer())
    }
}
