//! Some rows of some planes of back-projection sums, and the workspace that pixels are added in.

use super::bins::Sample;
use crate::fourier::backprojection::BackProjection;
use crate::fourier::shape as fourier;
use gpu::slice::VolumeShape;
use num_complex::Complex64;

/// How sums are cut into tiles of some planes and rows; those at the ends may have fewer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tiling {
    /// The sums.
    pub shape: VolumeShape,
    /// Largest |p|² that is inserted.
    pub max_radius2: f32,
    /// Least |p|² of pixels that go to the nearest voxel alone; infinity: all are shared.
    pub nearest2: f32,
    /// Planes of a tile, and rows.
    planes: Length,
    rows: Length,
    /// Tiles along y.
    along: u32,
}

/// Planes or rows of a tile, as a divisor of small numbers.
#[derive(Debug, Clone, Copy)]
struct Length {
    count: u32,
    /// 2²⁴/count, rounded up.
    inverse: u32,
    /// Number of the last one of the volume.
    last: u32,
}

impl Length {
    fn new(count: usize, of: usize) -> Self {
        let count = count.min(of) as u32;
        Self {
            count,
            inverse: (1u32 << Self::BITS).div_ceil(count),
            last: of as u32 - 1,
        }
    }

    /// Bits of the inverse after the point: exact as long as number times count has no more.
    const BITS: u32 = 24;

    /// Quotient and remainder.
    #[inline(always)]
    fn divide(self, i: u32) -> [u32; 2] {
        let quotient = ((u64::from(i) * u64::from(self.inverse)) >> Self::BITS) as u32;
        [quotient, i - quotient * self.count]
    }
}

/// Where the first voxel of a pixel lies.
pub(super) struct Place {
    /// Number of the tile.
    pub tile: u32,
    /// Index of the cell there.
    pub cell: u32,
    /// Not 0 where the next voxel along y, along z, lies in the next tile.
    pub crosses: [u32; 2],
}

/// From a pixel of a tile to the same one of a neighbour.
pub(super) struct Step {
    /// Tiles forwards.
    pub tiles: u32,
    /// Cells backwards.
    pub cells: u32,
}

impl Tiling {
    /// Tiles that the cache of a core holds with the voxels around them.
    pub(super) fn new(shape: &fourier::VolumeShape) -> Self {
        /// Part of the second-level cache of a core, bytes.
        const CACHE: usize = 768 << 10;
        let rows = CACHE / ((shape.half() + 1) * size_of::<Cell>());
        let size = match shape.depth() {
            1 => [1, rows / 3],
            _ => [(rows as f64).sqrt() as usize; 2],
        };
        Self::of(shape, size.map(|s| s.saturating_sub(2).max(4)))
    }

    /// Tiles of so many planes and rows.
    pub(super) fn of(shape: &fourier::VolumeShape, [planes, rows]: [usize; 2]) -> Self {
        let rows = Length::new(rows, shape.side);
        Self {
            shape: shape.for_kernels(),
            max_radius2: shape.insertion_limit2(),
            nearest2: f32::INFINITY,
            planes: Length::new(planes, shape.depth()),
            along: (rows.last + 1).div_ceil(rows.count),
            rows,
        }
    }

    /// Returns the position of a voxel for pixels that go to the nearest one alone (spec 02 §1.3 step 6). Whether a pixel is inserted is
    /// decided before it is moved.
    #[inline(always)]
    pub(super) fn nearest(&self, p: [f32; 3]) -> [f32; 3] {
        let r2 = p[0] * p[0] + p[1] * p[1] + p[2] * p[2];
        match r2 >= self.nearest2 && r2 <= self.max_radius2 {
            true => p.map(f32::round),
            false => p,
        }
    }

    /// Number of tiles.
    pub(super) fn count(&self) -> usize {
        let planes = (self.planes.last + 1).div_ceil(self.planes.count);
        (planes * self.along) as usize
    }

    /// Cells of a plane of a tile with its margin.
    #[inline(always)]
    fn plane(&self) -> usize {
        (self.rows.count as usize + 2) * self.shape.row()
    }

    /// Place of the voxel at stored x, y, z.
    #[inline(always)]
    pub(super) fn place(&self, [x, y, z]: [u32; 3]) -> Place {
        let ([tile_y, row], [tile_z, plane]) = (self.rows.divide(y), self.planes.divide(z));
        let crosses = |length: &Length, at: u32, i: u32| {
            u32::from(at + 1 == length.count) & u32::from(i < length.last)
        };
        Place {
            tile: tile_z * self.along + tile_y,
            cell: (plane + 1) * self.plane() as u32 + (row + 1) * self.shape.row() as u32 + x,
            crosses: [crosses(&self.rows, row, y), crosses(&self.planes, plane, z)],
        }
    }

