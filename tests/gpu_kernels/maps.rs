//! Maps on a device after their reconstruction, against the host's: low-pass, centring, masks, solvent-corrected FSC.

use super::maximization::{N, SIZE, class, falling_sums, narrow, options, squared_radius};
use super::*;
use gerelion::fourier::shape::{Dimensions, VolumeShape};
use gerelion::fourier::sums::Sums;
use gerelion::maximization::{
    Centring, Finish, Flattening, LowPass, Prior, maximize_class, volumes,
};
use ndarray::Array3;
use std::sync::Arc;

/// A ball of `radius` voxels with values that fall towards its edge, and another with soft values.
fn ball(radius: f64, off: f64) -> Array3<f64> {
    Array3::from_shape_fn([N; 3], |(z, y, x)| {
        let c = |i: usize| i as f64 - (N / 2) as f64 - off;
        let r = (c(z).powi(2) + c(y).powi(2) + c(x).powi(2)).sqrt();
        ((radius - r) / 2.0).clamp(0.0, 1.0)
    })
}

/// Low-pass, centring and every kind of mask. Values are rounded to 24 bits at each step; the shift of centring is that of
/// sums in double precision over such values.
#[test]
fn maps_are_finished_as_on_the_host() {
    let Some(device) = device().map(Arc::new) else {
        return;
    };
    let filter = LowPass {
        resolution: 6.0,
        pixel_size: 1.5,
    };
    let sphere = Flattening {
        radius: 5.0,
        edge: 3.0,
        mask: None,
        second: None,
        low_pass: None,
    };
    let masks = Flattening {
        mask: Some(ball(8.0, 0.0)),
        second: Some(ball(4.0, 2.0)),
        low_pass: Some((ball(9.0, -1.0), filter)),
        ..sphere.clone()
    };
    let finishes = [
        ("low-passed", Some(filter), None, None),
        ("centred", None, Some(3.0), None),
        ("in a sphere", None, None, Some(&sphere)),
        ("finished", Some(filter), Some(0.7), Some(&masks)),
    ];
    for (what, low_pass, centre, flatten) in finishes {
        let finish = Finish {
            low_pass,
            centre: centre.map(|limit| Centring { limit, least: 0.0 }),
            flatten,
            ..Finish::default()
        };
        let [host, found] = falling_sums(&device, 2.0, 6).map(|sums| {
            let mut class = class();
            let prior = Prior::Reference { average_ctf2: None };
            maximize_class(&mut class, sums, 7.0, prior, &options(), &finish).unwrap();
            class.map.iter().copied().collect::<Vec<f64>>()
        });
        assert_close(what, narrow(&found), host, 3e-6);
    }
}

/// All curves of the correction, with the same random phases. The FSC of a shell with few voxels and little power is the
/// most sensitive to rounding.
#[test]
fn solvent_corrected_fsc_is_that_of_the_host() {
    let Some(device) = device().map(Arc::new) else {
        return;
    };
    let mask = ball(7.0, 0.0);
    let halves = [8, 9].map(|seed| {
        // Halves that share low resolution: what is their own grows with the radius.
        let shape = VolumeShape::new(Dimensions::Three, N, 2.0, SIZE);
        let [mut host, mut other] = falling_sums(&device, 2.0, 7);
        let [host2, other2] = falling_sums(&device, 2.0, seed);
        let noise = |sums: &mut Sums, other: &Sums| {
            let all = other.read(0..other.voxels()).unwrap();
            let own = |i| 0.01 * squared_radius(i, &shape);
            let few: Vec<[f64; 3]> = (0..all.len())
                .map(|i| all[i].map(|v| f64::from((own(i) * v) as f32)))
                .collect();
            sums.add_values(0, &few).unwrap();
        };
        noise(&mut host, &host2);
        noise(&mut other, &other2);
        [host, other].map(|sums| volumes::unregularised(&sums, 1.0, &options()).unwrap())
    });
    let [[host1, device1], [host2, device2]] = &halves;
    let curve = |a, b| volumes::solvent_corrected_fsc([a, b], &mask, SIZE, 3).unwrap();
    let (host, found) = (curve(host1, host2), curve(device1, device2));
    assert_eq!(host.randomised_from, found.randomised_from);
    assert!(host.randomised_from.is_some(), "{host:?}");
    for (what, host, found) in [
        ("FSC of maps", host.unmasked, found.unmasked),
        ("masked", host.masked, found.masked),
        ("randomised", host.randomised, found.randomised),
        ("corrected", host.corrected, found.corrected),
    ] {
        // Beyond the current size maps hold nothing but rounding.
        let known = |curve: Vec<f64>| curve.into_iter().take(SIZE / 2).collect::<Vec<_>>();
        assert_close(what, narrow(&known(found)), known(host), 1e-5);
    }
    // A map that is on the host only goes there.
    let mixed = volumes::HalfMap::from(device2.map.clone());
    let again = curve(device1, &mixed);
    assert_eq!(again.randomised_from, Some(host.randomised_from.unwrap()));
}
