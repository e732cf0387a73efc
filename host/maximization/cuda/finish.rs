//! Low-pass, centring and solvent of maps on a device (spec 02 §6.1, §6.3).

use super::super::finish::{Centring, Finish, Flattening, LowPass};
use super::super::local_averaging;
use super::map::DeviceMap;
use crate::device::{Buffer, CubeTransform, DeviceError, Direction, View};
use gpu::kernels::map::FinishMap;
use gpu::kernels::solvent::{
    AddMap, BlendMap, LowPassTransform, MapMoments, MaskedSums, MultiplyMaps, ShiftMap,
};
use gpu::volume::centring_shift;

/// Does the steps of [`Finish::on_host`]. The average over local symmetry is made on the host: its masks are as large as the map, and
/// there can be many.
pub(crate) fn finish(mut map: DeviceMap, finish: &Finish) -> Result<DeviceMap, DeviceError> {
    if let Some(symmetry) = finish.local_symmetry {
        let averaged = local_averaging::average(&map.to_host()?, symmetry);
        let device = map.device.clone();
        drop(map);
        map = DeviceMap::upload(&device, &averaged)?;
    }
    if let Some(filter) = &finish.low_pass {
        map = low_pass(&map, filter)?;
    }
    if let Some(rule) = finish.centre {
        map = centre(map, rule)?;
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
        device.launch(&LowPassTransform {
            transform: cube.transform(),
            n: map.side(),
            limit: filter.shells(n) as f32,
            scale: unscale as f32,
        })?;
    }
    DeviceMap::from_transform(device, cube, &plan)
}

fn centre(map: DeviceMap, rule: Centring) -> Result<DeviceMap, DeviceError> {
    let device = &map.device;
    let moments: Buffer<f64> = device.zeros(4)?;
    // SAFETY: array sizes as the kernel demands.
    unsafe {
        device.launch(&MapMoments {
            map: map.view(),
            n: map.side(),
            out: moments.view(),
        })?
    };
    let found = device.download(&moments, 4)?;
    let moments = [found[0], found[1], found[2], found[3]];
    let Some(shift) = centring_shift(moments, rule.limit, rule.least) else {
        return Ok(map);
    };
    let [x, y, z] = shift.map(|s| s as f32);
    // SAFETY: filled by the kernel; both maps have one side.
    unsafe {
        let centred = DeviceMap::new(device, map.side() as usize)?;
        device.launch(&ShiftMap {
            map: map.view(),
            n: map.side(),
            shift_x: x,
            shift_y: y,
            shift_z: z,
            out: centred.view(),
        })?;
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
                device.launch(&MultiplyMaps {
                    count: map.count(),
                    map: map.view(),
                    factor: mask.view(),
                    out: map.view(),
                })?;
            }
        }
        // SAFETY: array sizes as the kernel demands.
        None => unsafe {
            device.launch(&FinishMap {
                map: map.view(),
                n: map.side(),
                sphere: flattening.radius as f32,
                edge: flattening.edge as f32,
                background: View::null(),
                sinc_box: 0.0,
            })?;
        },
    }
    if let Some(smooth) = smooth {
        // SAFETY: both maps have one side.
        unsafe {
            device.launch(&AddMap {
                count: map.count(),
                other: smooth.view(),
                map: map.view(),
            })?
        };
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
        device.launch(&MaskedSums {
            count: map.count(),
            map: map.view(),
            mask: mask.view(),
            out: sums.view(),
        })?;
        device.launch(&BlendMap {
            count: map.count(),
            mask: mask.view(),
            sums: sums.view(),
            map: map.view(),
        })
    }
}
