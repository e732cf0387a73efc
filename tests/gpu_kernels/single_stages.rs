//! Image preparation, CTF and matrix products, each by itself.

use super::*;
use gerelion::device::{
    Factors, ImageTransforms, MatrixProduct, Precision, Staging, Uploader, View,
};
use gerelion::fourier::image::{
    Background, ImageTransform, mask_particle, shell_power, shift_by_pixels,
};
use gpu::correlation::ExactSample;
use gpu::ctf::CtfCoefficients;
use gpu::image::ImageTask;
use gpu::kernels::prepare::{CtfValues, GatherTransforms, PrepareImages, ShellPowers};
use gpu::kernels::product::{InnerProducts, InnerProductsTf32, InnerProductsTf32x3};
use gpu::kernels::ties::TiedCorrelations;
use half::f16;
use std::sync::Arc;
use std::time::Instant;

/// Returns transforms of the masked images at the listed pixels, padded to whole rows, and their powers per shell.
fn prepared_on_host(
    raw: &[f32],
    tasks: &[ImageTask],
    pixels: &[[i16; 2]],
    (radius, edge): (f32, f32),
) -> (Vec<f64>, Vec<f64>) {
    let stride = pixels.len().next_multiple_of(32);
    let transform = ImageTransform::new(BOX);
    let (mut expected, mut expected_powers) = (Vec::new(), Vec::new());
    for (i, task) in tasks.iter().enumerate() {
        let own = raw[i * BOX * BOX..][..BOX * BOX].iter();
        let scaled: Vec<f32> = own.map(|v| v * task.factor).collect();
        let mut image = shift_by_pixels(&scaled, BOX, task.shift);
        mask_particle(&mut image, BOX, radius, edge, Background::Mean);
        let f = transform.forward(&image, BOX / 2);
        expected_powers.extend(shell_power(&f, BOX));
        for p in 0..stride {
            let value = pixels.get(p).map_or([0.0; 2], |[x, y]| {
                let row = (i32::from(*y) + BOX as i32) as usize % BOX;
                let v = f[row * (BOX / 2 + 1) + *x as usize];
                [f64::from(v.re), f64::from(v.im)]
            });
            expected.extend(value);
        }
    }
    (expected, expected_powers)
}

