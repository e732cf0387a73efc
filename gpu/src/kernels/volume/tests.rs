//! Operations on the voxels of sums and references against their definition, in the emulator.

use super::*;
use crate::kernels::test_data;
use crate::volume::frequency;
use cuda_std::launch::{View, emulate, emulate_as};

fn shape() -> VolumeShape {
    VolumeShape::new(2 * (12 + 1) + 1, 6, 2.0)
}

fn sums(seed: u64) -> Vec<[f32; 4]> {
    test_data::values(3 * shape().len(), seed)
        .chunks_exact(3)
        .map(|v| [v[0], v[1], 1.0 + v[2], 0.0])
        .collect()
}

fn index(x: usize, y: i32, z: i32) -> usize {
    let s = shape();
    let h = s.half as i32;
    ((z + h) as usize * s.side as usize + (y + h) as usize) * s.row() + x
}

#[test]
fn mates_on_the_zero_plane_get_their_sum() {
    let before = sums(1);
    let mut after = before.clone();
    let p = View::of(&mut after);
    let side = shape().side;
    // SAFETY: array sizes as the kernel demands.
    unsafe { emulate(&CompleteZeroPlane { sums: p, side }) };
    for (y, z) in [(3, 2), (0, 5), (-7, 1), (12, -12)] {
        let (a, b) = (before[index(0, y, z)], before[index(0, -y, -z)]);
        let expected = [a[0] + b[0], a[1] - b[1], a[2] + b[2], 0.0];
        assert_eq!(after[index(0, y, z)], expected);
    }
    assert_eq!(after[index(0, 0, 0)], before[index(0, 0, 0)]);
    assert_eq!(after[index(1, 2, 3)], before[index(1, 2, 3)]);
}

/// A quarter turn about z maps the grid onto itself: (x, y, z) receives the value at (−y, x, z).
#[test]
fn a_quarter_turn_adds_the_turned_voxel() {
    let mut before = sums(2);
    let mut after = before.clone();
    let mut operator = vec![0.0f32, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0];
    let mut shape = shape();
    let count = shape.len();
    let (b, a) = (View::of(&mut before), View::of(&mut after));
    let (o, s) = (
        View::of(&mut operator),
        View::of(std::slice::from_mut(&mut shape)),
    );
    // SAFETY: array sizes as the kernel demands.
    unsafe {
        emulate(&AddRotated {
            voxels: count as u32,
            old: b,
            shape: s,
            radius2: 144,
            operators: o,
            count: 1,
            sums: a,
        })
    };
    for (x, y, z) in [(3usize, -4i32, 2i32), (0, -5, 1), (12, 0, 0), (2, 6, -3)] {
        let own = before[index(x, y, z)];
        let (tx, ty) = (-y, x as i32);
        let turned = if tx >= 0 {
            before[index(tx as usize, ty, z)]
        } else {
            let v = before[index(-tx as usize, -ty, -z)];
            [v[0], -v[1], v[2], 0.0]
        };
        for k in 0..3 {
            assert!((after[index(x, y, z)][k] - own[k] - turned[k]).abs() < 1e-5);
        }
    }
    // Beyond Rp nothing changes.
    assert_eq!(after[index(12, 3, 0)], before[index(12, 3, 0)]);
}

#[test]
fn weights_are_regularised() {
    let mut data = sums(3);
    let mut shape = shape();
    let (count, radius2) = (shape.len(), 144u32);
    let mut inverse = vec![0.5f32, 0.25, -1.0, 2.0];
    let s = View::of(std::slice::from_mut(&mut shape));
    let before = data.clone();
    let (d, v) = (View::of(&mut data), View::of(&mut inverse));
    // SAFETY: array sizes as the kernel demands.
    unsafe {
        emulate(&Regularise {
            voxels: count as u32,
            sums: d,
            shape: s,
            radius2,
            padding: 2.0,
            inverse: v,
            shells: 4,
            first_shell: 1,
        })
    };
    let shell = |x: i32, y: i32, z: i32| (f64::from(x * x + y * y + z * z).sqrt() / 2.0).round();
    for (x, y, z) in [
        (0, 0, 0),
        (1, 1, 0),
        (2, 2, 1),
        (3, -2, 1),
        (5, 4, -3),
        (9, 0, 1),
    ] {
        let i = index(x as usize, y, z);
        let w = before[i][2];
        let expected = match shell(x, y, z) as usize {
            0 => w,
            1 => w + 0.25,
            3 => w + 2.0,
            _ => w + 1000.0 / w,
        };
        assert_eq!(data[i][2], expected, "{x} {y} {z}");
    }
}

