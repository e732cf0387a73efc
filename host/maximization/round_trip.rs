//! Tests of the whole way from a map over its projections back to a map (spec 02 §9).

use super::tau2::tau2_from_fsc;
use super::{
    MaximizationOptions, halves, reconstruct::reconstruct, spectra, symmetrise::symmetrise,
};
use crate::fourier::backprojection::BackProjection;
use crate::fourier::masks::for_each_radius;
use crate::fourier::reference::prepare;
use crate::fourier::shape::gridding_factor;
use crate::geometry::Matrix3;
use ndarray::Array3;
use num_complex::Complex64;
use std::f64::consts::PI;

const N: usize = 24;

fn options() -> MaximizationOptions {
    MaximizationOptions {
        box_size: N,
        tau2_fudge: 1.0,
        regularise: true,
        minres_map: 0,
        gridding_iterations: None,
    }
}

/// A few Gaussians well inside the sphere and the band.
fn particle() -> Array3<f64> {
    let centre = (N / 2) as f64;
    let blobs = [
        ([0.0, 0.0, 0.0], 2.5, 1.0),
        ([2.0, -3.0, 1.0], 1.8, 1.5),
        ([-2.0, 1.0, 3.0], 2.0, -0.7),
    ];
    Array3::from_shape_fn((N, N, N), |(z, y, x)| {
        blobs
            .iter()
            .map(|(at, sigma, height)| {
                let r2: f64 = [z, y, x]
                    .iter()
                    .zip(at)
                    .map(|(&i, a)| (i as f64 - centre - a).powi(2))
                    .sum();
                height * (-r2 / (2.0 * sigma * sigma)).exp()
            })
            .sum()
    })
}

fn relative_l2(a: &Array3<f64>, b: &Array3<f64>) -> f64 {
    let norm = |m: &Array3<f64>| m.iter().map(|v| v * v).sum::<f64>().sqrt();
    norm(&(a - b)) / norm(b)
}

/// The reference as sums with weight 1: data are the values a projection reads.
fn as_sums(map: &Array3<f64>, padding: f64, size: usize) -> BackProjection {
    let volume = prepare(map, padding, size, None).volume;
    let mut sums = BackProjection::new(map.dim().0, padding, size);
    assert_eq!(sums.shape, volume.shape);
    for (to, from) in sums.data.iter_mut().zip(&volume.data) {
        *to = Complex64::new(f64::from(from.re), f64::from(from.im));
    }
    sums.weight.fill(1.0);
    sums
}

/// Orientations spread over the sphere; the first two rows span the slice.
fn orientations(count: usize) -> Vec<Matrix3> {
    (0..count)
        .map(|i| {
            let ct = 1.0 - (2.0 * i as f64 + 1.0) / count as f64;
            let st = (1.0 - ct * ct).sqrt();
            let (sp, cp) = (PI * (1.0 + 5f64.sqrt()) * i as f64).sin_cos();
            let (ss, cs) = (2.4 * i as f64).sin_cos();
            let (u, v) = ([ct * cp, ct * sp, -st], [-sp, cp, 0.0]);
            let mix = |a: f64, b: f64| [0, 1, 2].map(|k| a * u[k] + b * v[k]);
            [mix(cs, ss), mix(-ss, cs), [st * cp, st * sp, ct]]
        })
        .collect()
}

/// The eight voxels and trilinear weights for a position, None outside the sphere; true: use the mate.
fn corners(sums: &BackProjection, p: [f64; 3]) -> Option<(Vec<(usize, f64)>, bool)> {
    let r2: f64 = p.iter().map(|c| c * c).sum();
    if r2 > sums.shape.radius2() as f64 * (1.0 + 1e-9) {
        return None;
    }
    let mirrored = p[0] < 0.0;
    let [x, y, z] = if mirrored { p.map(|c| -c) } else { p };
    let half = sums.shape.half() as f64;
    let split = |c: f64| (c.floor() as usize, c - c.floor());
    let ((x, fx), (y, fy), (z, fz)) = (split(x), split(y + half), split(z + half));
    let width = sums.shape.half() + 1;
    let mut all = Vec::new();
    for (dz, wz) in [(0, 1.0 - fz), (1, fz)] {
        for (dy, wy) in [(0, 1.0 - fy), (1, fy)] {
            for (dx, wx) in [(0, 1.0 - fx), (1, fx)] {
                let at = ((z + dz) * sums.shape.side + y + dy) * width + x + dx;
                all.push((at, wz * wy * wx));
            }
        }
    }
    Some((all, mirrored))
}

fn value(sums: &BackProjection, p: [f64; 3]) -> Option<Complex64> {
    let (all, mirrored) = corners(sums, p)?;
    let v: Complex64 = all.iter().map(|&(at, w)| sums.data[at] * w).sum();
    Some(if mirrored { v.conj() } else { v })
}