#[test]
fn images_are_prepared_as_on_the_host() {
    let Some(device) = device() else { return };
    // Every other image comes in half precision.
    let mut raw = values(IMAGES * BOX * BOX, 1);
    let is_half = |image: usize| image % 2 == 1;
    for (i, value) in raw.iter_mut().enumerate() {
        if is_half(i / (BOX * BOX)) {
            *value = f16::from_f32(*value).to_f32();
        }
    }
    let halves: Vec<f16> = raw.iter().map(|v| f16::from_f32(*v)).collect();
    let tasks: Vec<ImageTask> = (0..IMAGES)
        .map(|i| ImageTask {
            factor: 0.5 + 0.1 * i as f32,
            shift: [i as i32 % 7 - 3, 2 - i as i32 % 5],
            half: u32::from(is_half(i)),
        })
        .collect();
    let pixels = pixels();
    let (count, stride) = (pixels.len(), pixels.len().next_multiple_of(32));
    let (radius, edge) = (30.0f32, 5.0f32);
    let d_raw = device.upload(&raw).unwrap();
    let d_halves = device.upload(&halves).unwrap();
    let d_tasks = device.upload(&tasks).unwrap();
    let unmasked = poisoned(&device, raw.len());
    let masked = poisoned(&device, raw.len());
    let d_pixels = device.upload(&pixels).unwrap();
    let mut full = poisoned2(&device, IMAGES * BOX * (BOX / 2 + 1));
    let packed = poisoned2(&device, IMAGES * stride);
    let powers = poisoned(&device, IMAGES * (BOX / 2 + 1));
    let transforms = match ImageTransforms::new(&device, BOX, IMAGES) {
        Ok(plan) => plan,
        Err(error @ DeviceError::NoLibrary { .. }) => {
            material::skip(material::Need::Gpu, error);
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let addresses: Vec<u64> = (0..IMAGES)
        .map(|i| match is_half(i) {
            false => d_raw.view().offset(i * BOX * BOX).address(),
            true => d_halves.view().offset(i * BOX * BOX).address(),
        })
        .collect();
    let d_addresses = device.upload(&addresses).unwrap();
    // SAFETY: array sizes as the kernels demand.
    unsafe {
        device
            .launch(&PrepareImages {
                images: IMAGES as u32,
                raw: d_addresses.view(),
                tasks: d_tasks.view(),
                box_size: BOX as u32,
                radius,
                edge,
                noise: View::null(),
                unwanted: View::null(),
                unmasked: unmasked.view(),
                masked: masked.view(),
            })
            .unwrap();
        transforms.forward(&device, &masked, &mut full).unwrap();
        device
            .launch(&GatherTransforms {
                images: IMAGES as u32,
                transforms: full.view(),
                box_size: BOX as u32,
                pixels: d_pixels.view(),
                pixel_count: count as u32,
                factors: View::null(),
                remainders: View::null(),
                out: packed.view(),
                stride: stride as u32,
            })
            .unwrap();
        device
            .launch(&ShellPowers {
                images: IMAGES as u32,
                transforms: full.view(),
                box_size: BOX as u32,
                out: powers.view(),
            })
            .unwrap();
    }
    let packed = device.download(&packed, IMAGES * stride).unwrap();
    let powers = device.download(&powers, IMAGES * (BOX / 2 + 1)).unwrap();
    let (expected, expected_powers) = prepared_on_host(&raw, &tasks, &pixels, (radius, edge));
    assert_close("prepare, transform, gather", flat(&packed), expected, 2e-6);
    assert_close("shell_powers", powers, expected_powers, 1e-5);
}

#[test]
fn ctfs_have_the_accuracy_of_double_precision() {
    let Some(device) = device() else { return };
    let pixels = pixels();
    let coefficients: Vec<CtfCoefficients<f64>> = (0..IMAGES)
        .map(|i| CtfCoefficients {
            phase_xx: -0.31 - 0.01 * i as f64,
            phase_xy: 0.002,
            phase_yy: -0.29,
            phase_u4: 4000.0,
            phase_constant: -0.1,
            u_xx: 1.5e-5,
            u_xy: 0.0,
            u_yy: 1.5e-5,
            damping: -20.0,
            scale: 0.9,
            flags: 0,
        })
        .collect();
    let (count, stride) = (pixels.len(), pixels.len() + 3);
    let d_coefficients = device.upload(&coefficients).unwrap();
    let d_pixels = device.upload(&pixels).unwrap();
    let out = poisoned(&device, IMAGES * stride);
    // SAFETY: array sizes as the kernel demands.
    unsafe {
        device
            .launch(&CtfValues {
                images: IMAGES as u32,
                coefficients: d_coefficients.view(),
                pixels: d_pixels.view(),
                pixel_count: count as u32,
                aberration: View::null(),
                out: out.view(),
                stride: stride as u32,
            })
            .unwrap();
    }
    let out = device.download(&out, IMAGES * stride).unwrap();
    let expected = coefficients.iter().flat_map(|c| {
        let values = pixels
            .iter()
            .map(|[x, y]| gpu::ctf::value(c, f64::from(*x), f64::from(*y), 0.0));
        values.chain([0.0; 3]).collect::<Vec<f64>>()
    });
    assert_close("ctf_values", out, expected, 1e-7);
}

#[test]
fn products_have_the_accuracy_of_their_kind() {
    let Some(device) = device() else { return };
    let (rows, columns, length) = (700, 1111, 1024);
    let (left, right) = (values(rows * length, 1), values(columns * length, 2));
    let exact: Vec<f64> = (0..rows)
        .step_by(13)
        .flat_map(|r| (0..columns).map(move |c| (r, c)))
        .map(|(r, c)| {
            (0..length)
                .map(|k| f64::from(left[r * length + k]) * f64::from(right[c * length + k]))
                .sum()
        })
        .collect();
    let (d_left, d_right) = (
        device.upload(&left).unwrap(),
        device.upload(&right).unwrap(),
    );
    let out = poisoned(&device, rows * columns);
    let sizes = InnerProducts {
        left: d_left.view(),
        right: d_right.view(),
        rows: rows as u32,
        columns: columns as u32,
        length: length as u32,
        out: out.view(),
        out_stride: columns as u32,
    };
    let product = MatrixProduct::new(&device);
    let by_library = |precision: Precision| {
        let operand = |values: &[f32]| {
            let operand = product.operand(&device, precision, device.upload(values).unwrap());
            let operand = operand.unwrap();
            operand.split(&device, values.len()).unwrap();
            operand
        };
        [operand(&left), operand(&right)]
    };
    let libraries = [
        ("cuBLAS, single", Precision::Single),
        ("cuBLAS, TF32", Precision::Tf32),
        ("cuBLAS, split TF32", Precision::Tf32x3),
    ]
    .map(|(name, precision)| (name, precision, by_library(precision)));
    let run = |name: &str| {
        let library = libraries.iter().find(|library| library.0 == name);
        // SAFETY: array sizes as the kernels demand.
        unsafe {
            match (name, library) {
                (_, Some((_, precision, [left, right]))) => {
                    let factors = Factors {
                        left,
                        first: 0,
                        right,
                        rows,
                        columns,
                        length,
                        out: out.view(),
                    };
                    product.run(&device, *precision, &factors)
                }
                ("inner_products_tf32", _) => device.launch(&InnerProductsTf32::from(sizes)),
                ("inner_products_tf32x3", _) => device.launch(&InnerProductsTf32x3::from(sizes)),
                _ => device.launch(&sizes),
            }
        }
        .unwrap();
    };
    // Rounding of a sum of n terms of both signs grows with √n.
    let single = f64::from(f32::EPSILON) * (length as f64).sqrt();
    let mut kinds = vec![("inner_products", single), ("cuBLAS, single", single)];
    if device.capability() >= 80 {
        kinds.extend([
            ("inner_products_tf32", 1e-3),
            // Tensor cores cut their sums off, so that errors do not average out: a last digit three times every eight terms.
            (
                "inner_products_tf32x3",
                f64::from(f32::EPSILON) * (3 * length / 8) as f64,
            ),
            ("cuBLAS, TF32", 1e-3),
            (
                "cuBLAS, split TF32",
                f64::from(f32::EPSILON) * (3 * length / 8) as f64,
            ),
        ]);
    }
    for (name, bound) in kinds {
        run(name);
        let found = device.download(&out, rows * columns).unwrap();
        let rows_checked = (0..rows)
            .step_by(13)
            .flat_map(|r| found[r * columns..(r + 1) * columns].to_vec());
        assert_close(name, rows_checked, exact.clone(), bound);
        let flops = 2.0 * (rows * columns * length) as f64;
        let speed = flops / seconds_of(&device, || run(name)) / 1e12;
        println!("{name:<28} {speed:.1} TFLOP/s at {rows} × {columns} × {length}");
    }
}

/// Seconds of a piece of work on the device, of twenty repetitions.
fn seconds_of(device: &Device, work: impl Fn()) -> f64 {
    device.synchronise().unwrap();
    let clock = Instant::now();
    for _ in 0..20 {
        work();
    }
    device.synchronise().unwrap();
    clock.elapsed().as_secs_f64() / 20.0
}

/// Samples of cross-correlations that single precision cannot tell apart are told apart in double precision.
#[test]
fn tied_correlations_have_double_precision() {
    let Some(device) = device() else { return };
    let shape = VolumeShape::new(2 * (2 * HALF as u32 + 1) + 1, HALF as u32, 2.0);
    let pixels = pixels();
    let count = pixels.len();
    let references = complex(CLASSES * shape.len(), 20);
    let images = complex(IMAGES * count, 21);
    let (ctf, scales) = (values(IMAGES * count, 22), values(IMAGES, 23));
    let weight: Vec<f32> = (0..count).map(|p| 1.0 + (p % 2) as f32).collect();
    let samples: Vec<ExactSample> = axes(500)
        .iter()
        .enumerate()
        .map(|(i, axes)| ExactSample {
            x_axis: axes.x_axis.map(f64::from),
            y_axis: axes.y_axis.map(f64::from),
            turns: [0.001 * i as f64, 0.02],
            image: (i % IMAGES) as u32,
            class: (i % CLASSES) as u32,
        })
        .collect();
    let out = device.zeros::<f64>(samples.len()).unwrap();
    let (list, volume) = (
        device.upload(&samples).unwrap(),
        device.upload(&references).unwrap(),
    );
    let (d_shape, d_pixels) = (
        device.upload(&[shape]).unwrap(),
        device.upload(&pixels).unwrap(),
    );
    let (d_images, d_ctf) = (
        device.upload(&images).unwrap(),
        device.upload(&ctf).unwrap(),
    );
    let (d_scales, d_weight) = (
        device.upload(&scales).unwrap(),
        device.upload(&weight).unwrap(),
    );
    // SAFETY: array sizes as the kernel demands.
    unsafe {
        device
            .launch(&TiedCorrelations {
                sample_count: samples.len() as u32,
                samples: list.view(),
                references: volume.view(),
                shape: d_shape.view(),
                pixels: d_pixels.view(),
                pixel_count: count as u32,
                images: d_images.view(),
                image_stride: count as u32,
                ctf: d_ctf.view(),
                scales: d_scales.view(),
                weight: d_weight.view(),
                out: out.view(),
            })
            .unwrap();
    }
    let found = device.download(&out, samples.len()).unwrap();
    for (sample, found) in samples.iter().zip(found) {
        let (i, k) = (sample.image as usize, sample.class as usize);
        let (mut cross, mut power) = (0.0, 0.0);
        for p in 0..count {
            let at = i * count + p;
            let [c, w] = sample.pixel(
                pixels[p],
                images[at],
                scales[i] * ctf[at],
                weight[p],
                |v| references[k * shape.len() + v],
                &shape,
            );
            cross += c;
            power += w;
        }
        let expected: f64 = cross / f64::sqrt(power);
        assert!((found - expected).abs() < 1e-11, "{found} {expected}");
    }
}

/// Up and down again, with more than one block of pinned memory in the first batch.
#[test]
fn what_is_staged_arrives() {
    let Some(device) = device() else { return };
    let mut staging = Staging::new(Arc::new(device));
    let lengths = [0, 1, 300_000, 7, 500_000];
    let list = |batch: u32, length: u32| -> Vec<u32> {
        (0..length).map(|i| 7 * i + 1000 * batch + length).collect()
    };
    for batch in 0..3 {
        staging.begin().unwrap();
        let coming: Vec<_> = lengths
            .iter()
            .map(|&length| {
                let buffer = staging.upload(&list(batch, length)).unwrap();
                let begin = length as usize / 3;
                staging
                    .fetch(&buffer, begin, length as usize - begin)
                    .unwrap()
            })
            .collect();
        // What was fetched before one wait is there after a later one too.
        staging.wait().unwrap();
        let last = staging.upload(&[batch]).unwrap();
        let last = staging.fetch(&last, 0, 1).unwrap();
        staging.wait().unwrap();
        assert_eq!(staging.values(&last), [batch]);
        for (&length, coming) in lengths.iter().zip(&coming) {
            let expected = &list(batch, length)[length as usize / 3..];
            assert_eq!(staging.values(coming), expected, "{length} elements");
        }
    }
}

#[test]
fn staged_values_are_not_read_before_they_were_waited_for() {
    let Some(device) = device() else { return };
    let mut staging = Staging::new(Arc::new(device));
    staging.begin().unwrap();
    let buffer = staging.upload(&[1.0f32; 8]).unwrap();
    let coming = staging.fetch(&buffer, 0, 8).unwrap();
    let read = |staging: &Staging| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            staging.values(&coming).to_vec()
        }))
    };
    assert!(read(&staging).is_err());
    staging.wait().unwrap();
    assert_eq!(read(&staging).unwrap(), [1.0; 8]);
    staging.begin().unwrap();
    assert!(read(&staging).is_err(), "values of another batch");
}

