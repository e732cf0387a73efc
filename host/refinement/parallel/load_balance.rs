//! Which rank aligns which particles: each a span of its half-set in stack order, as long as its speed allows.

use crate::dataset::Particle;

/// A particle to be aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dealt {
    /// Index in the particle table.
    pub index: usize,
    /// Position in the processing order, which random choices are keyed by.
    pub position: usize,
}

/// How fast ranks are relative to each other; learnt from iteration to iteration.
#[derive(Debug, Clone, PartialEq)]
pub struct Speeds(Vec<f64>);

impl Speeds {
    /// All alike.
    pub fn equal(ranks: usize) -> Self {
        Self(vec![1.0; ranks])
    }

    /// Learn from an iteration: the predicted cost of what each rank did and the seconds that it took. Half of what is
    /// new counts, so that one disturbed iteration does not upset the next. Ranks without work keep their speed.
    pub fn learn(&mut self, costs: &[f64], seconds: &[f64]) {
        let measured: Vec<Option<f64>> = costs
            .iter()
            .zip(seconds)
            .map(|(&cost, &time)| (cost > 0.0 && time > 0.0).then(|| cost / time))
            .collect();
        let known: Vec<f64> = measured.iter().flatten().copied().collect();
        let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
        for (speed, found) in self.0.iter_mut().zip(measured) {
            if let Some(found) = found {
                *speed = 0.5 * (*speed + found / mean);
            }
        }
    }

    /// Ends of each rank's part of the cost, as fractions; the last is 1.
    fn ends(&self) -> Vec<f64> {
        let total: f64 = self.0.iter().sum();
        let mut sum = 0.0;
        let mut ends: Vec<f64> = self
            .0
            .iter()
            .map(|speed| {
                sum += speed;
                sum / total
            })
            .collect();
        *ends.last_mut().expect("at least one rank") = 1.0;
        ends
    }
}

/// Predicted cost of a particle: its image area, and how many samples were significant the last time beside the average
/// (the first pass costs the same for all, the second in proportion to them).
pub struct CostRule {
    box_sizes: Vec<usize>,
    mean_significant: f64,
}

impl CostRule {
    /// The rule for the particles of an iteration, which the lists of `orders` name, with the box of each optics group.
    pub fn new(particles: &[Particle], orders: &[Vec<usize>], box_sizes: Vec<usize>) -> Self {
        let listed = orders.iter().flatten();
        let total: usize = listed.map(|&i| particles[i].significant_samples).sum();
        let count: usize = orders.iter().map(Vec::len).sum();
        Self {
            box_sizes,
            mean_significant: total as f64 / count.max(1) as f64,
        }
    }

    /// Predicted cost, in no particular unit.
    pub fn cost(&self, particle: &Particle) -> f64 {
        let side = self.box_sizes[particle.optics_group] as f64;
        let significant = match self.mean_significant > 0.0 {
            true => particle.significant_samples as f64 / self.mean_significant,
            false => 1.0,
        };
        side * side * (1.0 + significant)
    }
}

