//! What follows the cross-correlation iteration: low-pass again, copy the first class (spec 02 §3.8 end).

use crate::fourier::masks::{low_pass as filter, low_pass_factor};
use crate::model::Model;

/// Low-pass every reference at `low_pass` Å (`--ini_high`) and taper τ² and ssnr; with `generate_seeds`, copy class 1
/// (map, τ², ssnr, direction prior) to all classes and share its fraction.
pub fn follow_up(model: &mut Model, low_pass: Option<f64>, generate_seeds: bool) {
    if let Some(resolution) = low_pass.filter(|&r| r > 0.0) {
        let limit = model.box_size as f64 * model.pixel_size / resolution;
        for class in &mut model.classes {
            class.map = filter(&class.map, model.pixel_size, resolution);
            for spectrum in [&mut class.tau2, &mut class.ssnr] {
                for (shell, value) in spectrum.iter_mut().enumerate() {
                    *value *= low_pass_factor(shell as f64, limit).powi(2);
                }
            }
        }
    }
    if generate_seeds && let Some((first, rest)) = model.classes.split_first_mut() {
        first.fraction /= (rest.len() + 1) as f64;
        for class in rest {
            class.map.assign(&first.map);
            class.tau2.clone_from(&first.tau2);
            class.ssnr.clone_from(&first.ssnr);
            class.direction_prior.clone_from(&first.direction_prior);
            class.fraction = first.fraction;
        }
    }
}
