//! Division of the particles into two independent halves (spec 01 §4.9, spec 02 §5.6).

use crate::dataset::copies::shared_by_halves;
use crate::dataset::{Particle, ParticleSet};
use crate::errors::{Code, Message};
use crate::geometry::random::CRandom;
use std::fmt;

/// Half-sets of which the smaller has less than this share of the larger are lopsided …
const LOPSIDED: f64 = 0.5;
/// … where a draw would not make them so: standard deviations of the difference of their sizes.
const BEYOND_CHANCE: f64 = 3.0;

/// Where the half-sets come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The column rlnRandomSubset.
    Table,
    /// The run's seed.
    Drawn,
}

/// Half-sets of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HalfSets {
    /// Numbers of particles of half-sets 1 and 2.
    pub counts: [usize; 2],
    /// Where they come from.
    pub origin: Origin,
    /// Particles that are copies of another one's image.
    pub copies: usize,
}

impl fmt::Display for HalfSets {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let [first, second] = self.counts;
        write!(
            f,
            " Half-sets: {first} particles in half 1, {second} in half 2"
        )?;
        match (self.origin, self.copies) {
            (Origin::Drawn, 1..) => write!(
                f,
                "; {} particles are copies of the image of another one and were drawn into its half-set",
                self.copies
            ),
            _ => Ok(()),
        }
    }
}

/// Uses the half-sets of the table when every particle has one, or draws them with the run's seed in table order when
/// none has. Copies of an image (`first`: the first particle with the image of each particle) are drawn into the half-set of
/// the first of them; the draw of the others does not change.
pub fn assign(particles: &mut [Particle], first: &[usize], seed: u32) -> Result<HalfSets, Message> {
    let assigned = particles.iter().filter(|p| p.half != 0).count();
    let origin = match assigned {
        0 => Origin::Drawn,
        _ => Origin::Table,
    };
    if origin == Origin::Drawn {
        let mut random = CRandom::new(seed);
        for index in 0..particles.len() {
            let drawn = (random.next_int() % 2) as u8 + 1;
            particles[index].half = match first[index] {
                first if first < index => particles[first].half,
                _ => drawn,
            };
        }
    } else if assigned != particles.len() {
        return Err(Code::HALF_SETS.says(format!(
            "rlnRandomSubset divides only {assigned} of {} particles into half-sets: two tables with and without \
             half-sets may have been joined. Give every particle 1 or 2, or remove the column.",
            particles.len()
        )));
    }
    let ones = particles.iter().filter(|p| p.half == 1).count();
    let counts = [ones, particles.len() - ones];
    match counts.iter().position(|&n| n == 0) {
        Some(empty) => Err(empty_half(empty + 1, first, origin)),
        None => Ok(HalfSets {
            counts,
            origin,
            copies: copies(first),
        }),
    }
}

/// Particles that are not the first with their image.
fn copies(first: &[usize]) -> usize {
    first.iter().enumerate().filter(|(i, f)| i != *f).count()
}

/// Why half-set `number` is empty.
fn empty_half(number: usize, first: &[usize], origin: Origin) -> Message {
    let total = first.len();
    let images = total - copies(first);
    Code::HALF_SETS.says(match (origin, images) {
        (Origin::Table, _) => format!(
            "half-set {number} is empty: all {total} particles are in half-set {}. Gold-standard refinement needs particles in \
             both; remove the column rlnRandomSubset to have them drawn.",
            3 - number
        ),
        (Origin::Drawn, 1) if total == 1 => {
            "there is only one particle, which cannot be divided into two half-sets. Gold-standard refinement \
             needs different particles in both, hundreds at least: give the file with all particles."
                .to_string()
        }
        (Origin::Drawn, 1) => format!(
            "all {total} particles name the same image, and copies of an image belong to one half-set, so half-set {number} \
             would be empty. Gold-standard refinement needs different images in both: correct the column rlnImageName."
        ),
        (Origin::Drawn, _) => format!(
            "half-set {number} is empty: so few particles ({images} different images) were all drawn into the same half-set. \
             Gold-standard refinement needs particles in both, hundreds at least: give the file with all particles, \
             or another --random_seed."
        ),
    })
}

/// Warns about half-sets that make the FSC say something else than it should: images that are in both, and sizes that
/// chance does not explain.
pub fn warnings(set: &ParticleSet, first: &[usize]) -> Vec<String> {
    let halves: Vec<u8> = set.particles.iter().map(|p| p.half).collect();
    let ones = halves.iter().filter(|&&half| half == 1).count();
    let mut found = Vec::new();
    if let Some(shared) = shared_by_halves(first, &halves) {
        found.push(format!(
            "{} of {} particles have an image that is in both half-sets (rlnRandomSubset); the first is {}. The half maps share \
             the noise of these images, so the FSC is too high and the resolution is overestimated: maps of noise alone \
             would have an FSC of {:.2} instead of 0. Remove the copies, or remove the column rlnRandomSubset: copies are \
             then drawn into the same half-set.",
            shared.particles,
            halves.len(),
            set.describe(shared.first),
            shared.correlation
        ));
    }
    found.extend(lopsided([ones, halves.len() - ones]));
    found
}

fn lopsided(counts: [usize; 2]) -> Option<String> {
    let [first, second] = counts.map(|n| n as f64);
    let chance = BEYOND_CHANCE * (first + second).sqrt();
    let (small, large) = (first.min(second), first.max(second));
    (small < LOPSIDED * large && large - small > chance).then(|| {
        format!(
            "the half-sets are of very different size, {} and {} particles. The FSC compares the two half maps, so it says \
             no more than the smaller one shows, and the resolution is underestimated. Remove the column \
             rlnRandomSubset to have equal half-sets drawn.",
            counts[0], counts[1]
        )
    })
}

