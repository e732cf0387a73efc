//! Pixels of slices, sorted by the tile of the sums that they touch.

use super::insert::SumSlice;
use super::tile::Tiling;
use gpu::slice::{Bend, insertion_or_origin};

/// A pixel in a tile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// Index of the first of its eight cells in a [`super::tile::Workspace`].
    pub cell: u32,
    /// Fractions along x, y, z.
    pub fraction: [f32; 3],
    /// Real and imaginary part, weight.
    pub value: [f32; 3],
}

impl Sample {
    const NONE: Self = Self {
        cell: 0,
        fraction: [0.0; 3],
        value: [0.0; 3],
    };
}

/// Samples of a block.
const BLOCK: usize = 32;

/// Pixels of some slices, by tile. They lie in blocks of one large array, in the order in which blocks were needed.
pub(super) struct Bins {
    blocks: Vec<Sample>,
    /// Block after a block of the same tile.
    next: Vec<u32>,
    tiles: Vec<Bin>,
}

/// Pixels of a tile.
#[derive(Debug, Clone, Copy, Default)]
struct Bin {
    /// First block.
    first: u32,
    /// Where the next pixel goes, and the end of its block. Both 0 without a block.
    at: u32,
    end: u32,
}

/// Pixels whose places are worked out together.
const LANES: usize = 16;

/// Mark of a pixel that is not inserted.
const NOWHERE: u32 = u32::MAX;

/// Where some pixels of a row are added.
struct Places {
    /// Tile of the first voxel, or [`NOWHERE`].
    tile: [u32; LANES],
    /// Index of the first cell there.
    cell: [u32; LANES],
    /// Not 0 where the pixel touches the next tile along y, along z.
    crosses: [[u32; LANES]; 2],
    /// Fractions along x, y, z.
    fraction: [[f32; LANES]; 3],
    /// Sign of the imaginary part.
    sign: [f32; LANES],
}

impl Bins {
    /// Empty bins with room for about so many pixels.
    pub(super) fn new(tiling: &Tiling, pixels: usize) -> Self {
        Self {
            blocks: Vec::with_capacity(pixels + BLOCK * tiling.count()),
            next: Vec::new(),
            tiles: vec![Bin::default(); tiling.count()],
        }
    }

    /// About the bytes that the pixels of a slice take (of a box of `size` pixels).
    pub(super) fn bytes_of_slice(size: usize) -> usize {
        size * size / 2 * size_of::<Sample>()
    }

    /// Empties the bins; they keep their memory.
    pub(super) fn clear(&mut self) {
        self.blocks.clear();
        self.next.clear();
        self.tiles.fill(Bin::default());
    }

    /// Whether no pixel touches a tile.
    pub(super) fn is_empty(&self, tile: usize) -> bool {
        self.tiles[tile].end == 0
    }

    /// Pixels that touch a tile, block by block, in the order of slices.
    pub(super) fn blocks(&self, tile: usize) -> impl Iterator<Item = &[Sample]> {
        let bin = self.tiles[tile];
        let mut block = (bin.end > 0).then_some(bin.first);
        std::iter::from_fn(move || {
            let this = block? as usize;
            let (begin, end) = (this * BLOCK, (this + 1) * BLOCK);
            let is_last = end == bin.end as usize;
            block = (!is_last).then(|| self.next[this]);
            self.blocks
                .get(begin..if is_last { bin.at as usize } else { end })
        })
    }

    /// Puts a pixel into a tile.
    #[inline(always)]
    fn push(&mut self, tile: u32, sample: Sample) {
        let Some(bin) = self.tiles.get_mut(tile as usize) else {
            return;
        };
        if bin.at == bin.end {
            let block = self.next.len() as u32;
            match bin.end {
                0 => bin.first = block,
                end => self.next[end as usize / BLOCK - 1] = block,
            }
            self.next.push(0);
            self.blocks.extend_from_slice(&[Sample::NONE; BLOCK]);
            bin.at = block * BLOCK as u32;
            bin.end = bin.at + BLOCK as u32;
        }
        if let Some(place) = self.blocks.get_mut(bin.at as usize) {
            *place = sample;
        }
        bin.at += 1;
    }

    /// Sorts the pixels of the slices of an image (of a box of `size` pixels), row by row of all of them: the two sides of the Ewald
    /// sphere lie close to each other, and meet the same voxels in the cache.
    pub(super) fn add(&mut self, tiling: &Tiling, slices: &[SumSlice], size: usize) {
        pulp::Arch::new().dispatch(AddSlices {
            bins: self,
            tiling,
            slices,
            size,
        });
    }