fn insert(sums: &mut BackProjection, p: [f64; 3], value: Complex64, weight: f64) {
    let Some((all, mirrored)) = corners(sums, p) else {
        return;
    };
    let value = if mirrored { value.conj() } else { value };
    for (at, w) in all {
        sums.data[at] += value * w;
        sums.weight[at] += weight * w;
    }
}

/// Positions of the half-plane pixels of a slice, without the redundant half of x = 0.
fn slice_positions(a: &Matrix3, padding: f64, r_max: usize) -> Vec<[f64; 3]> {
    let r = r_max as i64;
    let mut all = Vec::new();
    for y in -r..=r {
        for x in 0..=r {
            if x * x + y * y <= r * r && (x > 0 || y >= 0) {
                all.push([0, 1, 2].map(|k| padding * (a[0][k] * x as f64 + a[1][k] * y as f64)));
            }
        }
    }
    all
}

/// All slices of the reference inserted into empty sums.
fn project_and_insert(reference: &BackProjection, orientations: &[Matrix3]) -> BackProjection {
    let mut sums = reference.clone();
    sums.data.fill(Complex64::default());
    sums.weight.fill(0.0);
    for a in orientations {
        for p in slice_positions(a, reference.shape.padding, reference.shape.r_max) {
            if let Some(v) = value(reference, p) {
                insert(&mut sums, p, v * 2.0, 2.0);
            }
        }
    }
    sums
}

/// c_p·N, 1/N² and the sizes fit: reconstructing the prepared volume itself gives the map back, divided by the
/// gridding correction of both ways (no interpolation took place that would have multiplied by it).
#[test]
fn preparing_and_reconstructing_are_inverse() {
    for (padding, size) in [(2.0, N), (2.0, N - 4), (1.0, N), (1.5, N)] {
        let sums = as_sums(&particle(), padding, size);
        let mut expected = particle();
        for_each_radius(&mut expected, |r, v| {
            *v /= gridding_factor(r, N, sums.shape.padding).powi(2);
        });
        let map = reconstruct(sums, None, 1.0, &options());
        let error = relative_l2(&map, &expected);
        assert!(error < 2e-4, "padding {padding}, size {size}: {error}");
    }
}

/// The difference that remains is that of the method: around the origin image pixels lie P padded voxels apart and the
/// density of slices falls off as 1/|v|, which direct division does not undo. A plain numpy program (full complex
/// transforms) gives the same numbers, provided the origin gets the samples of one half-space only, as here.
#[test]
fn projections_inserted_everywhere_give_the_map_back() {
    for (padding, known) in [(2.0, 0.029540462), (1.0, 0.129174079)] {
        let reference = as_sums(&particle(), padding, N);
        let mut sums = project_and_insert(&reference, &orientations(900));
        symmetrise(&mut sums, &[]);
        let error = relative_l2(&reconstruct(sums, None, 1.0, &options()), &particle());
        assert!((error - known).abs() < 1e-4, "padding {padding}: {error}");
    }
}

/// Iterative density compensation and direct division agree on well-sampled data.
#[test]
fn gridding_agrees_with_direct_division() {
    let reference = as_sums(&particle(), 2.0, N);
    let mut sums = project_and_insert(&reference, &orientations(900));
    symmetrise(&mut sums, &[]);
    let gridding = MaximizationOptions {
        gridding_iterations: Some(10),
        ..options()
    };
    let map = reconstruct(sums, None, 1800.0, &gridding);
    let error = relative_l2(&map, &particle());
    assert!(error < 0.05, "{error}");
}

/// T = 1, flat σ², FSC = f in all shells: the map is damped by f.
#[test]
fn the_prior_damps_by_the_fsc() {
    let sums = as_sums(&particle(), 2.0, N);
    let plain = reconstruct(sums.clone(), None, 1.0, &options());
    let sigma2 = spectra::sigma2(&spectra::weights(&sums), N).unwrap();
    for (fsc, joined, damping) in [(0.6, false, 0.6), (0.6, true, 0.75f64.sqrt())] {
        let (tau2, _) = tau2_from_fsc(&[fsc; N / 2 + 1], &sigma2, 1.0, joined);
        let map = reconstruct(sums.clone(), Some(&tau2), 1.0, &options());
        let error = relative_l2(&map, &(&plain * damping));
        assert!(error < 1e-4, "FSC {fsc}: {error}");
    }
}

/// Shells below `minres_map` are left alone; shells without prior power vanish where little was measured.
#[test]
fn shells_without_prior_power_are_penalised_beyond_minres_map() {
    let mut sums = as_sums(&particle(), 2.0, N);
    sums.weight.fill(1e-3);
    sums.data.iter_mut().for_each(|a| *a *= 1e-3);
    let protected = MaximizationOptions {
        minres_map: N,
        ..options()
    };
    let plain = reconstruct(sums.clone(), None, 1.0, &options());
    let none = vec![0.0; N / 2 + 1];
    let kept = reconstruct(sums.clone(), Some(&none), 1.0, &protected);
    assert!(relative_l2(&kept, &plain) < 1e-12);
    let gone = reconstruct(sums, Some(&none), 1.0, &options());
    // W becomes W + 1/(0.001·W) = 1e-3 + 1e6.
    assert!(gone.iter().all(|v| v.abs() < 1e-7));
}

