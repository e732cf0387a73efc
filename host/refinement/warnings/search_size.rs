//! Searches and classifications of sizes that nobody wants: told before the first iteration, since they only seem to hang.

use crate::refinement::job::Job;
use crate::refinement::memory::host_plan;

/// Samples (orientations × shifts × classes) of a particle in the first pass above which a search takes very long: 46 times those of
/// order 3 with 29 shifts.
const MANY_SAMPLES: f64 = 5e7;
/// Samples of the second pass per significant sample of the first, likewise: those of --oversampling 4.
const MANY_CHILDREN: f64 = 5e5;
/// Particles per class below which averages show next to nothing but noise.
const FEW_PARTICLES: usize = 3;

/// Returns warnings about a run that is about to begin.
pub(crate) fn of(job: &Job) -> Vec<String> {
    let (model, sampling) = (&job.models[0], &job.sampling);
    let global = model.local_search.is_none() && !job.skips_orientations();
    let classes = model.classes.len();
    let oversampling = job.expectation.oversampling;
    let samples = host_plan::samples(sampling, classes, global);
    let particles = job.particles.particles.len();
    let found = [
        many_samples(samples),
        many_children(host_plan::children(job), oversampling),
        many_classes(classes, particles),
    ];
    found.into_iter().flatten().collect()
}

fn many_samples(samples: f64) -> Option<String> {
    (samples > MANY_SAMPLES).then(|| {
        format!(
            "every particle is compared with {} million samples (orientations × shifts × classes), which takes very long: begin with \
             a lower --healpix_order (each step less is 8 times faster), a smaller --offset_range, a larger --offset_step or fewer \
             classes (--K); finer orientations are found by --auto_refine, or by a local search (--sigma_ang).",
            (samples / 1e6).round()
        )
    })
}

fn many_children(children: f64, oversampling: u32) -> Option<String> {
    (children > MANY_CHILDREN).then(|| {
        format!(
            "--oversampling {oversampling} divides every significant sample (orientation and shift) into {} million finer ones, which \
             takes very long and much memory. The default is 1; each step more is 32 times slower: give a higher --healpix_order \
             instead.",
            (children / 1e6).round()
        )
    })
}

fn many_classes(classes: usize, particles: usize) -> Option<String> {
    (classes > 1 && particles < FEW_PARTICLES * classes).then(|| {
        format!(
            "{particles} particles are divided into {classes} classes (--K), {:.1} for each: so few show next to nothing but noise, and \
             classes of one particle are its own image. Give a smaller --K.",
            particles as f64 / classes as f64
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_searches_are_done_without_a_word() {
        // Order 3 with 29 shifts, four classes; order 2 with 2 steps of oversampling.
        assert_eq!(many_samples(36_864.0 * 29.0 * 4.0), None);
        assert_eq!(many_children(64.0 * 16.0, 2), None);
        assert_eq!(many_classes(50, 200), None);
        assert_eq!(many_classes(1, 1), None);
    }

    #[test]
    fn endless_ones_are_told_with_their_numbers() {
        let text = many_samples(12_288.0 * 192.0 * 29.0).unwrap();
        assert!(text.contains("68 million samples"), "{text}");
        let text = many_children(32_768.0 * 1024.0, 5).unwrap();
        assert!(
            text.contains("--oversampling 5") && text.contains("34 million"),
            "{text}"
        );
        let text = many_classes(200, 200).unwrap();
        assert!(text.contains("200 classes (--K), 1.0 for each"), "{text}");
    }
}
