//! Local resolution against a plain version of the same rule, and on maps whose local resolution is known.

use super::*;
use crate::fourier::fft::inverse3;
use crate::fourier::masks::{low_pass, soft_sphere};
use crate::fourier::shells::logical;
use gpu::random::uniform;
use std::path::PathBuf;

const N: usize = 32;
const PIXEL: f64 = 2.0;

fn noise(seed: u64) -> Array3<f64> {
    Array3::from_shape_fn((N, N, N), |(z, y, x)| {
        uniform(seed, ((z * N + y) * N + x) as u64) - 0.5
    })
}

/// Half maps of a ball: detailed where z < N/2, only low resolution elsewhere; each with noise of its own.
fn inputs() -> Inputs {
    let detailed = low_pass(&noise(1), PIXEL, 5.0);
    let blurred = low_pass(&noise(2), PIXEL, 16.0);
    let mut signal = Array3::from_shape_fn((N, N, N), |at| match at.0 < N / 2 {
        true => detailed[at],
        false => blurred[at],
    });
    soft_sphere(&mut signal, 12.0, 3.0);
    Inputs {
        halves: [3, 4].map(|seed| &signal + &(noise(seed) * 0.6)),
        half2: PathBuf::from("half2.mrc"),
        pixel_size: PIXEL,
        mask: None,
        warnings: Vec::new(),
    }
}

fn settings() -> PostprocessSettings {
    let mut settings = PostprocessSettings::new("half1.mrc".into(), "out".into());
    settings.sharpening = super::super::postprocess::Sharpening::Fixed(-20.0);
    settings
}

fn local() -> LocalSettings {
    LocalSettings {
        sampling: 8.0,
        mask_radius: Some(8.0),
        edge_width: Some(6.0),
        randomise_at: 20.0,
        lowest: 40.0,
        gpu: None,
    }
}

/// The mask around a point in the whole box.
fn sphere(grid: &Grid, at: [i64; 3]) -> Array3<f64> {
    let ([z, y, x], mask) = grid.window(at, N);
    let mut whole = Array3::zeros((N, N, N));
    whole
        .slice_mut(s![z.0..z.1, y.0..y.1, x.0..x.1])
        .assign(&mask.mapv(f64::from));
    whole
}

/// Every step on the whole box in double precision, point after point (spec 02 §7.2 word by word).
#[test]
fn agrees_with_the_rule_done_the_slow_way() {
    let (inputs, settings, local) = (inputs(), settings(), local());
    let extent = N as f64 * PIXEL;
    let found = measure(&settings, &local, &inputs, |_, _| {}).unwrap();
    let grid = Grid::new(N, PIXEL, [8.0, 8.0, 6.0]);
    let from = (extent / local.randomise_at) as usize;
    let random = randomise_phases_of_both(&inputs.halves, from, 0);
    let mut sharpened = forward3(&(&inputs.halves[0] + &inputs.halves[1]));
    let radius2 = |(z, y, x): (usize, usize, usize)| {
        logical(z, N).pow(2) + logical(y, N).pow(2) + (x * x) as i64
    };
    for (at, value) in sharpened.indexed_iter_mut() {
        let r2 = radius2(at) as f64;
        let factor = (20.0 / 4.0 * r2 / (extent * extent)).exp();
        *value *= if r2 <= 256.0 { factor } else { 0.0 };
    }
    let [mut map, mut sum, mut weight] = [0; 3].map(|_| Array3::<f64>::zeros((N, N, N)));
    for at in &grid.points {
        let mask = sphere(&grid, *at);
        let fsc = |maps: &[Array3<f64>; 2]| {
            let mut curve = map_fsc(&(&maps[0] * &mask), &(&maps[1] * &mask)).unwrap();
            curve[0] = if curve[0] <= 0.0 { 1.0 } else { curve[0] };
            curve
        };
        let (masked, randomised) = (fsc(&inputs.halves), fsc(&random));
        let left = |s: usize| match s < from + 2 {
            true => masked[s],
            false => (masked[s] - randomised[s]) / (1.0 - randomised[s]),
        };
        let corrected: Vec<f64> = (0..=N / 2).map(left).collect();
        let fallen = corrected.iter().position(|c| *c < 0.143);
        let resolution = match fallen.unwrap_or(N / 2 + 1) {
            0 | 1 => 40.0,
            s => (extent / (s - 1) as f64).min(40.0),
        };
        let limit = (extent / resolution).round();
        let zero = corrected.iter().position(|c| *c < 1e-4);
        let mut transform = sharpened.clone();
        for (at, value) in transform.indexed_iter_mut() {
            let r = (radius2(at) as f64).sqrt();
            let s = r.round() as usize;
            let weight = match s < zero.unwrap_or(N / 2 + 1) && s <= N / 2 {
                true => (2.0 * corrected[s] / (1.0 + corrected[s])).sqrt(),
                false => 0.0,
            };
            let edge = 0.5 + 0.5 * (std::f64::consts::PI * (r - limit + 1.0) / 2.0).cos();
            *value *= weight
                * match r {
                    r if r < limit - 1.0 => 1.0,
                    r if r > limit + 1.0 => 0.0,
                    _ => edge,
                };
        }
        map = map + inverse3(transform, N) * &mask;
        sum = sum + &mask / resolution;
        weight += &mask;
    }
    let mut voxels = 0;
    let largest = found.filtered.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    for (at, w) in weight.indexed_iter() {
        if *w < 1e-3 {
            continue;
        }
        voxels += 1;
        let expected = w / sum[at];
        let resolution = f64::from(found.resolution[at]);
        assert!(
            (resolution - expected).abs() < 1e-3,
            "{at:?}: {resolution} for {expected}"
        );
        let difference = f64::from(found.filtered[at]) - map[at] / w;
        assert!(
            difference.abs() < 1e-4 * f64::from(largest),
            "{at:?}: {difference}"
        );
    }
    assert!(voxels > 10_000, "{voxels}");
}

#[test]
fn detailed_regions_have_a_better_resolution_than_blurred_ones() {
    let found = measure(&settings(), &local(), &inputs(), |_, _| {}).unwrap();
    let [detailed, blurred] = [8, 24].map(|z| f64::from(found.resolution[[z, 16, 16]]));
    // The sphere, some 22 Å wide, blurs the spectrum by 1/22 Å: 16 Å may look like 1/(1/16 + 1/22) = 9.3 Å.
    assert!(detailed < 7.0 && blurred > 9.3, "{detailed} and {blurred}");
    assert_eq!(found.resolution[[0, 0, 0]], 0.0);
}

#[test]
fn spheres_that_do_not_fit_are_refused() {
    let mut wide = local();
    wide.mask_radius = Some(40.0);
    let error = measure(&settings(), &wide, &inputs(), |_, _| {}).unwrap_err();
    assert!(error.to_string().contains("--locres_maskrad"), "{error}");
    wide.mask_radius = Some(f64::NAN);
    assert!(measure(&settings(), &wide, &inputs(), |_, _| {}).is_err());
}
