//! Maximisation on a device against that of the host, operation after operation on the same random sums.

use super::*;
use gerelion::device::{Cube, Device, DeviceVolume};
use gerelion::expectation::cpu::{self, SumSlice};
use gerelion::expectation::cuda::insertion;
use gerelion::expectation::cuda::trials::Trials;
use gerelion::fourier::backprojection::BackProjection;
use gerelion::fourier::reference::{self, DeviceReference, Reference};
use gerelion::fourier::shape::{Dimensions, VolumeShape};
use gerelion::fourier::sums::{DeviceSums, Sums};
use gerelion::geometry::symmetry::PointGroup;
use gerelion::maximization::{
    Finish, Footprint, MaximizationOptions, Prior, maximize_class, prepare_on_device, volumes,
};
use gerelion::model::ClassModel;
use gpu::slice::{Bend, slice_value};
use ndarray::Array3;
use num_complex::Complex64;
use std::sync::Arc;

/// Box and current size of the references.
pub const N: usize = 20;
pub const SIZE: usize = 16;

/// Sums of random data with positive weights, on the host and the same on the device.
pub fn sums(device: &Arc<Device>, padding: f64, seed: u64) -> [Sums; 2] {
    let shape = VolumeShape::new(Dimensions::Three, N, padding, SIZE);
    let mut voxels: Vec<[f32; 4]> = values(3 * shape.voxels(), seed)
        .chunks_exact(3)
        .map(|v| [v[0], v[1], 1.2 + v[2], 0.0])
        .collect();
    // The origin is its own Friedel mate, so it is real.
    let row = shape.half() * (shape.side + 1);
    voxels[row * (shape.half() + 1)][1] = 0.0;
    let mut host = BackProjection::new(N, padding, SIZE);
    for ((a, w), v) in host.data.iter_mut().zip(&mut host.weight).zip(&voxels) {
        *a = Complex64::new(f64::from(v[0]), f64::from(v[1]));
        *w = f64::from(v[2]);
    }
    let array = device.upload(&voxels).unwrap();
    let volume = DeviceVolume::split(device, array, 1).remove(0);
    [Sums::Host(host), Sums::Device(DeviceSums { volume, shape })]
}

fn compare_sums(what: &str, host: &Sums, device: &Sums, bound: f64) {
    let all = 0..host.voxels();
    let (host, device) = (host.read(all.clone()).unwrap(), device.read(all).unwrap());
    assert_close(
        what,
        device.into_iter().flatten().map(|v| v as f32),
        host.into_iter().flatten(),
        bound,
    );
}

pub fn options() -> MaximizationOptions {
    MaximizationOptions {
        box_size: N,
        tau2_fudge: 2.0,
        regularise: true,
        minres_map: 2,
        gridding_iterations: None,
    }
}

pub fn class() -> ClassModel {
    let shells = N / 2 + 1;
    ClassModel {
        map: Array3::zeros([N; 3]).into(),
        fraction: 1.0,
        // One shell has no power.
        tau2: (0..shells)
            .map(|s| if s == 3 { 0.0 } else { 0.3 / (1 + s) as f64 })
            .collect(),
        sigma2: vec![0.0; shells],
        ssnr: vec![0.0; shells],
        coverage: vec![0.0; shells],
        fsc: vec![0.0; shells],
        orientability: None,
        direction_prior: vec![1.0],
        offset_prior: [0.0; 2],
        accuracy_rotations: 0.0,
        accuracy_translations: 0.0,
        moments: None,
    }
}

pub fn narrow(values: &[f64]) -> impl Iterator<Item = f32> + '_ {
    values.iter().map(|&v| v as f32)
}

#[test]
fn symmetry_joining_and_fsc_are_those_of_the_host() {
    let Some(device) = device().map(Arc::new) else {
        return;
    };
    for (group, padding) in [("C1", 2.0), ("C4", 2.0), ("D3", 1.0)] {
        let operators = PointGroup::parse(group).unwrap().operators().to_vec();
        let [mut host1, mut device1] = sums(&device, padding, 1);
        let [mut host2, mut device2] = sums(&device, padding, 2);
        for sums in [&mut host1, &mut device1, &mut host2, &mut device2] {
            volumes::symmetrise(sums, &operators).unwrap();
        }
        compare_sums(&format!("symmetrise, {group}"), &host1, &device1, 2e-6);
        volumes::join_low_resolution(&mut host1, &mut host2, 4).unwrap();
        volumes::join_low_resolution(&mut device1, &mut device2, 4).unwrap();
        compare_sums("join halves", &host2, &device2, 2e-6);
        let host = volumes::fsc(&mut host1, &mut host2, N).unwrap();
        let device = volumes::fsc(&mut device1, &mut device2, N).unwrap();
        assert_close("FSC of halves", narrow(&device), host, 1e-5);
        host1.add(&host2).unwrap();
        device1.add(&device2).unwrap();
        compare_sums("add halves", &host1, &device1, 2e-6);
    }
}