/// The share of each rank in the particles of a half-set, which `order` lists in processing order, the first of them at
/// position `first_position`. Shares follow each other in stack order, one optics group after the other.
pub fn deal(
    particles: &[Particle],
    order: &[usize],
    first_position: usize,
    rule: &CostRule,
    speeds: &Speeds,
) -> Vec<Vec<Dealt>> {
    let mut all: Vec<Dealt> = order
        .iter()
        .enumerate()
        .map(|(i, &index)| Dealt {
            index,
            position: first_position + i,
        })
        .collect();
    all.sort_by_key(|dealt| {
        let p = &particles[dealt.index];
        (p.optics_group, p.stack, p.slice, dealt.index)
    });
    let cost = |dealt: &Dealt| rule.cost(&particles[dealt.index]);
    let total: f64 = all.iter().map(cost).sum();
    let ends = speeds.ends();
    let mut shares = vec![Vec::new(); ends.len()];
    let (mut rank, mut done) = (0, 0.0);
    for dealt in all {
        let cost = cost(&dealt);
        // A particle belongs to the rank that its middle falls to.
        while rank + 1 < ends.len() && done + 0.5 * cost > ends[rank] * total {
            rank += 1;
        }
        done += cost;
        shares[rank].push(dealt);
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refinement::start_up::half_sets::tests::particle;
    use proptest::prelude::*;

    #[test]
    fn shares_follow_stack_order_and_keep_positions() {
        let mut particles: Vec<Particle> = (0..6).map(|i| particle(i, 1)).collect();
        // Two stacks that take turns in the table.
        for (i, p) in particles.iter_mut().enumerate() {
            (p.stack, p.slice) = (i % 2, i / 2);
        }
        let rule = CostRule::new(&particles, &[vec![5, 4, 3, 2, 1, 0]], vec![32]);
        let shares = deal(
            &particles,
            &[5, 4, 3, 2, 1, 0],
            10,
            &rule,
            &Speeds::equal(2),
        );
        let indices: Vec<Vec<usize>> = shares
            .iter()
            .map(|share| share.iter().map(|d| d.index).collect())
            .collect();
        assert_eq!(indices, [[0, 2, 4], [1, 3, 5]]);
        assert_eq!(
            shares[0][0].position, 15,
            "particle 0 is the last of the order"
        );
    }

    #[test]
    fn costly_particles_and_slow_ranks_make_short_shares() {
        let mut particles: Vec<Particle> = (0..90).map(|i| particle(i, 1)).collect();
        let order: Vec<usize> = (0..90).collect();
        let lengths = |particles: &[Particle], speeds: &Speeds| -> Vec<usize> {
            let rule = CostRule::new(particles, std::slice::from_ref(&order), vec![32]);
            let shares = deal(particles, &order, 0, &rule, speeds);
            shares.iter().map(Vec::len).collect()
        };
        assert_eq!(lengths(&particles, &Speeds::equal(3)), [30, 30, 30]);
        // Rank 0 took twice as long for the same cost: half of that is believed.
        let mut speeds = Speeds::equal(3);
        speeds.learn(&[30.0; 3], &[2.0, 1.0, 1.0]);
        assert_eq!(lengths(&particles, &speeds), [24, 33, 33]);
        // A rank without particles is judged by what it did before.
        speeds.learn(&[0.0, 30.0, 30.0], &[0.0, 1.0, 1.0]);
        assert!(lengths(&particles, &speeds)[0] > 20);
        for p in &mut particles[..45] {
            p.significant_samples = 1000;
        }
        let uneven = lengths(&particles, &Speeds::equal(2));
        assert_eq!(uneven, [30, 60], "costs 3 to 1: 30·3 = 15·3 + 45·1");
    }

    proptest! {
        #[test]
        fn each_particle_is_dealt_once(
            samples in proptest::collection::vec(0usize..50, 0..60),
            times in proptest::collection::vec(0.1f64..10.0, 1..7),
        ) {
            let particles: Vec<Particle> = samples
                .iter()
                .enumerate()
                .map(|(i, &n)| Particle { significant_samples: n, stack: n % 3, ..particle(i, 1) })
                .collect();
            let order: Vec<usize> = (0..particles.len()).rev().collect();
            let mut speeds = Speeds::equal(times.len());
            speeds.learn(&vec![1.0; times.len()], &times);
            let rule = CostRule::new(&particles, std::slice::from_ref(&order), vec![16]);
            let shares = deal(&particles, &order, 0, &rule, &speeds);
            prop_assert_eq!(shares.len(), times.len());
            let mut all: Vec<Dealt> = shares.concat();
            all.sort_by_key(|d| d.position);
            let expected: Vec<Dealt> = order
                .iter()
                .enumerate()
                .map(|(position, &index)| Dealt { index, position })
                .collect();
            prop_assert_eq!(all, expected);
        }
    }
}
