//! A small model for tests.

use crate::model::{ClassModel, Model};
use ndarray::Array3;

/// `classes` references of 16 pixels of 2 Å, one optics group, two scale groups.
pub(super) fn model(classes: usize) -> Model {
    let class = |k: usize| ClassModel {
        map: Array3::from_shape_fn((16, 16, 16), |(z, y, x)| {
            ((z * 31 + y * 17 + x * 7 + 5 * k) % 13) as f64
        })
        .into(),
        fraction: 1.0 / classes as f64,
        tau2: vec![1.0 + k as f64; 9],
        sigma2: vec![0.0; 9],
        ssnr: vec![2.0 + k as f64; 9],
        coverage: vec![0.0; 9],
        fsc: vec![0.0; 9],
        orientability: None,
        direction_prior: vec![0.25 * k as f64; 4],
        offset_prior: [0.0; 2],
        accuracy_rotations: 0.0,
        accuracy_translations: 0.0,
        moments: None,
    };
    Model {
        box_size: 16,
        pixel_size: 2.0,
        padding: 2.0,
        tau2_fudge: 1.0,
        classes: (0..classes).map(class).collect(),
        noise: vec![vec![0.5; 9]; 2],
        scales: vec![1.0; 2],
        group_particles: vec![30, 10],
        average_norm: 1.0,
        sigma2_offset: 100.0,
        average_pmax: 0.0,
        log_likelihood: 0.0,
        current_resolution: 0.0,
        current_size: 16,
        local_search: None,
    }
}