/// Slices that the host has made, flat and bent, are added to sums on a device as to those of the host.
#[test]
fn slices_are_inserted_as_on_the_host() {
    let Some(device) = device().map(Arc::new) else {
        return;
    };
    let shape = VolumeShape::new(Dimensions::Three, N, 2.0, SIZE);
    let pixels = SIZE * (SIZE / 2 + 1);
    let slices: Vec<SumSlice> = (0..50)
        .map(|i| {
            let axes = values(9, 100 + i);
            let axis = |k: usize| [axes[3 * k], axes[3 * k + 1], axes[3 * k + 2]];
            let (data, weights) = (values(2 * pixels, 200 + i), values(pixels, 300 + i));
            SumSlice {
                volume: 0,
                axes: SliceAxes {
                    x_axis: axis(0),
                    y_axis: axis(1),
                },
                bend: (i % 2 == 1).then_some(Bend {
                    axis: axis(2),
                    form: [0.02, 0.003, 0.015],
                }),
                values: (data.as_chunks::<2>().0.iter().zip(&weights))
                    .map(|([re, im], w)| [*re, *im, *w])
                    .collect(),
            }
        })
        .collect();
    let mut host = BackProjection::zeros(shape);
    cpu::insert_slices(&mut host, 0, SIZE, &slices);
    let mut on_device = insertion::zeroed_sums(&device, shape).unwrap();
    insertion::insert_slices(&mut on_device, SIZE, &slices).unwrap();
    let (host, on_device) = (Sums::Host(host), Sums::Device(on_device));
    compare_sums("inserted slices", &host, &on_device, 2e-6);
}

/// Sums that made room for other work come back as they were, and work that succeeds at once leaves them alone.
#[test]
fn sums_wait_on_the_host_while_a_device_is_full() {
    let Some(device) = device().map(Arc::new) else {
        return;
    };
    let [host, mut sums] = sums(&device, 2.0, 4);
    let full = || DeviceError::Full {
        ordinal: 0,
        asked_mib: 2,
        free_mib: 1,
        total_mib: 3,
    };
    let mut calls = 0;
    let result = sums.make_room_for(
        |_| true,
        || {
            calls += 1;
            if calls == 1 { Err(full()) } else { Ok(calls) }
        },
    );
    assert_eq!(result.unwrap(), 2);
    compare_sums("parked and restored", &host, &sums, 0.0);
    let failed: Result<(), DeviceError> = sums.make_room_for(|_| false, || Err(full()));
    assert!(failed.is_err());
}

#[test]
fn maps_and_spectra_are_those_of_the_host() {
    let Some(device) = device().map(Arc::new) else {
        return;
    };
    let fsc: Vec<f64> = (0..N / 2 + 1)
        .map(|s| (1.0 - 0.09 * s as f64).max(0.0))
        .collect();
    let average_ctf2 = vec![0.4; N / 2 + 1];
    let priors = [
        Prior::Reference { average_ctf2: None },
        Prior::Reference {
            average_ctf2: Some(&average_ctf2),
        },
        Prior::Fsc {
            curve: &fsc,
            joined: true,
        },
    ];
    for (padding, prior) in [2.0, 1.0, 2.0].into_iter().zip(priors) {
        let both = sums(&device, padding, 3).map(|mut sums| {
            volumes::symmetrise(&mut sums, &[]).unwrap();
            let plain = volumes::unregularised(&sums, 7.0, &options()).unwrap();
            let mut class = class();
            let finish = Finish::default();
            maximize_class(&mut class, sums, 7.0, prior, &options(), &finish).unwrap();
            (plain, class)
        });
        let [(host_plain, host), (plain, found)] = both;
        let map = |map: &Array3<f64>| map.iter().copied().collect::<Vec<f64>>();
        assert_close(
            "unregularised map",
            narrow(&map(&plain.map)),
            map(&host_plain.map),
            3e-6,
        );
        assert_close(
            "regularised map",
            narrow(&map(&found.map)),
            map(&host.map),
            3e-6,
        );
        for (what, device, host) in [
            ("sigma2", found.sigma2, host.sigma2),
            ("tau2", found.tau2, host.tau2),
            ("ssnr", found.ssnr, host.ssnr),
            ("coverage", found.coverage, host.coverage),
        ] {
            assert_close(what, narrow(&device), host, 1e-5);
        }
    }
}