/// ⟨slice(V), s⟩ = ⟨V, insert(s)⟩, with each x > 0 voxel counted once and real parts taken.
#[test]
fn insertion_is_the_adjoint_of_projection() {
    let reference = as_sums(&particle(), 2.0, N);
    let mut sums = reference.clone();
    sums.data.fill(Complex64::default());
    let mut left = 0.0;
    for (i, a) in orientations(7).iter().enumerate() {
        for (j, p) in slice_positions(a, 2.0, reference.shape.r_max)
            .into_iter()
            .enumerate()
        {
            let s = Complex64::new(((i + 3 * j) % 7) as f64 - 3.0, (j % 5) as f64 - 2.0);
            left += (value(&reference, p).unwrap_or_default() * s.conj()).re;
            insert(&mut sums, p, s, 1.0);
        }
    }
    let right: f64 = reference
        .data
        .iter()
        .zip(&sums.data)
        .map(|(v, s)| (v * s.conj()).re)
        .sum();
    assert!(
        (left - right).abs() < 1e-9 * left.abs().max(1.0),
        "{left} {right}"
    );
}

/// Symmetric data give the same sums whether all of them are inserted, or one asymmetric unit and then the operators.
#[test]
fn one_asymmetric_unit_and_its_operators_equal_all_data() {
    let quarter = |turns: usize, p: [f64; 3]| (0..turns).fold(p, |[x, y, z], _| [-y, x, z]);
    let operators: Vec<Matrix3> = (1..4)
        .map(|t| {
            let columns =
                [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].map(|e| quarter(t, e));
            [0, 1, 2].map(|r| [columns[0][r], columns[1][r], columns[2][r]])
        })
        .collect();
    let mut all = BackProjection::new(N, 2.0, N);
    let mut unit = all.clone();
    for (i, a) in orientations(20).iter().enumerate() {
        for (j, p) in slice_positions(a, 2.0, unit.shape.r_max)
            .into_iter()
            .enumerate()
        {
            let v = Complex64::new((i + j) as f64, (j % 11) as f64);
            insert(&mut unit, p, v, 1.5);
            for turns in 0..4 {
                insert(&mut all, quarter(turns, p), v, 1.5);
            }
        }
    }
    symmetrise(&mut all, &[]);
    symmetrise(&mut unit, &operators);
    let limit = unit.shape.radius2();
    let (half, width) = (unit.shape.half() as i64, unit.shape.half() + 1);
    for i in 0..unit.data.len() {
        let (x, y) = (
            (i % width) as i64,
            (i / width % unit.shape.side) as i64 - half,
        );
        let z = (i / width / unit.shape.side) as i64 - half;
        if x * x + y * y + z * z <= limit && (x > 0 || y != 0 || z != 0) {
            assert!((all.weight[i] - unit.weight[i]).abs() < 1e-9, "{x},{y},{z}");
            assert!((all.data[i] - unit.data[i]).norm() < 1e-6);
        }
    }
}

/// After Friedel completion W on the x = 0 plane continues that of the x = 1 plane.
#[test]
fn the_zero_plane_is_as_dense_as_its_neighbour() {
    let reference = as_sums(&particle(), 2.0, N);
    let mut sums = project_and_insert(&reference, &orientations(900));
    symmetrise(&mut sums, &[]);
    let width = sums.shape.half() + 1;
    let half = sums.shape.half() as i64;
    let mut totals = [0.0; 2];
    for z in -half..=half {
        for y in -half..=half {
            // A ring well away from the origin, where the density changes slowly.
            if (100..400).contains(&(y * y + z * z)) {
                let at = ((z + half) as usize * sums.shape.side + (y + half) as usize) * width;
                totals[0] += sums.weight[at];
                totals[1] += sums.weight[at + 1];
            }
        }
    }
    assert!((totals[0] / totals[1] - 1.0).abs() < 0.05, "{totals:?}");
}

/// One thread or several: the same bits.
#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let run = |threads: usize| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
            .install(|| {
                let mut sums =
                    project_and_insert(&as_sums(&particle(), 2.0, N - 2), &orientations(30));
                let d2 = [[1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]]
                    .map(|d| [[d[0], 0.0, 0.0], [0.0, d[1], 0.0], [0.0, 0.0, d[2]]]);
                symmetrise(&mut sums, &d2);
                let average = halves::half_average(&sums);
                let sigma2 = spectra::sigma2(&spectra::weights(&sums), N).unwrap();
                let tau2 = vec![1e-3; N / 2 + 1];
                let map = reconstruct(sums, Some(&tau2), 1.0, &options());
                (average, sigma2, map)
            })
    };
    assert!(run(1) == run(3));
}
