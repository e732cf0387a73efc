//! Memory plan of one iteration on a device: what references, sums, grid and batches take, and how large batches may be.

use super::super::orientations::Search;
use super::super::{ExpectationError, IterationInput};
use super::grid::pairs_at_once;
use super::totals;
use crate::errors::Code;
use crate::fourier::shape::{Dimensions, VolumeShape};
use crate::geometry::prior::most_local_orientations;

/// Never more particles at once: beyond it nothing is gained.
const LARGEST_BATCH: usize = 1024;
/// Slices waiting for comparison take no more than this.
const SLICE_BUFFER: usize = 1 << 30;

/// Requirements of an iteration.
#[derive(Debug, Clone, PartialEq)]
pub struct Demand {
    /// Classes.
    pub classes: usize,
    /// Sums: one a class, two in a gradient iteration.
    pub sums: usize,
    /// Stored voxels of a reference.
    pub voxels: usize,
    /// Coarse orientations that all particles share, all classes; 0 in searches with orientations of their own.
    pub shared_orientations: usize,
    /// Of those, the ones that are projected: one of each pair that differs by a half turn in the plane.
    pub projected_orientations: usize,
    /// Coarse orientations of one particle in such searches, all classes.
    pub own_orientations: usize,
    /// Lists of offset priors of a particle: one, or one per class.
    pub offset_priors: usize,
    /// References: whole ones, and wanted regions where an unwanted signal is subtracted.
    pub references: usize,
    /// Images are compared without an unwanted signal.
    pub subtracts: bool,
    /// Sums per pixel of a particle in the store stage ([`totals::slots`]).
    pub slots: usize,
    /// Coarse shifts.
    pub shifts: usize,
    /// Children of an orientation and of a shift.
    pub children: [usize; 2],
    /// Largest box of the images, pixels.
    pub box_size: usize,
    /// Compared pixels in the first pass.
    pub coarse_pixels: usize,
    /// Pixels of the sums.
    pub full_pixels: usize,
    /// Directions of the grid.
    pub directions: usize,
    /// Optics groups.
    pub groups: usize,
}

impl Demand {
    /// Of the iteration at hand.
    pub fn of(input: &IterationInput) -> Self {
        let (sampling, options) = (input.sampling, input.options);
        let search = Search::of(input);
        let classes = input.references.len();
        let pixels = |f: &dyn Fn(&super::super::ImageSizes) -> usize| {
            let largest = input.sizes.iter().map(f).max().unwrap_or(0);
            listed_pixels(largest)
        };
        let grid = match search {
            Search::Global => classes * sampling.directions.len() * sampling.n_psi(),
            _ => 0,
        };
        Self {
            classes,
            references: classes * (1 + usize::from(input.subtraction.is_some())),
            subtracts: input.subtraction.is_some(),
            sums: input.volumes(),
            voxels: input.references[0].shape().voxels(),
            shared_orientations: grid,
            projected_orientations: projected(grid, sampling.n_psi()),
            own_orientations: match &input.model.local_search {
                Some(widths) if search == Search::Local => {
                    most_local_orientations(sampling, widths) * classes
                }
                _ => classes,
            },
            offset_priors: offset_priors(input.references[0].shape().dimensions, classes),
            slots: totals::slots(input),
            shifts: if options.skip_align {
                1
            } else {
                sampling.translations.len()
            },
            children: [
                if search == Search::Fixed {
                    1
                } else {
                    sampling.orientation_children(options.oversampling)
                },
                if options.skip_align {
                    1
                } else {
                    sampling.translation_children(options.oversampling)
                },
            ],
            box_size: input.optics.iter().map(|o| o.box_size).max().unwrap_or(0),
            coarse_pixels: pixels(&|s| s.coarse),
            full_pixels: pixels(&|s| s.full),
            directions: sampling.directions.len(),
            groups: input.optics.len(),
        }
    }

    /// References and sums of all classes.
    fn volumes(&self) -> usize {
        self.voxels * (8 * self.references + 16 * self.sums)
    }

    /// Phases of all shifts, matrices of all orientations.
    fn tables(&self) -> usize {
        let phases = self.shifts * (self.coarse_pixels + self.children[1] * self.full_pixels) * 8;
        // Class, place of the direction, prior; and 32 bytes to group significant samples.
        let matrices = self.shared_orientations * (24 * (1 + self.children[0]) + 12 + 32);
        let in_scale = self.classes * self.full_pixels;
        self.groups * (phases + matrices + 24 * self.full_pixels + in_scale)
            + 8 * self.classes * (self.directions + 4)
    }

    /// The grid's slices in the first pass and their powers.
    fn grid_slices(&self) -> usize {
        self.groups * self.projected_orientations * self.slice()
    }

    /// A slice of the first pass and its powers.
    fn slice(&self) -> usize {
        12 * self.coarse_pixels
    }

    /// Children of one orientation, projected.
    fn family(&self) -> usize {
        8 * self.children[0] * self.full_pixels
    }