/// |v|² of stored voxel `i`.
pub fn squared_radius(i: usize, shape: &VolumeShape) -> f64 {
    let [x, y, z] = gpu::volume::position(i, &shape.for_kernels()).unwrap();
    f64::from(x * x + y * y + z * z)
}

/// Positive weights that fall with the radius, as those of images do, on the host and the same on the device.
pub fn falling_sums(device: &Arc<Device>, padding: f64, seed: u64) -> [Sums; 2] {
    let mut both = sums(device, padding, seed);
    let shape = VolumeShape::new(Dimensions::Three, N, padding, SIZE);
    let all = both[0].read(0..both[0].voxels()).unwrap();
    let values: Vec<[f64; 3]> = all
        .iter()
        .enumerate()
        .map(|(i, v)| {
            let falling = 1000.0 * (-0.01 * squared_radius(i, &shape)).exp();
            v.map(|v| f64::from((v * falling) as f32))
        })
        .collect();
    for sums in &mut both {
        sums.replace(0, &values).unwrap();
    }
    both
}

/// Every operation takes what the plan of a run says, but for some kilobytes of shapes, spectra and operators, and for
/// cuFFT's work area where a card's needs less than a cube.
#[test]
fn device_memory_is_what_the_plan_says() {
    if device().is_none() {
        return;
    }
    let shape = VolumeShape::new(Dimensions::Three, N, 2.0, 0);
    let footprint = Footprint::new(&shape, N, 1);
    let single = Cube::<f32>::bytes(shape.padded_box);
    let double = Cube::<f64>::bytes(shape.side);
    let operators = PointGroup::parse("C4").unwrap().operators().to_vec();
    let options = |gridding_iterations| MaximizationOptions {
        gridding_iterations,
        ..options()
    };
    type Operation<'a> = &'a dyn Fn(Sums);
    let operations: [(&str, usize, usize, Operation); 4] = [
        ("symmetrise", footprint.symmetrise, 0, &|mut sums| {
            volumes::symmetrise(&mut sums, &operators).unwrap();
        }),
        ("regularised", footprint.regularised, single, &|sums| {
            let prior = Prior::Reference { average_ctf2: None };
            let (options, finish) = (options(None), Finish::default());
            maximize_class(&mut class(), sums, 7.0, prior, &options, &finish).unwrap();
        }),
        ("unregularised", footprint.unregularised, single, &|sums| {
            volumes::unregularised(&sums, 7.0, &options(None)).unwrap();
        }),
        ("gridding", footprint.densities, double, &|sums| {
            volumes::unregularised(&sums, 7.0, &options(Some(2))).unwrap();
        }),
    ];
    let check = |what: &str, device: &Device, planned: usize, work_area: usize| {
        let peak = device.peak_memory();
        println!("{what:<28} {peak} bytes of {planned} planned");
        assert!(peak <= planned + 50_000, "{what}: {peak} of {planned}");
        assert!(
            peak + work_area + planned / 20 >= planned,
            "{what}: {peak} of {planned}"
        );
    };
    for (what, planned, work_area, operation) in operations {
        let device = Arc::new(device().unwrap());
        let voxels = vec![[0.5f32, 0.25, 1.0, 0.0]; shape.voxels()];
        let array = device.upload(&voxels).unwrap();
        let volume = DeviceVolume::split(&device, array, 1).remove(0);
        operation(Sums::Device(DeviceSums { volume, shape }));
        check(what, &device, planned, work_area);
    }
    let device = Arc::new(device().unwrap());
    prepare_on_device(&device, &[&Array3::ones([N; 3])], 2.0, 0, None).unwrap();
    check("prepare", &device, footprint.prepare, single);
}

