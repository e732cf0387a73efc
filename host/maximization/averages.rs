//! Class averages: small, and up to hundreds of them, so that all are made at once: in one batch on a device, a thread per class on the
//! host (spec 04 §8).

use super::cuda::{self, Average};
use super::prior::InversePrior;
use super::symmetrise::symmetrise;
use super::{
    Finish, MapSource, MaximizationError, MaximizationOptions, Prior, ReferenceSpectra,
    maximize_class,
};
use crate::device::DeviceVolume;
use crate::fourier::backprojection::BackProjection;
use crate::fourier::shape::VolumeShape;
use crate::fourier::sums::{DeviceSums, Sums, on_host};
use crate::model::ClassModel;
use rayon::prelude::*;

/// Maximises the class averages that `owns` says from the sums of all: Friedel mates are summed on the x = 0 line, then as
/// [`maximize_class`]. `class_weight` as there, a value per class. Sums on a device are worked on there, all at once, as far as
/// it has room and kernels ([`cuda::makes_averages`]); else they come to the host in one copy. The result does not depend on the
/// number of threads.
pub fn maximize_averages(
    classes: &mut [ClassModel],
    sums: Vec<Sums>,
    class_weight: &[f64],
    owns: impl Fn(usize) -> bool + Sync,
    prior: Prior,
    options: &MaximizationOptions,
    finish: &Finish,
) -> Result<(), MaximizationError> {
    let own: Vec<usize> = (0..classes.len()).filter(|k| owns(*k)).collect();
    if let Prior::Reference { average_ctf2 } = prior
        && cuda::makes_averages(options, finish)
        && let Some(made) = on_device(classes, &sums, &own, options, finish)?
    {
        for (k, made) in own.into_iter().zip(made) {
            let (class, shape, weight) = (&mut classes[k], sums[k].shape(), class_weight[k]);
            store(class, made, shape, weight, average_ctf2, options, finish)?;
        }
        return Ok(());
    }
    classes
        .par_iter_mut()
        .zip(all_on_host(sums)?)
        .zip(class_weight)
        .enumerate()
        .filter(|(k, _)| owns(*k))
        .map(|(_, ((class, mut sums), &weight))| {
            symmetrise(&mut sums, &[]);
            maximize_class(class, Sums::Host(sums), weight, prior, options, finish).map(drop)
        })
        .collect()
}

/// The averages of the classes `own`, made on the device of the sums; None where it has no room, or the sums are not there.
fn on_device(
    classes: &[ClassModel],
    sums: &[Sums],
    own: &[usize],
    options: &MaximizationOptions,
    finish: &Finish,
) -> Result<Option<Vec<Average>>, MaximizationError> {
    let there = sums.iter().map(|sums| match sums {
        Sums::Host(_) => None,
        Sums::Device(sums) => Some(sums),
    });
    let Some(there) = there.collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    let priors: Vec<_> = own
        .iter()
        .map(|&k| {
            let tau2 = &classes[k].tau2;
            (
                k,
                InversePrior::new(tau2, options.tau2_fudge, sums[k].shape()),
            )
        })
        .collect();
    match cuda::averages(&there, &priors, options, finish.centre) {
        Err(error) if error.is_full() => Ok(None),
        made => Ok(made?),
    }
}

/// Takes over the average that a device made of a class from sums of `shape`.
fn store(
    class: &mut ClassModel,
    made: Average,
    shape: &VolumeShape,
    class_weight: f64,
    average_ctf2: Option<&[f64]>,
    options: &MaximizationOptions,
    finish: &Finish,
) -> Result<(), MaximizationError> {
    let source = MapSource::new(class_weight, &made.statistics.weights, shape);
    if !source.done_without_sums(class, finish) {
        ReferenceSpectra::new(&made.statistics, shape.r_max, average_ctf2, options)?.store(class);
        class.map = made.map.into();
    }
    Ok(())
}

/// Returns the sums of all classes on the host, in double precision: in one copy where they follow each other on a device.
pub fn all_on_host(sums: Vec<Sums>) -> Result<Vec<BackProjection>, MaximizationError> {
    let on_device: Vec<&DeviceSums> = sums
        .iter()
        .filter_map(|sums| match sums {
            Sums::Host(_) => None,
            Sums::Device(sums) => Some(sums),
        })
        .collect();
    let volumes: Vec<_> = on_device.iter().map(|sums| &sums.volume).collect();
    let voxels = DeviceVolume::read_all(&volumes)?;
    let shapes: Vec<_> = on_device.iter().map(|sums| sums.shape).collect();
    let length = shapes.first().map_or(1, |shape| shape.voxels());
    let mut copied = voxels
        .par_chunks(length)
        .zip(shapes)
        .map(|(voxels, shape)| on_host(voxels, shape))
        .collect::<Vec<_>>()
        .into_iter();
    Ok(sums
        .into_iter()
        .map(|sums| match sums {
            Sums::Host(sums) => sums,
            Sums::Device(_) => copied.next().expect("one a volume on the device"),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;
    use crate::fourier::shape::Dimensions;
    use ndarray::Array3;
    use num_complex::Complex64;

    /// Sums with something in them, different for each class.
    fn sums(class: usize) -> BackProjection {
        let mut sums = BackProjection::zeros(VolumeShape::new(Dimensions::Two, 16, 2.0, 12));
        for (i, (data, weight)) in sums.data.iter_mut().zip(&mut sums.weight).enumerate() {
            let wave = ((i * (7 + class)) % 23) as f64;
            *data = Complex64::new(wave - 11.0, 0.5 * wave);
            *weight = 1.0 + wave;
        }
        sums
    }

    /// All at once is one after the other; classes of other ranks and classes without particles stay apart.
    #[test]
    fn classes_do_not_depend_on_each_other() {
        let options = MaximizationOptions {
            box_size: 16,
            tau2_fudge: 2.0,
            regularise: true,
            minres_map: 5,
            gridding_iterations: None,
        };
        let prior = Prior::Reference { average_ctf2: None };
        let finish = Finish::default();
        let mut together = fixtures::model(5).classes;
        for class in &mut together {
            class.map = Array3::ones((1, 16, 16)).into();
        }
        let before = together.clone();
        let mut apart = together.clone();
        let weights = [3.0, 0.0, 2.0, 5.0, 1.0];
        let owns = |k: usize| k != 3;
        let all = (0..5).map(|k| Sums::Host(sums(k))).collect();
        maximize_averages(&mut together, all, &weights, owns, prior, &options, &finish).unwrap();
        for (k, class) in apart.iter_mut().enumerate().filter(|(k, _)| owns(*k)) {
            let mut own = sums(k);
            symmetrise(&mut own, &[]);
            maximize_class(class, Sums::Host(own), weights[k], prior, &options, &finish).unwrap();
        }
        for k in 0..5 {
            assert_eq!(together[k].map, apart[k].map);
            assert_eq!(together[k].ssnr, apart[k].ssnr);
        }
        assert_eq!(together[3].map, before[3].map);
        assert!(together[1].map.iter().all(|v| *v == 0.0));
        assert!(together[0].map != before[0].map && together[0].map != together[2].map);
    }
}
