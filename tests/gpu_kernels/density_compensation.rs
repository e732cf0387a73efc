//! Iterative density compensation on a device against that of the host.

use super::maximization::{N, SIZE, class, falling_sums, narrow, options, squared_radius, sums};
use super::*;
use gerelion::device::DeviceVolume;
use gerelion::fourier::shape::{Dimensions, VolumeShape};
use gerelion::fourier::sums::{DeviceSums, Sums};
use gerelion::maximization::{
    Finish, Footprint, MaximizationOptions, Prior, maximize_class, volumes,
};
use std::sync::Arc;

/// Iterative density compensation: single-precision transforms err by some 10⁻⁷ of the largest value, which must not be
/// more than the smallest weights (the steep ones fall by ten orders of magnitude).
#[test]
fn gridding_is_that_of_the_host() {
    let Some(device) = device().map(Arc::new) else {
        return;
    };
    let options = MaximizationOptions {
        gridding_iterations: Some(10),
        ..options()
    };
    for (padding, weight, steepness) in [(2.0, 70.0, 0.0), (1.0, 0.0, 0.0), (2.0, 70.0, 0.06)] {
        let shape = VolumeShape::new(Dimensions::Three, N, padding, SIZE);
        let both = falling_sums(&device, padding, 5).map(|mut sums| {
            let mut values = sums.read(0..sums.voxels()).unwrap();
            for (i, value) in values.iter_mut().enumerate() {
                let factor = (-steepness * squared_radius(i, &shape)).exp();
                *value = value.map(|v| f64::from((v * factor) as f32));
            }
            sums.replace(0, &values).unwrap();
            volumes::symmetrise(&mut sums, &[]).unwrap();
            let before = sums.read(0..sums.voxels()).unwrap();
            let plain = volumes::unregularised(&sums, weight, &options).unwrap();
            assert_eq!(before, sums.read(0..sums.voxels()).unwrap());
            let mut class = class();
            let prior = Prior::Reference { average_ctf2: None };
            maximize_class(&mut class, sums, 70.0, prior, &options, &Finish::default()).unwrap();
            [&plain.map, class.map.as_ref()].map(|map| map.iter().copied().collect::<Vec<f64>>())
        });
        let [host, found] = both;
        for (what, (host, found)) in ["unregularised", "regularised"]
            .into_iter()
            .zip(host.into_iter().zip(found))
        {
            assert_close(
                &format!("{what} map by gridding, padding {padding}, steepness {steepness}"),
                narrow(&found),
                host,
                3e-6,
            );
        }
    }
}

/// A prior that rises steeply from shell to shell, as where few images are given: rounds of density compensation enlarge the last digits of such
/// weights, so the prior has to be added in double precision on both. That it matters is seen on the host, with τ² rounded once.
#[test]
fn gridding_with_a_steep_prior_is_that_of_the_host() {
    const BOUND: f64 = 2e-6;
    let Some(device) = device().map(Arc::new) else {
        return;
    };
    let options = MaximizationOptions {
        gridding_iterations: Some(10),
        tau2_fudge: 1.0,
        ..options()
    };
    let map = |sums: Sums, steepness: f64, rounded: bool| {
        let mut class = class();
        for (shell, tau2) in class.tau2.iter_mut().enumerate() {
            *tau2 = 100.0 * (-steepness * shell as f64).exp();
            if rounded {
                *tau2 = f64::from(*tau2 as f32);
            }
        }
        let prior = Prior::Reference { average_ctf2: None };
        maximize_class(&mut class, sums, 70.0, prior, &options, &Finish::default()).unwrap();
        class.map.iter().copied().collect::<Vec<f64>>()
    };
    let mut largest: f64 = 0.0;
    for steepness in (0..=12).map(|i| 3.0 + 0.125 * f64::from(i)) {
        let [host, on_device] = sums(&device, 2.0, 8);
        let [again, _] = sums(&device, 2.0, 8);
        let host = map(host, steepness, false);
        let rounded = map(again, steepness, true);
        let scale = host.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let differences = host.iter().zip(&rounded).map(|(a, b)| (a - b).abs());
        largest = largest.max(differences.fold(0.0, f64::max) / scale);
        assert_close(
            &format!("map by gridding, prior steep by {steepness}"),
            narrow(&map(on_device, steepness, false)),
            host,
            BOUND,
        );
    }
    println!("with τ² rounded to single precision: {largest:.1e}");
    assert!(largest > 3.0 * BOUND, "{largest}");
}

/// Where double-precision cubes do not fit, the host finds the densities and the map is the same.
#[test]
fn gridding_goes_to_the_host_when_the_device_has_no_room() {
    let options = MaximizationOptions {
        gridding_iterations: Some(10),
        ..options()
    };
    let shape = VolumeShape::new(Dimensions::Three, N, 2.0, 0);
    let footprint = Footprint::new(&shape, N, 1);
    let voxels: Vec<[f32; 4]> = values(4 * shape.voxels(), 9)
        .chunks_exact(4)
        .map(|v| [v[0], v[1], 1.5 + v[2], 0.0])
        .collect();
    let mut maps = Vec::new();
    for limit in [usize::MAX, footprint.unregularised + 200_000] {
        let Some(device) = device().map(Arc::new) else {
            return;
        };
        device.limit_memory(limit);
        let array = device.upload(&voxels).unwrap();
        let volume = DeviceVolume::split(&device, array, 1).remove(0);
        let sums = Sums::Device(DeviceSums { volume, shape });
        maps.push(volumes::unregularised(&sums, 7.0, &options).unwrap().map);
        let room_for_densities = device.peak_memory() > footprint.unregularised + 200_000;
        assert_eq!(room_for_densities, limit == usize::MAX);
    }
    let [on_device, on_host] = [0, 1].map(|i| maps[i].clone().into_raw_vec_and_offset().0);
    assert_close("densities of the host", narrow(&on_device), on_host, 3e-6);
}