#[test]
fn pieces_arrive_whole_and_in_their_places() {
    let Some(device) = device() else { return };
    let device = Arc::new(device);
    let mut uploader = Uploader::new(device.clone()).unwrap();
    // More than the pinned memory holds at a time, several times over; one piece is larger than it.
    let sizes: Vec<usize> = (0..40)
        .map(|i| (3 << 20) + 7 * i)
        .chain([70 << 20, 1])
        .collect();
    let value = |piece: usize, at: usize| (31 * piece + at / 1000 + at % 7) as u8;
    for _ in 0..2 {
        let found = uploader
            .upload(&sizes, |piece, to: &mut [u8]| {
                to.iter_mut()
                    .enumerate()
                    .for_each(|(at, v)| *v = value(piece, at));
            })
            .unwrap();
        let bytes = device.download(&found.block, found.block.len()).unwrap();
        for (piece, (&begin, &size)) in found.begins.iter().zip(&sizes).enumerate() {
            assert_eq!(begin % 16, 0);
            let wrong = (0..size).find(|&at| bytes[begin + at] != value(piece, at));
            assert_eq!(wrong, None, "piece {piece}");
        }
    }
    let nothing = |_: usize, _: &mut [u8]| ();
    assert!(uploader.upload(&[], nothing).unwrap().begins.is_empty());
    device.limit_memory(1 << 20);
    let error = uploader.upload(&[2 << 20], nothing).err().unwrap();
    assert!(error.is_full(), "{error}");
}

/// Through pinned memory in several pieces, turned into other values on the way, from several threads at a time.
#[test]
fn large_arrays_go_both_ways_as_they_are_turned() {
    let Some(device) = device() else { return };
    // Not a whole number of pieces of 8 MiB.
    let values: Vec<f64> = (0..(5 << 20) + 13).map(|i| f64::from(i) * 0.5).collect();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let there = device.upload_as(&values, |&v| v as f32).unwrap();
                let doubled = device.download_as(&there, |v| f64::from(v) * 2.0).unwrap();
                assert_eq!(doubled.len(), values.len());
                let wrong = doubled.iter().zip(&values).position(|(d, v)| *d != 2.0 * v);
                assert_eq!(wrong, None);
                let singles: Vec<f32> = values.iter().map(|&v| v as f32).collect();
                let there = device.upload(&singles).unwrap();
                assert!(device.download(&there, singles.len()).unwrap() == singles);
                let none = device.upload_as(&values[..0], |&v| v as f32).unwrap();
                assert!(device.download_as(&none, f64::from).unwrap().is_empty());
            });
        }
    });
}
