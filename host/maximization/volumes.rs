//! Operations on sums wherever they are: each picks the host's implementation, in double precision, or the device's.

use super::map_fsc::{self, SolventCorrectedFsc};
use super::prior::InversePrior;
use super::tau2::tau2_from_fsc;
use super::{
    Finish, Footprint, MaximizationError, MaximizationOptions, cuda, halves, reconstruct, spectra,
};
use crate::errors::Message;
use crate::fourier::backprojection::BackProjection;
use crate::fourier::shells::round;
use crate::fourier::sums::Sums;
use crate::geometry::Matrix3;
use ndarray::Array3;
use std::sync::Arc;

/// A step that was done on the host because the device had no room for it, for the user.
pub type Moved = &'static str;

/// Sums Friedel mates on the x = 0 plane, then adds the sums rotated by every non-identity operator (spec 02 §1.5). On a
/// device without room for it the sums move to the host.
pub fn symmetrise(
    sums: &mut Sums,
    operators: &[Matrix3],
) -> Result<Option<Moved>, MaximizationError> {
    if let Sums::Device(on_device) = sums {
        match cuda::symmetrise(on_device, operators) {
            Err(error) if error.is_full() => sums.move_to_host()?,
            done => return Ok(done.map(|()| None)?),
        }
        symmetrise(sums, operators)?;
        return Ok(Some("symmetry"));
    }
    if let Sums::Host(sums) = sums {
        super::symmetrise::symmetrise(sums, operators);
    }
    Ok(None)
}

/// Replaces the sums of both halves by their means for |v|² ≤ round(p·`shell`)² (spec 02 §5.6). Both move to the host when
/// one of them is there.
pub fn join_low_resolution(
    first: &mut Sums,
    second: &mut Sums,
    shell: usize,
) -> Result<(), MaximizationError> {
    let limit2 = round(first.padding() * shell as f64).pow(2);
    if let (Sums::Device(first), Sums::Device(second)) = (&mut *first, &mut *second) {
        match cuda::join_low_resolution(first, second, limit2 as u32) {
            Err(error) if error.is_full() => {}
            done => return Ok(done?),
        }
    }
    for sums in [&mut *first, &mut *second] {
        sums.move_to_host()?;
    }
    match (first, second) {
        (Sums::Host(first), Sums::Host(second)) => {
            halves::join_low_resolution(first, second, shell)
        }
        _ => Err(apart()),
    }
}

/// Returns the gold-standard FSC per shell 0…N/2 of the down-sampled averages of two halves; 1 in shell 0, 0 beyond R
/// (spec 02 §3.3). On a full device the halves are averaged one after the other, while the other one waits on the host.
pub fn fsc(
    first: &mut Sums,
    second: &mut Sums,
    box_size: usize,
) -> Result<Vec<f64>, MaximizationError> {
    if let (Sums::Device(first), Sums::Device(second)) = (&*first, &*second) {
        match cuda::fsc(first, second) {
            Err(error) if error.is_full() => {}
            found => return Ok(halves::curve(found?, box_size)),
        }
    }
    let averages = averages(first, second)?;
    halves::fsc(&averages[0], &averages[1], box_size)
}

/// Returns the FSC of the same averages under a mask of N³ voxels (spec 06 §9.2), worked out on the host wherever the sums are.
pub fn masked_fsc(
    first: &mut Sums,
    second: &mut Sums,
    mask: &Array3<f64>,
) -> Result<Vec<f64>, MaximizationError> {
    let averages = averages(first, second)?;
    halves::masked_fsc(&averages[0], &averages[1], mask)
}

/// The down-sampled averages of both halves, each made while the other one waits on the host where a device is full.
fn averages(
    first: &mut Sums,
    second: &mut Sums,
) -> Result<[halves::HalfAverage; 2], MaximizationError> {
    Ok([
        second.make_room_for(MaximizationError::is_full, || average(first))?,
        first.make_room_for(MaximizationError::is_full, || average(second))?,
    ])
}

/// The down-sampled average of a half, on the host.
fn average(sums: &Sums) -> Result<halves::HalfAverage, MaximizationError> {
    Ok(match sums {
        Sums::Host(sums) => halves::half_average(sums),
        Sums::Device(sums) => cuda::average(sums)?,
    })
}

fn apart() -> MaximizationError {
    Message::internal("sums that moved to the host are not there").into()
}

/// Σ c_p·W and number of voxels per shell.
pub(super) fn weights(sums: &Sums) -> Result<Vec<[f64; 2]>, MaximizationError> {
    Ok(match sums {
        Sums::Host(sums) => spectra::weights(sums),
        Sums::Device(sums) => match cuda::weight_statistics(sums, None) {
            Err(error) if error.is_full() => spectra::weights(&sums.to_host()?),
            found => found?.weights,
        },
    })
}