    /// One particle until the second pass, and its sums per shell.
    fn particle(&self) -> usize {
        let half = self.box_size * (self.box_size / 2 + 1);
        // As read, in this batch and in the next one, shifted, masked; its transform and cuFFT's work area.
        let image = 4 * 4 * self.box_size * self.box_size + 2 * 8 * half;
        // The unwanted signal of the image, and what is left without it.
        let subtracted = match self.subtracts {
            true => 4 * self.box_size * self.box_size + 8 * self.full_pixels,
            false => 0,
        };
        let listed = self.full_pixels * (2 * 8 + 4 + 8 * self.slots);
        let shells = 4 * self.box_size + 16 * self.slots * self.box_size;
        let priors = 4 * self.offset_priors * self.shifts;
        let comparisons = if self.shared_orientations > 0 {
            // Both products, and the largest of each orientation; parts of products that are put in place.
            4 * self.shared_orientations * (self.shifts + 2)
                + 4 * pairs_at_once(self.projected_orientations) * (2 * self.shifts + 1)
                + (8 * self.shifts + 4) * self.coarse_pixels
        } else {
            // Samples, pairs, differences; matrices and tables of the orientations.
            self.own_orientations * (self.shifts * (16 + 16 + 4) + 24 * (1 + self.children[0]) + 40)
        };
        image + subtracted + listed + shells + priors + comparisons
    }

    /// The least that will do: one particle, one orientation at a time, a thousand samples of the second pass.
    pub fn least(&self) -> usize {
        self.volumes()
            + self.tables()
            + self.particle()
            + 1000 * self.sample()
            + self.family()
            + self.groups * self.slice()
    }

    /// One significant sample in the second pass: itself, its pair, the weights of its children.
    pub fn sample(&self) -> usize {
        16 + 16 + 4 * self.children[0] * self.children[1]
    }
}

/// Orientations of a grid with `psis` in-plane angles of which slices are cut (`grid.rs`).
fn projected(orientations: usize, psis: usize) -> usize {
    if psis.is_multiple_of(2) {
        orientations / 2
    } else {
        orientations
    }
}

/// Lists of offset priors of a particle: those of class averages have a centre each (spec 04 §4).
fn offset_priors(dimensions: Dimensions, classes: usize) -> usize {
    match dimensions {
        Dimensions::Two => classes,
        Dimensions::Three => 1,
    }
}

/// Pixels of a half-complex box of `size`, in rows of whole groups of 32.
fn listed_pixels(size: usize) -> usize {
    // π/8·size² lie within the radius, half a row more on the edge.
    (size * size * 2 / 5 + size).next_multiple_of(32)
}

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
        let maximization = self.volumes + demand.voxels * (16 + 40);
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

/// The demand of a search with `orientations` (all classes) shared by all particles, or that many of a particle's own,
/// for references of `box_size` at `size` pixels: for plans before there is an iteration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    /// Class averages or maps.
    pub dimensions: Dimensions,
    /// Box of references and images, pixels.
    pub box_size: usize,
    /// Current size, pixels.
    pub size: usize,
    /// Current size of the first pass, pixels.
    pub coarse_size: usize,
    /// `--pad`.
    pub padding: f64,
    /// Classes.
    pub classes: usize,
    /// Directions of the grid.
    pub directions: usize,
    /// In-plane angles.
    pub psis: usize,
    /// Orientations of each particle's own, per class; None where all share the grid.
    pub own: Option<usize>,
    /// Coarse shifts.
    pub shifts: usize,
    /// `--oversampling`.
    pub oversampling: u32,
    /// `--grad`.
    pub gradient: bool,
    /// Images are compared without an unwanted signal.
    pub subtracts: bool,
}

impl Outlook {
    /// As a demand.
    pub fn demand(&self) -> Demand {
        let shape = VolumeShape::new(self.dimensions, self.box_size, self.padding, self.size);
        let of_orientation: usize = match self.dimensions {
            Dimensions::Two => 2,
            Dimensions::Three => 8,
        };
        let grid = match self.own {
            Some(_) => 0,
            None => self.directions * self.psis * self.classes,
        };
        Demand {
            classes: self.classes,
            references: self.classes * (1 + usize::from(self.subtracts)),
            subtracts: self.subtracts,
            sums: self.classes * (1 + usize::from(self.gradient)),
            voxels: shape.voxels(),
            shared_orientations: grid,
            projected_orientations: projected(grid, self.psis),
            own_orientations: self.own.unwrap_or(1) * self.classes,
            offset_priors: offset_priors(self.dimensions, self.classes),
            // Scales are estimated apart from the rest.
            slots: self.classes.min(2),
            shifts: self.shifts,
            children: [
                of_orientation.pow(self.oversampling),
                4usize.pow(self.oversampling),
            ],
            box_size: self.box_size,
            coarse_pixels: listed_pixels(self.coarse_size),
            full_pixels: listed_pixels(self.size),
            directions: self.directions,
            groups: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: usize = 1 << 30;

    fn outlook() -> Outlook {
        Outlook {
            dimensions: Dimensions::Three,
            box_size: 512,
            size: 512,
            coarse_size: 512,
            padding: 2.0,
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

    /// The sums of the other half-set of box 512 are in the way on a card of 24 GB, not on one of 48.
    #[test]
    fn other_sums_are_in_the_way_where_they_cost_batches() {
        let demand = outlook().demand();
        let sums = 16 * demand.voxels;
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