/// Indices of the particles of each half in table order; a single list when there are no halves.
pub fn members(particles: &[Particle], halves: bool) -> Vec<Vec<usize>> {
    if !halves {
        return vec![(0..particles.len()).collect()];
    }
    [1, 2]
        .map(|half| {
            (0..particles.len())
                .filter(|&i| particles[i].half == half)
                .collect()
        })
        .into()
}

/// Processing order of each half: shuffled by one generator, half 1 first, then stably sorted by optics group
/// (spec 01 §7.10). Seed 0 keeps the table order.
pub fn processing_order(
    particles: &[Particle],
    halves: bool,
    random_seed: u32,
    iteration: usize,
) -> Vec<Vec<usize>> {
    let mut lists = members(particles, halves);
    if random_seed != 0 {
        let lengths: Vec<usize> = lists.iter().map(Vec::len).collect();
        let seed = random_seed.wrapping_add(iteration as u32);
        let orders = crate::geometry::random::shuffled_lists(&lengths, seed);
        for (list, order) in lists.iter_mut().zip(orders) {
            *list = order.into_iter().map(|i| list[i]).collect();
        }
    }
    for list in &mut lists {
        list.sort_by_key(|&i| particles[i].optics_group);
    }
    lists
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::dataset::CtfFields;

    /// A particle with nothing but its half-set.
    pub(crate) fn particle(id: usize, half: u8) -> Particle {
        let new = Particle::new(id);
        Particle {
            slice: id,
            half,
            ctf: CtfFields {
                defocus_u: 15000.0,
                defocus_v: 15000.0,
                ..new.ctf
            },
            ..new
        }
    }

    fn table(halves: &[u8]) -> Vec<Particle> {
        halves
            .iter()
            .enumerate()
            .map(|(i, &h)| particle(i, h))
            .collect()
    }

    /// No image is named twice.
    fn different(n: usize) -> Vec<usize> {
        (0..n).collect()
    }

    /// Spec 01 Appendix A, seed 1399.
    const DRAWN: [u8; 20] = [1, 1, 1, 1, 2, 1, 1, 1, 2, 1, 2, 1, 2, 2, 2, 2, 2, 2, 1, 2];

    fn drawn(first: &[usize]) -> Vec<u8> {
        let mut particles = table(&vec![0; first.len()]);
        assign(&mut particles, first, 1399).unwrap();
        particles.iter().map(|p| p.half).collect()
    }

    #[test]
    fn halves_are_drawn_as_relion_draws_them() {
        let mut particles = table(&[0; 20]);
        let found = assign(&mut particles, &different(20), 1399).unwrap();
        assert_eq!(drawn(&different(20)), DRAWN);
        assert_eq!((found.counts, found.origin), ([10, 10], Origin::Drawn));
    }

    #[test]
    fn copies_of_an_image_are_drawn_into_one_half_set() {
        // Particles 4 and 13 are copies of 0 and 8, which were drawn into the other half-set or the same.
        let mut first = different(20);
        (first[4], first[13]) = (0, 8);
        let halves = drawn(&first);
        assert_eq!((halves[4], halves[13]), (halves[0], halves[8]));
        for i in (0..20).filter(|i| ![4, 13].contains(i)) {
            assert_eq!(halves[i], DRAWN[i], "the draw of particle {i} has changed");
        }
        assert_eq!(shared_by_halves(&first, &halves), None);
        assert!(shared_by_halves(&first, &DRAWN).is_some());
    }

    #[test]
    fn given_halves_are_kept() {
        let mut particles = table(&[2, 1, 2]);
        let found = assign(&mut particles, &[0, 0, 2], 1).unwrap();
        assert_eq!((found.counts, found.origin), ([1, 2], Origin::Table));
        assert_eq!(particles[0].half, 2);
    }

    #[test]
    fn half_given_halves_and_empty_halves_are_refused() {
        let refused = |halves: &[u8], first: &[usize]| {
            assign(&mut table(halves), first, 1)
                .unwrap_err()
                .to_string()
        };
        assert!(refused(&[1, 0, 2], &different(3)).contains("2 of 3"));
        let empty = refused(&[1, 1], &different(2));
        assert!(empty.contains("half-set 2 is empty") && empty.contains("rlnRandomSubset"));
        assert!(refused(&[0], &[0]).contains("only one particle"));
        let same = refused(&[0, 0, 0], &[0, 0, 0]);
        assert!(
            same.contains("all 3 particles name the same image"),
            "{same}"
        );
    }

    #[test]
    fn sizes_that_chance_does_not_explain_are_worth_a_warning() {
        assert!(lopsided([199, 1]).unwrap().contains("199 and 1 particles"));
        assert!(lopsided([1, 199]).is_some());
        for sizes in [[100, 100], [80, 120], [5, 1], [2, 6], [5000, 9000]] {
            assert_eq!(lopsided(sizes), None, "{sizes:?}");
        }
        assert!(lopsided([4000, 9000]).is_some());
    }

    #[test]
    fn orders_hold_each_particle_once_and_keep_halves_apart() {
        let mut particles = table(&[1, 2, 1, 2, 1, 1, 2]);
        particles[0].optics_group = 1;
        let order = processing_order(&particles, true, 7, 1);
        for (half, list) in order.iter().enumerate() {
            assert!(list.iter().all(|&i| particles[i].half == half as u8 + 1));
        }
        let mut all: Vec<usize> = order.concat();
        assert_eq!(order[0].last(), Some(&0), "second optics group comes last");
        all.sort_unstable();
        assert_eq!(all, (0..7).collect::<Vec<_>>());
    }
}