#[test]
fn weights_are_binned_and_divided_by() {
    let (mut data, mut shape) = (sums(3), shape());
    let (count, radius2, bins) = (shape.len(), 144u32, 6usize);
    let (d, s) = (
        View::of(&mut data),
        View::of(std::slice::from_mut(&mut shape)),
    );
    let mut binned = vec![0.0f64; 2 * bins];
    let b = View::of(&mut binned);
    // SAFETY: array sizes as the kernel demands. Few blocks, so that threads take several voxels.
    unsafe {
        emulate_as(
            &WeightByBin {
                voxels: count as u32,
                sums: d,
                shape: s,
                radius2,
                padding: 2.0,
                bins: bins as u32,
                out: b,
            },
            [5, 1, 1],
            [64, 1, 1],
        )
    };
    let mut exact = vec![0.0f64; 2 * bins];
    for (i, v) in data.iter().enumerate() {
        let [x, y, z] = position(i, &shape).unwrap();
        let r2 = x * x + y * y + z * z;
        if r2 < 144 {
            let bin = ((f64::from(r2).sqrt() / 2.0) as usize).min(bins - 1);
            exact[2 * bin] += f64::from(v[2]);
            exact[2 * bin + 1] += 1.0;
        }
    }
    for (a, b) in binned.iter().zip(&exact) {
        assert!((a - b).abs() <= 1e-5 * b.abs());
    }
    let q = 28u32;
    let mut floor = vec![1.2f32; bins];
    let mut out = vec![[f32::NAN; 2]; (q * q * (q / 2 + 1)) as usize];
    let (f, o) = (View::of(&mut floor), View::of(&mut out));
    // SAFETY: array sizes as the kernel demands.
    unsafe {
        emulate(&DivideIntoTransform {
            sums: d,
            shape: s,
            radius2,
            padding: 2.0,
            floor: f,
            bins: bins as u32,
            padded_box: q,
            out: o,
        })
    };
    for (i, value) in out.iter().enumerate() {
        let width = q as usize / 2 + 1;
        let (x, row) = (i % width, (i / width) as u32);
        let (y, z) = (frequency(row % q, q), frequency(row / q, q));
        let r2 = (x * x) as i32 + y * y + z * z;
        if r2 > 144 {
            assert_eq!(*value, [0.0; 2]);
        } else {
            let voxel = data[index(x, y, z)];
            let factor = centre_sign(x as i32, y, z) / voxel[2].max(1.2);
            assert_eq!(*value, [voxel[0] * factor, voxel[1] * factor]);
        }
    }
}

#[test]
fn references_are_cropped_and_measured() {
    let q = 26u32;
    let mut transform = test_data::complex((q * q * (q / 2 + 1)) as usize, 5);
    let mut shape = shape();
    let count = shape.len();
    let shells = 7usize;
    let mut out = vec![[f32::NAN; 2]; count];
    let mut power = vec![0.0f64; 2 * shells];
    let (t, o) = (View::of(&mut transform), View::of(&mut out));
    let (s, w) = (
        View::of(std::slice::from_mut(&mut shape)),
        View::of(&mut power),
    );
    // SAFETY: array sizes as the kernel demands.
    unsafe {
        emulate_as(
            &CropReference {
                voxels: count as u32,
                transform: t,
                padded_box: q,
                shape: s,
                radius2: 144,
                silent2: 4,
                scale: 3.0,
                padding: 2.0,
                shells: shells as u32,
                out: o,
                power: w,
            },
            [7, 1, 1],
            [64, 1, 1],
        )
    };
    let mut exact = vec![0.0f64; 2 * shells];
    for (i, value) in out.iter().enumerate() {
        let [x, y, z] = position(i, &shape).unwrap();
        let r2 = x * x + y * y + z * z;
        if r2 > 144 {
            assert_eq!(*value, [0.0; 2]);
            continue;
        }
        let (row, plane) = (crate::volume::stored(y, q), crate::volume::stored(z, q));
        let at = ((plane * q + row) * (q / 2 + 1)) as usize + x as usize;
        let expected = transform[at].map(|v| v * 3.0 * centre_sign(x, y, z));
        let shell = (f64::from(r2).sqrt() / 2.0).round() as usize;
        exact[2 * shell] += expected.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
        exact[2 * shell + 1] += 1.0;
        assert_eq!(*value, if r2 <= 4 { [0.0; 2] } else { expected });
    }
    for (a, b) in power.iter().zip(&exact) {
        assert!((a - b).abs() <= 1e-5 * b.abs(), "{a} {b}");
    }
}