/// Σ W/I, number of voxels with W/I ≥ 1 and number of voxels per shell, for prior spectrum `tau2`.
pub(super) fn ratios(
    sums: &Sums,
    tau2: &[f64],
    tau2_fudge: f64,
) -> Result<Vec<[f64; 3]>, MaximizationError> {
    let prior = InversePrior::new(tau2, tau2_fudge, sums.shape());
    Ok(match sums {
        Sums::Host(sums) => spectra::ratios(sums, &prior),
        Sums::Device(sums) => match cuda::weight_statistics(sums, Some(&prior)) {
            Err(error) if error.is_full() => spectra::ratios(&sums.to_host()?, &prior),
            found => found?.ratios,
        },
    })
}

/// An un-regularised ("unfil") map of a half-set, on the host and where it was made.
pub struct HalfMap {
    /// To be written.
    pub map: Array3<f64>,
    on_device: Option<cuda::DeviceMap>,
}

impl From<Array3<f64>> for HalfMap {
    fn from(map: Array3<f64>) -> Self {
        Self {
            map,
            on_device: None,
        }
    }
}

impl HalfMap {
    /// Frees the copy on the device.
    pub fn leave_device(&mut self) {
        self.on_device = None;
    }
}

/// Makes an un-regularised map; the sums stay as they are.
pub fn unregularised(
    sums: &Sums,
    class_weight: f64,
    options: &MaximizationOptions,
) -> Result<HalfMap, MaximizationError> {
    let Sums::Device(sums) = sums else {
        return unregularised_on_host(sums, class_weight, options);
    };
    let transform = cuda::transform_of(sums, None, class_weight, options)?;
    let map = cuda::map_of(sums.volume.device(), transform, &sums.shape)?;
    Ok(HalfMap {
        map: map.to_host()?,
        on_device: Some(map),
    })
}

/// Makes a map of sums that are not needed any more: un-regularised, or with shells weighed against the noise by the FSC of two half
/// maps (values per shell 0…N/2), τ² being that of one of the halves (spec 06 §8.2).
///
/// # Errors
/// The weights of a shell are neither zero nor usable; a device fails.
pub fn map_of(
    sums: Sums,
    fsc: Option<&[f64]>,
    options: &MaximizationOptions,
) -> Result<Array3<f64>, MaximizationError> {
    if let Some(fsc) = fsc {
        let sigma2 = spectra::sigma2(&weights(&sums)?, options.box_size)?;
        let (tau2, _) = tau2_from_fsc(fsc, &sigma2, 1.0, false);
        let (map, _) = regularised(sums, &tau2, 1.0, options, &Finish::default())?;
        return Ok(map);
    }
    match sums {
        Sums::Host(sums) => Ok(reconstruct::reconstruct(sums, None, 1.0, options)),
        Sums::Device(_) => match unregularised(&sums, 1.0, options) {
            Err(error) if error.is_full() => Ok(reconstruct::reconstruct(
                sums.into_host()?,
                None,
                1.0,
                options,
            )),
            made => Ok(made?.map),
        },
    }
}

/// As [`unregularised`], wherever the sums are.
pub fn unregularised_on_host(
    sums: &Sums,
    class_weight: f64,
    options: &MaximizationOptions,
) -> Result<HalfMap, MaximizationError> {
    Ok(reconstruct::reconstruct(sums.to_host()?, None, class_weight, options).into())
}

/// Returns the FSC of two un-regularised half maps corrected for the effect of `mask` (spec 02 §6.4): on a device that one of
/// them was made on, else on the host.
pub fn solvent_corrected_fsc(
    halves: [&HalfMap; 2],
    mask: &Array3<f64>,
    current_size: usize,
    seed: u64,
) -> Result<SolventCorrectedFsc, MaximizationError> {
    let Some(device) = halves.iter().find_map(|h| h.on_device.as_ref()) else {
        return solvent_corrected_fsc_on_host(halves, mask, current_size, seed);
    };
    let device = device.device.clone();
    let mut uploaded = [None, None];
    for (half, uploaded) in halves.iter().zip(&mut uploaded) {
        let there = |map: &cuda::DeviceMap| Arc::ptr_eq(&map.device, &device);
        if !half.on_device.as_ref().is_some_and(there) {
            *uploaded = Some(cuda::DeviceMap::upload(&device, &half.map)?);
        }
    }
    let there = [0, 1].map(|h| {
        let own = uploaded[h].as_ref().or(halves[h].on_device.as_ref());
        own.expect("uploaded where it was not there")
    });
    cuda::solvent_corrected_fsc(there, mask, current_size, seed)
}

