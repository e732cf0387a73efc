//! End of the cross-correlation iteration: low-pass again, copy the first class (spec 02 §3.8 end).

use super::LowPass;
use crate::model::Model;
use gpu::mask::low_pass_factor;

/// Tapers τ² and ssnr as the maps were low-passed ([`super::Finish`]); with `generate_seeds`, copies class 1 (map, τ², ssnr,
/// direction prior) to all classes and shares its fraction.
pub fn follow_up(model: &mut Model, low_pass: Option<LowPass>, generate_seeds: bool) {
    if let Some(filter) = low_pass {
        let limit = filter.shells(model.box_size);
        for class in &mut model.classes {
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
            class.map = first.map.clone();
            class.tau2.clone_from(&first.tau2);
            class.ssnr.clone_from(&first.ssnr);
            class.direction_prior.clone_from(&first.direction_prior);
            class.fraction = first.fraction;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    #[test]
    fn seeds_are_copies_of_the_first_class() {
        let mut model = fixtures::model(3);
        model.classes[0].fraction = 0.9;
        follow_up(&mut model, None, true);
        for class in &model.classes {
            assert_eq!(class.map, fixtures::model(1).classes[0].map);
            assert_eq!((class.tau2[4], class.ssnr[4]), (1.0, 2.0));
            assert!((class.fraction - 0.3).abs() < 1e-15);
            assert_eq!(class.direction_prior, [0.0; 4]);
        }
    }

    #[test]
    fn different_references_stay_different_and_are_tapered() {
        let mut model = fixtures::model(2);
        // 16 pixels of 2 Å at 8 Å: shell 4, half amplitude there.
        let filter = LowPass {
            resolution: 8.0,
            pixel_size: model.pixel_size,
        };
        follow_up(&mut model, Some(filter), false);
        let tau2 = &model.classes[1].tau2;
        assert_eq!((tau2[3], tau2[5]), (2.0, 0.0));
        assert!((tau2[4] - 0.5).abs() < 1e-12);
        assert!((model.classes[1].ssnr[4] - 0.75).abs() < 1e-12);
        assert_ne!(model.classes[0].map, model.classes[1].map);
    }
}