#[test]
fn references_are_those_of_the_host() {
    let Some(device) = device().map(Arc::new) else {
        return;
    };
    let maps = [5, 6].map(|seed| {
        let values = values(N.pow(3), seed).into_iter().map(f64::from).collect();
        Array3::from_shape_vec([N; 3], values).unwrap()
    });
    for (padding, size, low) in [(2.0, SIZE, None), (2.0, 0, Some(2)), (1.0, N, None)] {
        let (references, powers) =
            prepare_on_device(&device, &[&maps[0], &maps[1]], padding, size, low).unwrap();
        for ((map, reference), power) in maps.iter().zip(&references).zip(powers) {
            let host = reference::prepare(map, padding, size, low);
            let Reference::Device(found) = reference else {
                panic!("prepared on the device");
            };
            assert_eq!(found.shape.side, host.volume.shape.side);
            let found = found.volume.read(0..found.volume.len()).unwrap();
            let expected = host.volume.data.iter().flat_map(|v| [v.re, v.im]);
            assert_close(
                "reference volume",
                flat(&found),
                expected.map(f64::from),
                3e-6,
            );
            assert_close("power of a reference", narrow(&power), host.power, 1e-5);
        }
    }
}

/// Σ w|s − s'·e^{−iφ}|² by its definition.
#[test]
fn turned_and_shifted_slices_differ_as_on_the_host() {
    let Some(device) = device().map(Arc::new) else {
        return;
    };
    let shape = VolumeShape::new(Dimensions::Three, N, 2.0, SIZE);
    let volume = complex(shape.voxels(), 7);
    let array = device.upload(&volume).unwrap();
    let reference = DeviceReference {
        volume: DeviceVolume::split(&device, array, 1).remove(0),
        shape,
    };
    let half = SIZE as i16 / 2;
    let pixels: Vec<[i16; 2]> = pixels()
        .into_iter()
        .filter(|[x, y]| x * x + y * y <= half * half)
        .collect();
    let shell_of: Vec<u32> = pixels
        .iter()
        .map(|[x, y]| f64::from(x * x + y * y).sqrt().round() as u32)
        .collect();
    let (trials, candidates) = (3, 4);
    let all = axes(trials * (1 + candidates));
    let (own, moved) = all.split_at(trials);
    let weights: Vec<f32> = values(trials * pixels.len(), 8)
        .iter()
        .map(|w| 1.0 + w)
        .collect();
    let shifts: Vec<[f32; 2]> = (0..moved.len())
        .map(|i| [0.01 * i as f32, 0.02 * (i % 3) as f32])
        .collect();
    let on_device = Trials::new(&reference, &pixels, &weights, own).unwrap();
    let found = on_device.differences(moved, &shifts).unwrap();
    let kernel_shape = shape.for_kernels();
    let difference = |trial: usize, moved: &SliceAxes, shift: [f32; 2], p: usize| {
        let [x, y] = pixels[p].map(f32::from);
        let cut = |axes: &SliceAxes| {
            let v = slice_value(&volume, &kernel_shape, axes.position(x, y));
            Complex64::new(f64::from(v[0]), f64::from(v[1]))
        };
        let turns = f64::from(x) * f64::from(shift[0]) + f64::from(y) * f64::from(shift[1]);
        let phase = Complex64::cis(-std::f64::consts::TAU * turns);
        f64::from(weights[trial * pixels.len() + p])
            * (cut(&own[trial]) - cut(moved) * phase).norm_sqr()
    };
    let expected = moved
        .iter()
        .zip(&shifts)
        .enumerate()
        .map(|(i, (axes, &shift))| {
            (0..pixels.len())
                .map(|p| difference(i / candidates, axes, shift, p))
                .sum()
        });
    assert_close(
        "trial_differences",
        found,
        expected.collect::<Vec<f64>>(),
        1e-5,
    );
    let shells = SIZE / 2 + 1;
    let found = on_device
        .spectrum(&moved[..trials], &shell_of, shells)
        .unwrap();
    let mut expected = vec![0.0; shells];
    for (trial, axes) in moved[..trials].iter().enumerate() {
        for (p, &shell) in shell_of.iter().enumerate() {
            expected[shell as usize] += difference(trial, axes, [0.0; 2], p);
        }
    }
    assert_close("trial_spectrum", narrow(&found), expected, 1e-5);
}
