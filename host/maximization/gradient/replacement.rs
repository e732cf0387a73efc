//! A class that has lost its particles becomes a copy of the class with the largest error (spec 05 §8).

use crate::model::Model;

/// Which class becomes a copy of which (0-based).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replacement {
    /// Loses what it was.
    pub dropped: usize,
    /// Is copied.
    pub expanded: usize,
}

/// Decides from the error of every class (0 for those that took no part), their fractions before the update and
/// `--class_inactivity_threshold`.
pub fn choose(errors: &[f32], fractions: &[f64], threshold: f64) -> Option<Replacement> {
    let first_of = |better: fn(f64, f64) -> bool, values: &dyn Fn(usize) -> f64| {
        (0..fractions.len()).reduce(|best, k| match better(values(k), values(best)) {
            true => k,
            false => best,
        })
    };
    let expanded = first_of(|a, b| a > b, &|k| f64::from(errors[k]))?;
    let dropped = first_of(|a, b| a < b, &|k| fractions[k])?;
    let active = fractions.iter().filter(|&&fraction| fraction > 0.0).count();
    (fractions[dropped] < threshold / active as f64).then_some(Replacement { dropped, expanded })
}

/// Copies the class; what the expanded class is after its own step is not copied.
///
/// The reference program also multiplies the first moment of the copy by 0.9, in a row that is always zero.
pub fn replace(model: &mut Model, Replacement { dropped, expanded }: Replacement) {
    if dropped == expanded {
        return;
    }
    let source = model.classes[expanded].clone();
    let class = &mut model.classes[dropped];
    class.map = source.map;
    class.moments = source.moments;
    class.fraction = source.fraction;
    class.tau2 = source.tau2;
    class.ssnr = source.ssnr;
    class.direction_prior = source.direction_prior;
}

#[cfg(test)]
mod tests {
    use super::super::super::fixtures;
    use super::*;

    #[test]
    fn the_smallest_class_is_dropped_if_it_is_small_enough() {
        let fractions = [0.5, 0.02, 0.0, 0.48];
        let errors = [1.0, 0.5, 0.0, 2.0];
        let found = choose(&errors, &fractions, 0.1);
        assert_eq!(
            found,
            Some(Replacement {
                dropped: 2,
                expanded: 3
            })
        );
        // 0.1/3 active classes: 0.033.
        let alive = [0.48, 0.035, 0.02, 0.465];
        assert_eq!(choose(&errors, &alive, 0.1).map(|r| r.dropped), Some(2));
        assert_eq!(choose(&errors, &[0.4, 0.1, 0.1, 0.4], 0.1), None);
    }

    #[test]
    fn a_copy_keeps_its_accuracies() {
        let mut model = fixtures::model(2);
        model.classes[0].fraction = 0.7;
        model.classes[1].accuracy_rotations = 3.0;
        replace(
            &mut model,
            Replacement {
                dropped: 1,
                expanded: 0,
            },
        );
        assert_eq!(model.classes[1].map, model.classes[0].map);
        assert_eq!(model.classes[1].fraction, 0.7);
        assert_eq!(model.classes[1].accuracy_rotations, 3.0);
    }
}
