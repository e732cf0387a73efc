//! Memory plan of one iteration on a device: what references, sums, grid and batches take, and how large batches may be.

mod demand;

pub use demand::{Demand, Outlook};

use super::super::ExpectationError;
use crate::errors::Code;

/// Never more particles at once: beyond it nothing is gained.
const LARGEST_BATCH: usize = 1024;
/// Slices waiting for comparison take no more than this.
const SLICE_BUFFER: usize = 1 << 30;

/// How an iteration is fitted into the memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// References and sums, bytes.
    pub volumes: usize,
    /// Phases and matrices, bytes.
    pub tables: usize,
    /// Orientations of the grid that are projected at a time; all of them are kept when that is all.
    pub orientations: usize,
    /// Slices of those orientations and their powers, bytes.
    pub slices: usize,
    /// Particles at once.
    pub batch: usize,
    /// Their images, transforms and differences, bytes.
    pub images: usize,
    /// Samples of the second pass and their weights at a time, bytes.
    pub second_pass: usize,
    /// Slices of the second pass at a time, bytes.
    pub family_slices: usize,
    /// Features that would be used with more memory.
    pub given_up: Vec<String>,
}

impl Plan {
    /// Fits `demand` into `limit` bytes; an error says what one particle needs at least.
    pub fn new(demand: &Demand, limit: usize) -> Result<Self, ExpectationError> {
        let (volumes, tables) = (demand.volumes(), demand.tables());
        let room = limit.saturating_sub(volumes + tables);
        let particle = demand.particle();
        if demand.least() > limit {
            return Err(Code::DEVICE_FULL.says(format!(
                "one particle needs {} MiB of device memory besides {} MiB for references, sums and tables, but only {} MiB may \
                 be used. Use a card with more memory, raise --gpu_memory, coarsen the sampling, lower --pad, or run without \
                 --gpu",
                (demand.least() - volumes - tables) >> 20,
                (volumes + tables) >> 20,
                limit >> 20
            )).into());
        }
        let mut given_up = Vec::new();
        let (mut orientations, mut slices) = (demand.projected_orientations, demand.grid_slices());
        if slices > room / 5 * 2 {
            let row = demand.groups * demand.slice();
            orientations = (room / 10 / row.max(1)).clamp(1, orientations.max(1));
            slices = orientations * row;
            given_up.push(format!(
                "to fit: slices of the first pass are projected anew for every batch, {orientations} of {} at a time",
                demand.projected_orientations
            ));
        }
        let left = room - slices;
        let family_slices = (left / 8).clamp(demand.family(), SLICE_BUFFER.max(demand.family()));
        let left = left.saturating_sub(family_slices);
        let second_pass = (left / 3).max(1000 * demand.sample());
        let left = left.saturating_sub(second_pass);
        let batch = (left / particle).clamp(1, LARGEST_BATCH);
        if batch < 100 {
            given_up.push(format!("to fit: only {batch} particles go through at once"));
        }
        Ok(Self {
            volumes,
            tables,
            orientations,
            slices,
            batch,
            images: batch * particle,
            second_pass,
            family_slices,
            given_up,
        })
    }

    /// True when `others`, bytes that lie within `limit` already, would cost the plan more than smaller batches of a
    /// sensible size.
    pub fn is_crowded(demand: &Demand, limit: usize, others: usize) -> bool {
        match (
            Self::new(demand, limit.saturating_sub(others)),
            Self::new(demand, limit),
        ) {
            (Ok(crowded), Ok(alone)) => crowded.given_up.len() > alone.given_up.len(),
            (Err(_), Ok(_)) => true,
            (_, Err(_)) => false,
        }
    }

    /// Half of everything that can be less: for a device that turns out to be full when it holds `in_use` bytes.
    pub fn halve(&mut self, in_use: usize) {
        self.batch = (self.batch / 2).max(1);
        // Of what there is, not of what was thought to be there.
        self.second_pass = self.second_pass.min(in_use) / 2;
        self.family_slices = self.family_slices.min(in_use) / 2;
    }

    /// Returns the memory for raw images that stay for the next iteration: not what maximisation needs, which comes while they stay.
    pub fn left_for_images(&self, demand: &Demand, limit: usize) -> usize {
        // Sums twice while they are symmetrised; a padded map, its transform and work area are smaller than five volumes.
        let maximization = self.volumes + demand.sums_voxels * (16 + 40);
        limit.saturating_sub(self.total().max(maximization)) / 10 * 9
    }

