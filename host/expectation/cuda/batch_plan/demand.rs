//! Memory that an iteration needs on a device.

use crate::expectation::IterationInput;
use crate::expectation::cuda::grid::pairs_at_once;
use crate::expectation::cuda::totals;
use crate::expectation::orientations::Search;
use crate::fourier::shape::{Dimensions, VolumeShape};
use crate::geometry::prior::most_local_orientations;

/// Numbers that an operand of the products of the first pass has for each value where tensor cores multiply it in two parts.
const PARTS: usize = 2;

/// Requirements of an iteration.
#[derive(Debug, Clone, PartialEq)]
pub struct Demand {
    /// Classes.
    pub classes: usize,
    /// Sums: one a class, two in a gradient iteration.
    pub sums: usize,
    /// Stored voxels of a reference.
    pub voxels: usize,
    /// Stored voxels of the sums of a class.
    pub sums_voxels: usize,
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
        let pixels = |f: &dyn Fn(&crate::expectation::ImageSizes) -> usize| {
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
            sums_voxels: input.sums_shape().voxels(),
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
    pub(super) fn volumes(&self) -> usize {
        8 * self.references * self.voxels + 16 * self.sums * self.sums_voxels
    }

    /// Phases of all shifts, matrices of all orientations.
    pub(super) fn tables(&self) -> usize {
        let phases = self.shifts * (self.coarse_pixels + self.children[1] * self.full_pixels) * 8;
        // Class, place of the direction, prior; and 32 bytes to group significant samples.
        let matrices = self.shared_orientations * (24 * (1 + self.children[0]) + 12 + 32);
        let in_scale = self.classes * self.full_pixels;
        self.groups * (phases + matrices + 24 * self.full_pixels + in_scale)
            + 8 * self.classes * (self.directions + 4)
    }

    /// The grid's slices in the first pass and their powers.
    pub(super) fn grid_slices(&self) -> usize {
        self.groups * self.projected_orientations * self.slice()
    }

    /// A slice of the first pass and its powers.
    pub(super) fn slice(&self) -> usize {
        PARTS * 12 * self.coarse_pixels
    }

    /// Children of one orientation, projected.
    pub(super) fn family(&self) -> usize {
        8 * self.children[0] * self.full_pixels
    }

    /// One particle until the second pass, and its sums per shell.
    pub(super) fn particle(&self) -> usize {
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
                + PARTS * (8 * self.shifts + 4) * self.coarse_pixels
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
    /// Padding factor of the sums beyond that.
    pub more_padding: f64,
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
    /// Geometry of references and of sums.
    pub fn shapes(&self) -> [VolumeShape; 2] {
        [self.padding, self.padding + self.more_padding]
            .map(|padding| VolumeShape::new(self.dimensions, self.box_size, padding, self.size))
    }

    /// As a demand.
    pub fn demand(&self) -> Demand {
        let [of_references, of_sums] = self.shapes();
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
            voxels: of_references.voxels(),
            sums_voxels: of_sums.voxels(),
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
