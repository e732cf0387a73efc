//! Every kernel on a real device against its double-precision definition on the host, stage after stage of one batch.
//! Without a device the tests say that they skip. `tests/gpu.sh` runs them, also under compute-sanitizer.

mod averages;
mod batch;
mod density_compensation;
mod emulated;
mod full_device;
mod local;
mod maps;
mod maximization;
mod second_pass;
mod single_stages;
mod uploaded;
mod waits;

use gerelion::device::{Buffer, Device, DeviceError};
use gpu::slice::{SliceAxes, VolumeShape};
use material::{Need, skip};

const BOX: usize = 96;
const IMAGES: usize = 40;
const SHIFTS: usize = 21;
const SHIFT_CHILDREN: usize = 4;
const ORIENTATIONS: usize = 300;
const CHILDREN: usize = 8;
const CLASSES: usize = 2;
const HALF: i16 = 30;

fn device() -> Option<Device> {
    match Device::open(0) {
        Ok(device) => Some(device),
        Err(error @ DeviceError::NoKernels(_)) => {
            skip(Need::Kernels, error);
            None
        }
        Err(error @ (DeviceError::NoDriver | DeviceError::NoDevice(_))) => {
            skip(Need::Gpu, error);
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// `count` numbers in ±1.
fn values(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

fn complex(count: usize, seed: u64) -> Vec<[f32; 2]> {
    values(2 * count, seed)
        .chunks_exact(2)
        .map(|c| [c[0], c[1]])
        .collect()
}

fn pixels() -> Vec<[i16; 2]> {
    let mut all: Vec<[i16; 2]> = (-HALF + 1..=HALF)
        .flat_map(|y| (0..=HALF).map(move |x| [x, y]))
        .filter(|[x, y]| x * x + y * y <= HALF * HALF && (*x > 0 || *y >= 0))
        .collect();
    all.sort_by_key(|[x, y]| (x * x + y * y, *y, *x));
    all
}

fn axes(count: usize) -> Vec<SliceAxes> {
    (0..count)
        .map(|i| {
            let (a, b) = (0.7 * i as f32 + 0.1, 0.3 * i as f32);
            SliceAxes {
                x_axis: [a.cos() * b.cos(), a.sin() * b.cos(), -b.sin()].map(|v| v * 2.0),
                y_axis: [-a.sin(), a.cos(), 0.0].map(|v| v * 2.0),
            }
        })
        .collect()
}

/// Largest change by rounding positions in the volume to single precision, relative to the largest value: positions go up to
/// the radius of the sphere, both sides round them in different order, and a value changes by about as much as its position.
fn position_rounding(shape: &VolumeShape) -> f64 {
    4.0 * f64::from(f32::EPSILON) * f64::from(shape.max_radius2.sqrt())
}

/// Asserts |a − b| ≤ `bound` · the largest |b|, and prints the largest error.
fn assert_close(
    what: &str,
    a: impl IntoIterator<Item = f32>,
    b: impl IntoIterator<Item = f64>,
    bound: f64,
) {
    let a: Vec<f32> = a.into_iter().collect();
    let b: Vec<f64> = b.into_iter().collect();
    assert_eq!(a.len(), b.len(), "{what}");
    let scale = b.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    assert!(scale > 0.0, "{what}: nothing to compare");
    let mut worst = (0.0, 0);
    for (i, (x, y)) in a.iter().zip(&b).enumerate() {
        let error = (f64::from(*x) - y).abs() / scale;
        assert!(error.is_finite(), "{what}: element {i} is {x}");
        if error > worst.0 {
            worst = (error, i);
        }
    }
    println!("{what:<28} error {:.1e} (bound {bound:.0e})", worst.0);
    assert!(
        worst.0 <= bound,
        "{what}: element {}: {} instead of {}",
        worst.1,
        a[worst.1],
        b[worst.1]
    );
}

fn flat(v: &[[f32; 2]]) -> impl Iterator<Item = f32> + '_ {
    v.iter().flatten().copied()
}

/// A buffer of NaN, so that what a kernel leaves out is seen.
fn poisoned(device: &Device, length: usize) -> Buffer<f32> {
    device.upload(&vec![f32::NAN; length]).unwrap()
}

fn poisoned2(device: &Device, length: usize) -> Buffer<[f32; 2]> {
    device.upload(&vec![[f32::NAN; 2]; length]).unwrap()
}