    /// To the next tile along y.
    #[inline(always)]
    pub(super) fn next_along_y(&self) -> Step {
        Step {
            tiles: 1,
            cells: self.rows.count * self.shape.row() as u32,
        }
    }

    /// To the next tile along z.
    #[inline(always)]
    pub(super) fn next_along_z(&self) -> Step {
        Step {
            tiles: self.along,
            cells: self.planes.count * self.plane() as u32,
        }
    }
}

/// Some rows of some planes of the sums: data and weights of the rows, plane by plane.
pub(super) struct Tile<'a>(Vec<(&'a mut [Complex64], &'a mut [f64])>);

impl<'a> Tile<'a> {
    /// All tiles of sums.
    pub(super) fn all(volume: &'a mut BackProjection, tiling: &Tiling) -> Vec<Self> {
        let [planes, rows, along] =
            [tiling.planes.count, tiling.rows.count, tiling.along].map(|v| v as usize);
        let mut tiles: Vec<Self> = (0..tiling.count())
            .map(|_| Self(Vec::with_capacity(planes)))
            .collect();
        let plane = volume.shape.plane();
        let part = rows * tiling.shape.row();
        let all_planes = volume
            .data
            .chunks_mut(plane)
            .zip(volume.weight.chunks_mut(plane));
        for (z, (data, weight)) in all_planes.enumerate() {
            let parts = data.chunks_mut(part).zip(weight.chunks_mut(part));
            for (tile, part) in tiles[z / planes * along..].iter_mut().zip(parts) {
                tile.0.push(part);
            }
        }
        tiles
    }
}

/// Sums of a voxel: real and imaginary part, weight, unused.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(32))]
struct Cell([f64; 4]);

/// A copy of a tile with a margin of one voxel around its rows and planes, which takes what belongs to the neighbours: no pixel has to
/// be clipped.
pub(super) struct Workspace {
    cells: Vec<Cell>,
    /// Cells of a row, and of a plane with its margin.
    row: usize,
    plane: usize,
}

impl Workspace {
    /// Room for a tile.
    pub(super) fn new(tiling: &Tiling) -> Self {
        let (row, plane) = (tiling.shape.row(), tiling.plane());
        Self {
            cells: vec![Cell::default(); (tiling.planes.count as usize + 2) * plane],
            row,
            plane,
        }
    }

    /// Cells of plane `z` of the tile, without the margin before them.
    fn cells_of(&mut self, z: usize) -> &mut [Cell] {
        &mut self.cells[(z + 1) * self.plane + self.row..]
    }

    /// Takes over the sums of a tile.
    pub(super) fn open(&mut self, tile: &Tile) {
        for (z, (data, weight)) in tile.0.iter().enumerate() {
            let cells = self.cells_of(z).iter_mut();
            for ((cell, a), w) in cells.zip(data.iter()).zip(weight.iter()) {
                cell.0 = [a.re, a.im, *w, 0.0];
            }
        }
    }

    /// Gives the sums back.
    pub(super) fn close(&mut self, tile: &mut Tile) {
        for (z, (data, weight)) in tile.0.iter_mut().enumerate() {
            let cells = self.cells_of(z).iter();
            for ((cell, a), w) in cells.zip(data.iter_mut()).zip(weight.iter_mut()) {
                let [re, im, sum, _] = cell.0;
                *a = Complex64::new(re, im);
                *w = sum;
            }
        }
    }

    /// Adds pixels.
    pub(super) fn add(&mut self, samples: &[Sample]) {
        pulp::Arch::new().dispatch(AddSamples {
            workspace: self,
            samples,
        });
    }

    /// Shares a value between the eight cells around a pixel.
    #[inline(always)]
    fn add_sample(&mut self, sample: &Sample) {
        let [fx, fy, fz] = sample.fraction;
        // `map` of arrays is not always compiled into the loop.
        let [re, im, w] = sample.value;
        let value = [f64::from(re), f64::from(im), f64::from(w), 0.0];
        let at = sample.cell as usize;
        for (at, wz) in [(at, 1.0 - fz), (at + self.plane, fz)] {
            for (at, share) in [(at, wz * (1.0 - fy)), (at + self.row, wz * fy)] {
                let Some([left, right]) = self.cells.get_mut(at..at + 2) else {
                    continue;
                };
                let shares = [f64::from(share * (1.0 - fx)), f64::from(share * fx)];
                for (sum, v) in left.0.iter_mut().zip(value) {
                    *sum += shares[0] * v;
                }
                for (sum, v) in right.0.iter_mut().zip(value) {
                    *sum += shares[1] * v;
                }
            }
        }
    }
}

/// Pixels into a tile, a struct so that it is compiled for the widest vectors of the machine.
struct AddSamples<'a> {
    workspace: &'a mut Workspace,
    samples: &'a [Sample],
}

impl pulp::NullaryFnOnce for AddSamples<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for sample in self.samples {
            self.workspace.add_sample(sample);
        }
    }
}
