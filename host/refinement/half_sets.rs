//! Division of the particles into two independent halves (spec 01 §4.9, spec 02 §5.6).

use crate::dataset::Particle;
use crate::errors::{Code, Message};
use crate::geometry::random::CRandom;

/// Use the half-sets of the table when every particle has one, or draw them with the run's seed in table order when
/// none has. Returns the numbers of particles of halves 1 and 2.
pub fn assign(particles: &mut [Particle], seed: u32) -> Result<[usize; 2], Message> {
    let assigned = particles.iter().filter(|p| p.half != 0).count();
    if assigned == 0 {
        let mut random = CRandom::new(seed);
        for particle in particles.iter_mut() {
            particle.half = (random.next_int() % 2) as u8 + 1;
        }
    } else if assigned != particles.len() {
        return Err(Code::HALF_SETS.says(format!(
            "rlnRandomSubset divides only {assigned} of {} particles into half-sets: two tables with and without \
             half-sets may have been joined. Give every particle 1 or 2, or remove the column.",
            particles.len()
        )));
    }
    let first = particles.iter().filter(|p| p.half == 1).count();
    let counts = [first, particles.len() - first];
    if let Some(empty) = counts.iter().position(|&n| n == 0) {
        return Err(Code::HALF_SETS.says(format!(
            "half-set {} is empty: all {} particles are in half-set {}. Gold-standard refinement needs particles in \
             both; remove the column rlnRandomSubset to have them drawn.",
            empty + 1,
            particles.len(),
            2 - empty
        )));
    }
    Ok(counts)
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
pub(super) mod tests {
    use super::*;
    use crate::dataset::CtfFields;

    /// A particle with nothing but its half-set.
    pub fn particle(id: usize, half: u8) -> Particle {
        Particle {
            id,
            stack: 0,
            slice: id,
            optics_group: 0,
            scale_group: 0,
            half,
            ctf: CtfFields {
                defocus_u: 15000.0,
                defocus_v: 15000.0,
                defocus_angle: 0.0,
                b_factor: 0.0,
                scale: 1.0,
                phase_shift: 0.0,
            },
            rot: 0.0,
            tilt: 0.0,
            psi: 0.0,
            origin: [0.0; 2],
            angle_prior: [None; 3],
            origin_prior: [None; 2],
            class: 0,
            norm: 1.0,
            log_likelihood: 0.0,
            max_probability: 0.0,
            significant_samples: 0,
        }
    }

    fn table(halves: &[u8]) -> Vec<Particle> {
        halves
            .iter()
            .enumerate()
            .map(|(i, &h)| particle(i, h))
            .collect()
    }

    #[test]
    fn halves_are_drawn_as_relion_draws_them() {
        // Spec 01 Appendix A, seed 1399.
        let mut particles = table(&[0; 20]);
        let counts = assign(&mut particles, 1399).unwrap();
        let drawn: Vec<u8> = particles.iter().map(|p| p.half).collect();
        assert_eq!(
            drawn,
            [1, 1, 1, 1, 2, 1, 1, 1, 2, 1, 2, 1, 2, 2, 2, 2, 2, 2, 1, 2]
        );
        assert_eq!(counts, [10, 10]);
    }

    #[test]
    fn given_halves_are_kept() {
        let mut particles = table(&[2, 1, 2]);
        assert_eq!(assign(&mut particles, 1).unwrap(), [1, 2]);
        assert_eq!(particles[0].half, 2);
    }

    #[test]
    fn half_given_halves_and_empty_halves_are_refused() {
        let mixed = assign(&mut table(&[1, 0, 2]), 1).unwrap_err();
        assert!(mixed.to_string().contains("2 of 3"));
        let empty = assign(&mut table(&[1, 1]), 1).unwrap_err();
        assert!(empty.to_string().contains("half-set 2 is empty"));
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
