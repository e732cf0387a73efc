//! Class averages made in one batch on a device against those of the host, class after class.

use super::maximization::{N, SIZE, class, narrow, options};
use super::*;
use gerelion::device::{Device, DeviceVolume};
use gerelion::fourier::backprojection::BackProjection;
use gerelion::fourier::shape::{Dimensions, VolumeShape};
use gerelion::fourier::sums::{DeviceSums, Sums};
use gerelion::maximization::{Centring, Finish, LowPass, Prior, maximize_averages};
use gerelion::model::ClassModel;
use ndarray::Array3;
use num_complex::Complex64;
use std::sync::Arc;

/// The classes of an iteration; the third has sums without weight, which leave an average as it is.
const CLASSES: usize = 5;
/// Particles of each class, of which the second has none.
const WEIGHTS: [f64; CLASSES] = [3.0, 0.0, 2.0, 5.0, 1.0];
/// Another rank makes the average of this class.
const OF_ANOTHER_RANK: usize = 3;

/// The sums of all classes, on the host and the same in one array on the device.
fn sums(device: &Arc<Device>) -> [Vec<Sums>; 2] {
    let shape = VolumeShape::new(Dimensions::Two, N, 2.0, SIZE);
    let origin = shape.half() * (shape.half() + 1);
    let numbers = values(3 * CLASSES * shape.voxels(), 11);
    let voxels: Vec<[f32; 4]> = numbers
        .chunks_exact(3)
        .enumerate()
        .map(|(i, v)| {
            let (class, voxel) = (i / shape.voxels(), i % shape.voxels());
            let weight = if class == 2 { 0.0 } else { 1.2 + v[2] };
            // The origin is its own Friedel mate, so it is real.
            [v[0], if voxel == origin { 0.0 } else { v[1] }, weight, 0.0]
        })
        .collect();
    let on_host = voxels.chunks_exact(shape.voxels()).map(|voxels| {
        let mut sums = BackProjection::zeros(shape);
        for ((a, w), v) in sums.data.iter_mut().zip(&mut sums.weight).zip(voxels) {
            *a = Complex64::new(f64::from(v[0]), f64::from(v[1]));
            *w = f64::from(v[2]);
        }
        Sums::Host(sums)
    });
    let array = device.upload(&voxels).unwrap();
    let volumes = DeviceVolume::split(device, array, CLASSES).into_iter();
    let on_device = volumes.map(|volume| Sums::Device(DeviceSums { volume, shape }));
    [on_host.collect(), on_device.collect()]
}

fn classes() -> Vec<ClassModel> {
    let average = |k: usize| ClassModel {
        map: Array3::from_elem((1, N, N), k as f64).into(),
        tau2: class().tau2.iter().map(|t| t * (1 + k) as f64).collect(),
        ..class()
    };
    (0..CLASSES).map(average).collect()
}

#[test]
fn all_averages_at_once_are_those_of_the_host() {
    let Some(device) = device().map(Arc::new) else {
        return;
    };
    let centre = Some(Centring {
        limit: 2.0,
        least: 0.0,
    });
    // Averages that are filtered are left to the host, wherever their sums are.
    let low_pass = Some(LowPass {
        resolution: 8.0,
        pixel_size: 2.0,
    });
    let mut unregularised = options();
    unregularised.regularise = false;
    let ctf2: Vec<f64> = (0..=N / 2).map(|shell| 0.2 + 0.01 * shell as f64).collect();
    for (what, options, finish, average_ctf2) in [
        ("averages", options(), Finish::default(), None),
        (
            "averages, centred",
            options(),
            Finish {
                centre,
                ..Finish::default()
            },
            None,
        ),
        (
            "averages, filtered",
            options(),
            Finish {
                low_pass,
                ..Finish::default()
            },
            None,
        ),
        (
            "averages, premultiplied data, no prior",
            unregularised,
            Finish::default(),
            Some(ctf2.as_slice()),
        ),
    ] {
        let prior = Prior::Reference { average_ctf2 };
        let [host, on_device] = sums(&device).map(|sums| {
            let mut classes = classes();
            let owns = |k: usize| k != OF_ANOTHER_RANK;
            maximize_averages(&mut classes, sums, &WEIGHTS, owns, prior, &options, &finish)
                .unwrap();
            classes
        });
        for k in [0, 4] {
            let (host, on_device) = (&host[k], &on_device[k]);
            let what = format!("{what}, class {k}");
            let pixels = |class: &ClassModel| class.map.iter().copied().collect::<Vec<f64>>();
            assert_close(&what, narrow(&pixels(on_device)), pixels(host), 2e-6);
            for (name, a, b) in [
                ("σ²", &on_device.sigma2, &host.sigma2),
                ("ssnr", &on_device.ssnr, &host.ssnr),
                ("coverage", &on_device.coverage, &host.coverage),
            ] {
                assert_close(&format!("{what}, {name}"), narrow(a), b.clone(), 2e-6);
            }
        }
        // No particles: nothing; no weight, or another rank: as before.
        assert!(on_device[1].map.iter().all(|v| *v == 0.0));
        assert!(on_device[OF_ANOTHER_RANK].map.iter().all(|v| *v == 3.0));
        assert_eq!(on_device[2].ssnr, classes()[2].ssnr);
        assert_eq!(on_device[2].map, host[2].map);
        assert_ne!(on_device[0].map, on_device[4].map);
    }
}
