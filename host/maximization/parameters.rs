//! Noise, scales, fractions, direction priors, offsets, averages from the sums (spec 01 §7.8, spec 02 §3.8).

use super::noise;
use crate::expectation::WeightedSums;
use crate::fourier::shape::Dimensions;
use crate::model::Model;

/// Which parameters are updated, and limits.
#[derive(Debug, Clone)]
pub struct ParameterOptions {
    /// Update the mean normalisation (`--norm`).
    pub norm: bool,
    /// Update group scales (`--scale`); never in a CC iteration.
    pub scale: bool,
    /// The iteration used the cross-correlation criterion: noise and scales are left alone.
    pub cross_correlation: bool,
    /// `--fix_sigma_noise`.
    pub fix_sigma_noise: bool,
    /// `--fix_sigma_offset`.
    pub fix_sigma_offset: bool,
    /// Å².
    pub min_sigma2_offset: f64,
    /// Update direction priors (off with `--skip_align`, `--skip_rotate`).
    pub directions: bool,
    /// Per optics group: data are CTF-premultiplied.
    pub premultiplied: Vec<bool>,
    /// µ': share of the old value in the running means of a gradient run; 0 where the sums are those of all particles
    /// (spec 05 §9).
    pub momentum: f64,
}

impl ParameterOptions {
    /// The running mean of a parameter.
    pub(super) fn mean(&self, old: f64, new: f64) -> f64 {
        match self.momentum > 0.0 {
            true => self.momentum * old + (1.0 - self.momentum) * new,
            false => new,
        }
    }
}

/// Update all model parameters other than the maps and their spectra. Sums without any weight change nothing.
pub fn update_parameters(model: &mut Model, sums: &WeightedSums, options: &ParameterOptions) {
    let weight: f64 = sums.class_weight.iter().sum();
    if weight <= 0.0 {
        return;
    }
    if options.norm {
        model.average_norm = options.mean(model.average_norm, sums.norm / weight);
    }
    if options.scale && !options.cross_correlation {
        let found = model.scales.iter().zip(&sums.scale_xa).zip(&sums.scale_aa);
        let means =
            found.map(|((old, xa), aa)| options.mean(*old, if *aa > 0.0 { xa / aa } else { 1.0 }));
        model.scales = limited(means.collect(), &model.group_particles);
    }
    for (class, class_weight) in model.classes.iter_mut().zip(&sums.class_weight) {
        class.fraction = options.mean(class.fraction, class_weight / weight);
    }
    if options.momentum > 0.0 {
        // A replaced class has taken its fraction from another one.
        let sum: f64 = model.classes.iter().map(|class| class.fraction).sum();
        model
            .classes
            .iter_mut()
            .for_each(|class| class.fraction /= sum);
    }
    if model.dimensions() == Dimensions::Two {
        // Divided by the weight of all classes, so that the mean offset of a small class is almost 0 (spec 04 §10).
        for ((class, offset), class_weight) in model
            .classes
            .iter_mut()
            .zip(&sums.class_offset)
            .zip(&sums.class_weight)
        {
            for (old, new) in class.offset_prior.iter_mut().zip(offset) {
                *old = match *class_weight > 0.0 {
                    true => options.mean(*old, new / weight),
                    false => 0.0,
                };
            }
        }
    }
    if options.directions {
        for (class, directions) in model.classes.iter_mut().zip(&sums.direction_weight) {
            for (old, new) in class.direction_prior.iter_mut().zip(directions) {
                *old = options.mean(*old, new / weight);
            }
        }
    }
    if !options.fix_sigma_offset {
        let found = options.mean(model.sigma2_offset, sums.sigma2_offset / (2.0 * weight));
        model.sigma2_offset = found.max(options.min_sigma2_offset);
    }
    if !options.fix_sigma_noise && !options.cross_correlation {
        noise::update(model, sums, options);
    }
    model.average_pmax = sums.max_probability / weight;
    model.log_likelihood = if options.cross_correlation {
        sums.log_likelihood / weight
    } else {
        sums.log_likelihood
    };
}

