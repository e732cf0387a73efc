//! Order of the particles of a gradient run, and the subset that an iteration takes (spec 05 §4).

use crate::dataset::Particle;
use crate::geometry::random::shuffle_in_place;
use crate::refinement::state::Subset;

/// The order after these subsets, beginning with that of the table.
pub(crate) fn replay(particles: &[Particle], subsets: &[Subset], seed: u32) -> Vec<usize> {
    let mut order: Vec<usize> = (0..particles.len()).collect();
    for (number, subset) in subsets.iter().enumerate() {
        advance(&mut order, particles, *subset, number == 0, seed);
    }
    order
}

/// Brings the order to the next iteration: its subset stands in front, by optics groups. Shuffles add up; iterations over all
/// particles have none of their own, but the first of a run.
pub(crate) fn advance(
    order: &mut [usize],
    particles: &[Particle],
    subset: Subset,
    is_first: bool,
    seed: u32,
) {
    if subset.size.is_none() && !is_first {
        return;
    }
    shuffle_in_place(order, seed.wrapping_add(subset.iteration as u32));
    let size = subset.size.unwrap_or(order.len()).min(order.len());
    order[..size].sort_by_key(|&i| particles[i].optics_group);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refinement::start_up::half_sets::tests::particle;

    fn particles() -> Vec<Particle> {
        let mut particles: Vec<Particle> = (0..20).map(|id| particle(id, 0)).collect();
        for p in &mut particles {
            p.optics_group = p.id % 2;
        }
        particles
    }

    fn subset(iteration: usize, size: Option<usize>) -> Subset {
        Subset { iteration, size }
    }

    #[test]
    fn shuffles_add_up_and_replay_gives_the_same_order() {
        let particles = particles();
        let mut order: Vec<usize> = (0..20).collect();
        let subsets = [subset(1, Some(6)), subset(2, Some(6)), subset(3, None)];
        for (i, one) in subsets.iter().enumerate() {
            let before = order.clone();
            advance(&mut order, &particles, *one, i == 0, 42);
            assert_eq!(order == before, one.size.is_none());
            let groups = order[..6].iter().map(|&i| particles[i].optics_group);
            assert!(groups.is_sorted());
        }
        assert_eq!(replay(&particles, &subsets, 42), order);
        let mut alone: Vec<usize> = (0..20).collect();
        advance(&mut alone, &particles, subsets[1], true, 42);
        assert_ne!(alone, order);
        let mut all = order.clone();
        all.sort_unstable();
        assert_eq!(all, (0..20).collect::<Vec<_>>());
    }

    /// All particles at once are shuffled only where nothing was before.
    #[test]
    fn a_run_over_all_particles_is_shuffled_once() {
        let particles = particles();
        let order = replay(&particles, &[subset(1, None), subset(2, None)], 7);
        assert_eq!(order, replay(&particles, &[subset(1, None)], 7));
        assert_ne!(order, (0..20).collect::<Vec<_>>());
        assert!(order.iter().map(|&i| particles[i].optics_group).is_sorted());
    }
}
