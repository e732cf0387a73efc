//! FSC of two maps on a device, corrected for the solvent (spec 02 §6.4–6.5).

use super::super::MaximizationError;
use super::super::map_fsc::{Curve, SolventCorrectedFsc, corrected, curve_of, seeds};
use super::map::DeviceMap;
use crate::device::{Buffer, Cube, CubeTransform, DeviceError, Direction};
use gpu::kernels::solvent::{CorrelateTransforms, RandomisePhases};
use ndarray::Array3;

/// Does on a device the work of [`super::super::map_fsc::solvent_corrected_fsc`].
pub(crate) fn solvent_corrected_fsc(
    halves: [&DeviceMap; 2],
    mask: &Array3<f64>,
    current_size: usize,
    seed: u64,
) -> Result<SolventCorrectedFsc, MaximizationError> {
    let device = &halves[0].device;
    let n = halves[0].side() as usize;
    let mask = DeviceMap::upload(device, mask)?;
    let plan = CubeTransform::new(device, n, &[Direction::Forward, Direction::Inverse])?;
    let seeds = seeds(seed);
    corrected(current_size, |curve| {
        let transform = |half: usize| -> Result<Cube, DeviceError> {
            match curve {
                Curve::Unmasked => halves[half].transform(&plan),
                Curve::Masked => halves[half].times(&mask)?.transform(&plan),
                Curve::Randomised { from } => {
                    let random = randomised(halves[half], from, seeds[half], &plan)?;
                    random.times(&mask)?.transform(&plan)
                }
            }
        };
        let sums = correlate(halves[0], &transform(0)?, &transform(1)?)?;
        Ok(curve_of(&sums))
    })
}

/// The map with random phases from shell `from` on.
fn randomised(
    map: &DeviceMap,
    from: usize,
    seed: u64,
    plan: &CubeTransform,
) -> Result<DeviceMap, DeviceError> {
    let cube = map.transform(plan)?;
    let unscale = 1.0 / f64::from(map.side()).powi(3);
    // SAFETY: the cube has this side.
    unsafe {
        map.device.launch(&RandomisePhases {
            transform: cube.transform(),
            n: map.side(),
            limit2: (from * from) as u32,
            seed,
            scale: unscale as f32,
        })?;
    }
    DeviceMap::from_transform(&map.device, cube, plan)
}

/// Σ Re(a·b*), Σ|a|², Σ|b|² per shell of two transforms of the side of `map`.
fn correlate(map: &DeviceMap, a: &Cube, b: &Cube) -> Result<Vec<[f64; 3]>, DeviceError> {
    let shells = map.side() as usize / 2 + 1;
    let out: Buffer<f64> = map.device.zeros(3 * shells)?;
    // SAFETY: array sizes as the kernel demands.
    unsafe {
        map.device.launch(&CorrelateTransforms {
            first: a.transform(),
            second: b.transform(),
            n: map.side(),
            out: out.view(),
        })?;
    }
    let values = map.device.download(&out, 3 * shells)?;
    Ok(values.as_chunks::<3>().0.to_vec())
}