/// Scales of the groups, held within a factor 5 of the median, with a particle-weighted mean of 1.
fn limited(mut scales: Vec<f64>, particles: &[usize]) -> Vec<f64> {
    let mut sorted = scales.clone();
    sorted.sort_by(f64::total_cmp);
    let Some(&median) = sorted.get(sorted.len() / 2) else {
        return scales;
    };
    for scale in &mut scales {
        *scale = scale.min(5.0 * median).max(median / 5.0);
    }
    let total: usize = particles.iter().sum();
    let sum: f64 = scales
        .iter()
        .zip(particles)
        .map(|(s, &n)| s * n as f64)
        .sum();
    if total > 0 && sum > 0.0 {
        let mean = sum / total as f64;
        scales.iter_mut().for_each(|s| *s /= mean);
    }
    scales
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::fixtures;

    fn sums() -> WeightedSums {
        WeightedSums {
            backprojections: vec![],
            class_weight: vec![30.0, 10.0],
            direction_weight: vec![vec![15.0, 15.0, 0.0, 0.0], vec![10.0, 0.0, 0.0, 0.0]],
            class_offset: vec![[80.0, -40.0], [0.0; 2]],
            noise: vec![vec![8.0; 9], vec![0.0; 9]],
            noise_weight: vec![40.0, 0.0],
            ctf2: vec![vec![0.0; 9]; 2],
            scale_xa: vec![2.0, 1.0],
            scale_aa: vec![1.0, 1.0],
            signal: [0.0; 2],
            norm: 60.0,
            sigma2_offset: 40.0,
            log_likelihood: -800.0,
            max_probability: 20.0,
            particles: 40,
        }
    }

    fn options() -> ParameterOptions {
        ParameterOptions {
            norm: true,
            scale: true,
            cross_correlation: false,
            fix_sigma_noise: false,
            fix_sigma_offset: false,
            min_sigma2_offset: 2.0,
            directions: true,
            premultiplied: vec![false; 2],
            momentum: 0.0,
        }
    }

    #[test]
    fn quotients_are_taken_over_the_posterior_weight() {
        let mut model = fixtures::model(2);
        update_parameters(&mut model, &sums(), &options());
        assert_eq!(model.average_norm, 1.5);
        assert_eq!(
            (model.classes[0].fraction, model.classes[1].fraction),
            (0.75, 0.25)
        );
        assert_eq!(model.classes[1].direction_prior, [0.25, 0.0, 0.0, 0.0]);
        // 40/(2·40) Å² is below the floor.
        assert_eq!(model.sigma2_offset, 2.0);
        assert_eq!((model.average_pmax, model.log_likelihood), (0.5, -800.0));
        // 30 particles at 2, 10 at 1: mean 1.75.
        assert!((model.scales[0] - 2.0 / 1.75).abs() < 1e-12);
        // One pixel in shell 0; a group without weight keeps its spectrum.
        assert_eq!(model.noise[0][0], 0.1);
        assert_eq!(model.noise[1], [0.5; 9]);
    }

    /// A subset moves the parameters by a tenth of the way to what it says.
    #[test]
    fn running_means_of_a_gradient_run() {
        let mut model = fixtures::model(2);
        model.classes[1].direction_prior = vec![0.5; 4];
        let rule = ParameterOptions {
            momentum: 0.9,
            ..options()
        };
        update_parameters(&mut model, &sums(), &rule);
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        near(model.average_norm, 0.9 + 0.1 * 1.5);
        near(model.classes[0].fraction, 0.9 * 0.5 + 0.1 * 0.75);
        near(model.classes[1].direction_prior[0], 0.9 * 0.5 + 0.1 * 0.25);
        near(model.sigma2_offset, 90.0 + 0.1 * 0.5);
        near(model.noise[0][0], 0.9 * 0.5 + 0.1 * 0.1);
        // Those of the subset only.
        assert_eq!((model.average_pmax, model.log_likelihood), (0.5, -800.0));
        // 1.1 and 1 over 30 and 10 particles.
        let mean = (33.0 + 10.0) / 40.0;
        near(model.scales[0], 1.1 / mean);

        // Fractions add up to 1 again when a class has been replaced.
        let mut model = fixtures::model(2);
        (model.classes[0].fraction, model.classes[1].fraction) = (0.9, 0.9);
        update_parameters(&mut model, &sums(), &rule);
        near(model.classes[0].fraction + model.classes[1].fraction, 1.0);
    }

    #[test]
    fn a_cross_correlation_iteration_leaves_noise_and_scales() {
        let mut model = fixtures::model(2);
        let rule = ParameterOptions {
            cross_correlation: true,
            ..options()
        };
        update_parameters(&mut model, &sums(), &rule);
        assert_eq!((model.noise[0][0], model.scales[0]), (0.5, 1.0));
        assert_eq!(model.log_likelihood, -20.0);
        assert_eq!(model.average_norm, 1.5);
    }

    #[test]
    fn shells_without_noise_copy_the_one_before() {
        let mut empty = sums();
        empty.noise[0][5] = 0.0;
        let mut model = fixtures::model(2);
        update_parameters(&mut model, &empty, &options());
        assert_eq!(model.noise[0][5], model.noise[0][4]);
        assert!(model.noise[0][6] < model.noise[0][4]);
    }

    #[test]
    fn scales_are_limited_and_average_to_one_over_particles() {
        let found = limited(vec![2.0, 3.0, 400.0, 1.0], &[10, 20, 5, 5]);
        // Median of (2, 3, 400, 1) is element 2 of 1, 2, 3, 400: 3; the third is held at 15.
        let mean = (20.0 + 60.0 + 75.0 + 5.0) / 40.0;
        for (scale, raw) in found.iter().zip([2.0, 3.0, 15.0, 1.0]) {
            assert!((scale - raw / mean).abs() < 1e-12);
        }
        let average: f64 = found
            .iter()
            .zip([10.0, 20.0, 5.0, 5.0])
            .map(|(s, n)| s * n)
            .sum();
        assert!((average / 40.0 - 1.0).abs() < 1e-12);
    }
}