    /// Bytes at most.
    pub fn total(&self) -> usize {
        self.volumes
            + self.tables
            + self.slices
            + self.images
            + self.second_pass
            + self.family_slices
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fourier::shape::Dimensions;

    const GIB: usize = 1 << 30;

    fn outlook() -> Outlook {
        Outlook {
            dimensions: Dimensions::Three,
            box_size: 512,
            size: 512,
            coarse_size: 512,
            padding: 2.0,
            more_padding: 0.0,
            classes: 1,
            directions: 196_608,
            psis: 384,
            own: Some(200),
            shifts: 29,
            oversampling: 1,
            gradient: false,
            subtracts: false,
        }
    }

    #[test]
    fn the_last_iteration_of_box_512_fits_a_card_of_24_gib() {
        let plan = Plan::new(&outlook().demand(), 22 * GIB).unwrap();
        assert!(plan.total() <= 22 * GIB, "{plan:?}");
        assert!(plan.batch >= 100, "{plan:?}");
        // 1027 × 1027 × 514 voxels of 24 bytes.
        assert!((12 * GIB..13 * GIB).contains(&plan.volumes), "{plan:?}");
    }

    #[test]
    fn plans_stay_within_their_limit() {
        let global = Outlook {
            size: 80,
            coarse_size: 80,
            directions: 768,
            psis: 48,
            own: None,
            ..outlook()
        };
        for oversampling in 0..4 {
            for gib in [1, 2, 8, 100] {
                let demand = Outlook {
                    oversampling,
                    ..global
                }
                .demand();
                let plan = Plan::new(&demand, gib * GIB).unwrap();
                assert!(plan.total() <= gib * GIB, "{oversampling}, {gib}: {plan:?}");
            }
        }
        let (small, large) = (
            Plan::new(&global.demand(), GIB).unwrap(),
            Plan::new(&global.demand(), 100 * GIB).unwrap(),
        );
        assert!(small.batch < large.batch && large.batch == LARGEST_BATCH);
        assert!(small.orientations < large.orientations);
        assert!(!small.given_up.is_empty() && large.given_up.is_empty());
    }

    /// Class averages take little: 500 of them leave a small card its largest batches but for their differences.
    #[test]
    fn many_class_averages_fit_small_cards() {
        let flat = |box_size: usize, classes: usize| Outlook {
            dimensions: Dimensions::Two,
            box_size,
            size: box_size,
            coarse_size: box_size / 2,
            classes,
            directions: 1,
            psis: 32,
            own: None,
            shifts: 21,
            ..outlook()
        };
        for (classes, gib, batch) in [(50, 10, LARGEST_BATCH), (500, 10, 500), (500, 70, 1024)] {
            for box_size in [64, 128, 256] {
                let demand = flat(box_size, classes).demand();
                assert_eq!(demand.children, [2, 4]);
                let plan = Plan::new(&demand, gib * GIB).unwrap();
                assert!(plan.total() <= gib * GIB, "{plan:?}");
                assert!(plan.given_up.is_empty(), "{plan:?}");
                assert_eq!(plan.orientations, classes * 16);
                assert!(plan.batch >= batch, "{box_size}, {classes}: {plan:?}");
            }
        }
        // 24 bytes of 515 × 258 pixels each.
        let plan = Plan::new(&flat(256, 500).demand(), 10 * GIB).unwrap();
        assert_eq!(plan.volumes, 500 * 24 * 515 * 258);
        // Gradient iterations have sums of two pseudo-halves.
        let gradient = Outlook {
            gradient: true,
            ..flat(256, 500)
        };
        let plan = Plan::new(&gradient.demand(), 10 * GIB).unwrap();
        assert_eq!(plan.volumes, 500 * 40 * 515 * 258);
    }

    /// References of padding 1 with sums of padding 2: bytes of 515 × 515 × 258 and of 1027 × 1027 × 514 voxels.
    #[test]
    fn sums_may_be_padded_more() {
        let asymmetric = Outlook {
            padding: 1.0,
            more_padding: 1.0,
            ..outlook()
        };
        let volumes = asymmetric.demand().volumes();
        assert_eq!(volumes, 8 * 515 * 515 * 258 + 16 * 1027 * 1027 * 514);
    }

    /// The sums of the other half-set of box 512 are in the way on a card of 24 GB, not on one of 48.
    #[test]
    fn other_sums_are_in_the_way_where_they_cost_batches() {
        let demand = outlook().demand();
        let sums = 16 * demand.sums_voxels;
        assert!(Plan::is_crowded(&demand, 21 * GIB, sums));
        assert!(!Plan::is_crowded(&demand, 42 * GIB, sums));
        // Where nothing fits anyway, moving them is of no use.
        assert!(!Plan::is_crowded(&demand, 8 * GIB, sums));
    }

    #[test]
    fn a_full_device_gets_half_of_what_it_holds() {
        let mut plan = Plan::new(&outlook().demand(), 100 * GIB).unwrap();
        let (batch, in_use) = (plan.batch, GIB / 10);
        plan.halve(in_use);
        assert_eq!(plan.batch, batch / 2);
        assert_eq!(
            (plan.second_pass, plan.family_slices),
            (in_use / 2, in_use / 2)
        );
        (0..20).for_each(|_| plan.halve(in_use));
        assert_eq!(plan.batch, 1);
        assert!(plan.second_pass < 1000 && plan.family_slices < 1000);
    }

    #[test]
    fn too_little_memory_says_what_is_needed() {
        let error = Plan::new(&outlook().demand(), 8 * GIB).unwrap_err();
        assert!(error.to_string().contains("--gpu_memory"), "{error}");
    }
}