    /// Sorts a row of pixels.
    #[inline(always)]
    fn add_row(
        &mut self,
        tiling: &Tiling,
        values: &[[f32; 3]],
        position: impl Fn(f32) -> [f32; 3],
    ) {
        for (chunk, values) in values.chunks(LANES).enumerate() {
            if values.iter().all(|[.., w]| *w <= 0.0) {
                continue;
            }
            let places = places(tiling, chunk * LANES, &position);
            for (lane, &[re, im, w]) in values.iter().enumerate() {
                let tile = places.tile[lane];
                if w > 0.0 && tile != NOWHERE {
                    let sample = Sample {
                        cell: places.cell[lane],
                        fraction: [
                            places.fraction[0][lane],
                            places.fraction[1][lane],
                            places.fraction[2][lane],
                        ],
                        value: [re, places.sign[lane] * im, w],
                    };
                    let crosses = [places.crosses[0][lane] != 0, places.crosses[1][lane] != 0];
                    self.push_all(tiling, tile, sample, crosses);
                }
            }
        }
    }

    /// Puts a pixel into the tile of its first voxel and into others that it touches.
    #[inline(always)]
    fn push_all(
        &mut self,
        tiling: &Tiling,
        tile: u32,
        sample: Sample,
        [next_y, next_z]: [bool; 2],
    ) {
        self.push(tile, sample);
        if !(next_y || next_z) {
            return;
        }
        // In the next tile the first voxel lies in the margin.
        let (y, z) = (tiling.next_along_y(), tiling.next_along_z());
        let mut push = |tiles: u32, cells: u32| {
            let cell = sample.cell - cells;
            self.push(tile + tiles, Sample { cell, ..sample });
        };
        if next_y {
            push(y.tiles, y.cells);
        }
        if next_z {
            push(z.tiles, z.cells);
        }
        if next_y && next_z {
            push(y.tiles + z.tiles, y.cells + z.cells);
        }
    }
}

/// Where the pixels of columns `first`… are added.
#[inline(always)]
fn places(tiling: &Tiling, first: usize, position: &impl Fn(f32) -> [f32; 3]) -> Places {
    let mut places = Places {
        tile: [0; LANES],
        cell: [0; LANES],
        crosses: [[0; LANES]; 2],
        fraction: [[0.0; LANES]; 3],
        sign: [0.0; LANES],
    };
    let first = first as f32;
    for lane in 0..LANES {
        let p = position(first + lane as f32);
        let (inside, corner) = insertion_or_origin(&tiling.shape, tiling.max_radius2, p);
        let at = tiling.place(corner.place);
        places.tile[lane] = if inside { at.tile } else { NOWHERE };
        places.cell[lane] = at.cell;
        for axis in 0..2 {
            places.crosses[axis][lane] = at.crosses[axis];
        }
        for axis in 0..3 {
            places.fraction[axis][lane] = corner.fraction[axis];
        }
        places.sign[lane] = if corner.conjugate { -1.0 } else { 1.0 };
    }
    places
}

/// All pixels of some slices, a struct so that it is compiled for the widest vectors of the machine.
struct AddSlices<'a> {
    bins: &'a mut Bins,
    tiling: &'a Tiling,
    slices: &'a [SumSlice],
    size: usize,
}

impl pulp::NullaryFnOnce for AddSlices<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self {
            bins,
            tiling,
            slices,
            size,
        } = self;
        let (first, width) = (1.0 - (size / 2) as f32, size / 2 + 1);
        for row in 0..size {
            let y = first + row as f32;
            for slice in slices {
                let values = &slice.values[row * width..(row + 1) * width];
                let on_plane = |x| slice.axes.position(x, y);
                let bent = |bend: &Bend, x| bend.bent(on_plane(x), x, y);
                match (&slice.bend, tiling.nearest2 < f32::INFINITY) {
                    (None, false) => bins.add_row(tiling, values, on_plane),
                    (None, true) => bins.add_row(tiling, values, |x| tiling.nearest(on_plane(x))),
                    (Some(bend), false) => bins.add_row(tiling, values, |x| bent(bend, x)),
                    (Some(bend), true) => {
                        bins.add_row(tiling, values, |x| tiling.nearest(bent(bend, x)))
                    }
                }
            }
        }
    }
}
