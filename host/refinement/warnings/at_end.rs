//! Warnings at the end of a run: the rules of [`findings`](crate::findings) on what the run has in memory.

use crate::comm::Ranks;
use crate::findings::{Finding, contrast, duplicates, half_sets, masks, resolution, scale, views};
use crate::fourier::shape::Dimensions;
use crate::maximization::LowPass;
use crate::refinement::cli::console::Console;
use crate::refinement::job::Job;
use ndarray::{Array3, Zip};

/// Maps are averaged down to at most so many voxels a side before they are compared.
const SIDE: usize = 64;
/// Resolution that compared maps are filtered to at least, Å.
const COARSE: f64 = 20.0;
/// A run must have gone so many iterations for its resolution and the size of its map to be judged: the first ones search coarse
/// grids, which blur the map and change its apparent size.
const ITERATIONS: usize = 5;

/// Returns a small copy of the reference that a run with `--ref` starts from, to compare its last map with; None for other runs.
pub(crate) fn first_reference(job: &Job) -> Option<Array3<f64>> {
    let model = &job.models[0];
    let compares = job.settings.reference.is_some()
        && model.dimensions() == Dimensions::Three
        && model.classes.len() == 1;
    compares.then(|| averaged(&model.classes[0].map))
}

/// Prints what is found about a run that has ended, on the first rank.
pub(crate) fn tell(job: &Job, ranks: &Ranks, console: &Console) {
    if ranks.leads() && job.state.iteration > 0 {
        for finding in of(job) {
            console.finding(&finding);
        }
    }
}

/// Everything found about a run that has ended.
fn of(job: &Job) -> Vec<Finding> {
    let mut found: Vec<Finding> = doubled(job).into_iter().chain(shared(job)).collect();
    if job.models[0].dimensions() == Dimensions::Two {
        return found;
    }
    let stuck = stuck(job);
    let poses = match stuck.is_some() || job.alarms.doubtful_poses {
        true => views::Poses::Doubtful,
        false => views::Poses::Plausible,
    };
    found.extend(stuck);
    found.extend(half_sets::alike(&job.models[0].classes[0].fsc).filter(|_| job.halves()));
    found.extend(tight_mask(job));
    found.extend(no_mask(job));
    found.extend(of_classes(job, poses));
    found.extend(size(job));
    found
}

fn stuck(job: &Job) -> Option<Finding> {
    let settings = &job.settings;
    let judged = settings.began_with_reference()
        && job.state.iteration >= ITERATIONS
        // A classification fits noise to its reference, and finds resolution in it.
        && job.halves()
        && !settings.skip_align;
    let filter = settings.initial_low_pass.filter(|_| judged)?;
    resolution::stuck(1.0 / job.state.current_resolution, filter)
}

/// Images in both half-sets.
fn shared(job: &Job) -> Option<Finding> {
    if !job.halves() {
        return None;
    }
    let particles = &job.particles.particles;
    let halves: Vec<u8> = particles.iter().map(|particle| particle.half).collect();
    let first = job.particles.first_with_same_image();
    let shared = crate::dataset::copies::shared_by_halves(&first, &halves)?;
    Some(half_sets::shared(shared, particles.len()))
}

/// Particles on each other: by their micrographs and coordinates, or else by their images.
fn doubled(job: &Job) -> Option<Finding> {
    let set = &job.particles;
    let centres = set.centres();
    let images = set.first_with_same_image();
    let places: Vec<duplicates::Place> = set
        .particles
        .iter()
        .enumerate()
        .map(|(i, particle)| {
            let (micrograph, centre) = match &centres {
                Some(centres) => centres[i],
                None => (images[i], [0.0; 2]),
            };
            duplicates::Place {
                micrograph,
                centre,
                half: particle.half,
            }
        })
        .collect();
    let distance = duplicates::nearest_allowed(job.expectation.particle_diameter);
    let found = duplicates::count(&places, distance);
    duplicates::many(found, places.len(), distance)
}

