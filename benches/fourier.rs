//! Transforms and the preparation of references.

use criterion::{Criterion, criterion_group, criterion_main};
use gerelion::fourier::{fft, image::ImageTransform, reference};
use ndarray::Array3;
use std::hint::black_box;
use std::time::Duration;

fn map(n: usize) -> Array3<f64> {
    Array3::from_shape_fn((n, n, n), |(z, y, x)| {
        ((z * 31 + y * 17 + x * 7) % 101) as f64 - 50.0
    })
}

fn fourier(c: &mut Criterion) {
    let cube = map(64);
    c.bench_function("forward transform of a 64³ map", |b| {
        b.iter(|| fft::forward3(black_box(&cube)))
    });
    c.bench_function("reference of a 64³ map, padding 2, full size", |b| {
        b.iter(|| reference::prepare(black_box(&cube), 2.0, 64, None))
    });
    let transform = ImageTransform::new(256);
    let image: Vec<f32> = (0..256 * 256).map(|i| (i % 97) as f32 - 48.0).collect();
    c.bench_function("forward transform of a 256² image, 60 columns", |b| {
        b.iter(|| transform.forward(black_box(&image), 59))
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = fourier
}
criterion_main!(benches);
