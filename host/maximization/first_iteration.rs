//! What follows the cross-correlation iteration: low-pass again, copy the first class (spec 02 §3.8 end).

use crate::model::Model;

/// Low-pass every reference at `low_pass` Å (`--ini_high`) and taper τ² and ssnr; with `generate_seeds`, copy class 1
/// (map, τ², ssnr, direction prior) to all classes and share its fraction.
pub fn follow_up(_model: &mut Model, _low_pass: Option<f64>, _generate_seeds: bool) {
    todo!()
}