fn tight_mask(job: &Job) -> Option<Finding> {
    let ([first, second], Some(mask)) = (job.unfiltered.as_slice(), job.solvent.mask()) else {
        return None;
    };
    masks::too_tight(masks::signal_outside([first, second], mask)?)
}

fn no_mask(job: &Job) -> Option<Finding> {
    if job.solvent.flattening().is_some() {
        return None;
    }
    let diameter = job.expectation.particle_diameter;
    let radius = diameter / 2.0 / job.models[0].pixel_size;
    masks::absent(
        masks::solvent_level(&job.models[0].classes[0].map, radius)?,
        diameter,
    )
}

/// Views and contrast of each class.
fn of_classes(job: &Job, poses: views::Poses) -> Vec<Finding> {
    let model = &job.models[0];
    let mut found = Vec::new();
    for (k, class) in model.classes.iter().enumerate() {
        let whose = match model.classes.len() {
            1 => String::new(),
            _ => format!(" of class {}", k + 1),
        };
        let members = job.particles.particles.iter().filter(|p| p.class == k + 1);
        let seen: Vec<[f64; 2]> = members.map(|p| [p.rot, p.tilt]).collect();
        let coverage = views::coverage(&seen, &job.operators[k]);
        found.extend(coverage.and_then(|coverage| views::preferred(coverage, &whose, poses)));
        let (map, pixel_size) = coarse(job, averaged(&class.map));
        let radius = job.expectation.particle_diameter / 2.0 / pixel_size;
        let skewness = contrast::skewness(&map, radius).filter(|_| class.fraction > 0.0);
        found.extend(skewness.and_then(|skewness| contrast::inverted(skewness, &whose)));
    }
    found
}

/// The last map beside the first reference.
fn size(job: &Job) -> Option<Finding> {
    let judged = job.state.iteration >= ITERATIONS;
    let reference = job.alarms.first_reference.clone().filter(|_| judged)?;
    let (reference, pixel_size) = coarse(job, reference);
    let (map, _) = coarse(job, averaged(&job.models[0].classes[0].map));
    let radius = 1.1 * job.expectation.particle_diameter / 2.0 / pixel_size;
    let found = scale::magnification(&map, &reference, radius)?;
    scale::differs(found, job.particles.optics[0].pixel_size)
}

/// A small map filtered to a resolution at which all maps of a run can be compared, and its pixel size.
fn coarse(job: &Job, map: Array3<f64>) -> (Array3<f64>, f64) {
    let model = &job.models[0];
    let pixel_size = model.pixel_size * model.box_size as f64 / map.dim().0 as f64;
    let filter = LowPass {
        resolution: job.settings.initial_low_pass.unwrap_or(0.0).max(COARSE),
        pixel_size,
    };
    (filter.on_host(&map), pixel_size)
}

/// Means over cubes of voxels, so that there are at most [`SIDE`] a side.
fn averaged(map: &Array3<f64>) -> Array3<f64> {
    let from = map.dim().0;
    // An even number of cubes a side, as transforms need.
    let step = (from.div_ceil(SIDE)..=from)
        .find(|step| from.is_multiple_of(*step) && (from / step).is_multiple_of(2))
        .unwrap_or(1);
    let side = from / step;
    let mut small = Array3::zeros([side; 3]);
    Zip::from(&mut small)
        .and(map.exact_chunks([step; 3]))
        .par_for_each(|mean, cube| *mean = cube.sum() / cube.len() as f64);
    small
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_maps_become_small_ones_with_an_even_side() {
        for (from, to) in [
            (48, 48),
            (64, 64),
            (128, 64),
            (180, 60),
            (256, 64),
            (72, 36),
        ] {
            let map = Array3::from_shape_fn((from, from, from), |(z, _, _)| z as f64);
            let small = averaged(&map);
            assert_eq!(small.dim(), (to, to, to), "{from}");
            let step = (from / to) as f64;
            assert!((small[[1, 0, 0]] - (1.5 * step - 0.5)).abs() < 1e-9);
        }
    }
}