/// As [`solvent_corrected_fsc`], wherever the maps were made.
pub fn solvent_corrected_fsc_on_host(
    halves: [&HalfMap; 2],
    mask: &Array3<f64>,
    current_size: usize,
    seed: u64,
) -> Result<SolventCorrectedFsc, MaximizationError> {
    let [first, second] = halves.map(|half| &half.map);
    map_fsc::solvent_corrected_fsc(first, second, mask, current_size, seed)
}

/// True when an operation on these sums needs more than what is left of their device and what can be freed there. `needed`
/// tells its bytes, the sums included.
pub fn is_short_of_room(
    sums: &Sums,
    options: &MaximizationOptions,
    needed: impl Fn(&Footprint) -> usize,
) -> bool {
    let Sums::Device(sums) = sums else {
        return false;
    };
    let footprint = Footprint::new(&sums.shape, options.box_size, 1);
    let device = sums.volume.device();
    let room = device.memory_room() + device.spares().bytes();
    room < needed(&footprint).saturating_sub(footprint.sums)
}

/// True when maps of both sums can be made at the same time: both are on a device that has room for it. On the host each uses all
/// threads anyway.
pub fn have_room_together(sums: [&Sums; 2], options: &MaximizationOptions) -> bool {
    let twice = |footprint: &Footprint| 2 * footprint.regularised;
    sums.iter()
        .all(|sums| matches!(sums, Sums::Device(_)) && !is_short_of_room(sums, options, twice))
}

/// Makes a map regularised with `tau2` (`options.regularise` permitting) and finished, and takes the sums to work in place.
/// Each step that a full device has no room for is done on the host, and named.
pub(super) fn regularised(
    sums: Sums,
    tau2: &[f64],
    class_weight: f64,
    options: &MaximizationOptions,
    finish: &Finish,
) -> Result<(Array3<f64>, Option<Moved>), MaximizationError> {
    const RECONSTRUCTION: Moved = "reconstruction";
    let on_host = |sums: BackProjection, tau2: Option<&[f64]>| {
        let mut map = reconstruct::reconstruct(sums, tau2, class_weight, options);
        finish.on_host(&mut map);
        map
    };
    let sums = match sums {
        Sums::Host(sums) => return Ok((on_host(sums, Some(tau2)), None)),
        Sums::Device(sums) => sums,
    };
    let prior = InversePrior::new(tau2, options.tau2_fudge, &sums.shape);
    let mut to_count = options.regularise.then_some(&prior);
    // Gridding adds the prior in double precision as it goes; for the division the weights hold it.
    if let (Some(prior), None) = (to_count, options.gridding_iterations) {
        match cuda::regularise(&sums, prior, options) {
            Err(error) if error.is_full() => {
                return Ok((on_host(sums.to_host()?, Some(tau2)), Some(RECONSTRUCTION)));
            }
            done => done?,
        }
        to_count = None;
    }
    let tau2 = to_count.map(|_| tau2);
    let device = sums.volume.device().clone();
    let transform = match cuda::transform_of(&sums, to_count, class_weight, options) {
        Err(error) if error.is_full() => {
            return Ok((on_host(sums.to_host()?, tau2), Some(RECONSTRUCTION)));
        }
        made => made?,
    };
    let needed = cuda::bytes_after_sums(&device, sums.shape.padded_box, options.box_size)?;
    let room = device.memory_room() + device.spares().bytes() + sums.volume.bytes_freed_with_it();
    if needed > room {
        drop(transform);
        return Ok((on_host(sums.to_host()?, tau2), Some(RECONSTRUCTION)));
    }
    let shape = sums.shape;
    drop(sums);
    let map = cuda::map_of(&device, transform, &shape)?;
    // With this many maps of room nothing of finishing can find the device full, and no copy is needed.
    const AMPLE: usize = 16;
    let map_bytes = size_of::<f32>() * options.box_size.pow(3);
    if finish.is_nothing() || device.memory_room() > AMPLE * map_bytes {
        return Ok((cuda::finish(map, finish)?.to_host()?, None));
    }
    // Finishing changes the map step by step, so what is needed on the host is taken there before.
    let mut unfinished = map.to_host()?;
    match cuda::finish(map, finish).and_then(|map| map.to_host()) {
        Err(error) if error.is_full() => {
            finish.on_host(&mut unfinished);
            Ok((unfinished, Some("masking of the map")))
        }
        finished => Ok((finished?, None)),
    }
}
