//! Rounds of density compensation: D ← D / |(D·W) ⊛ blob|, in two walks over the data per round (spec 02 §2.3).
//!
//! Weights are real, and equal at v and −v, so D·W is real and even in Fourier space and in real space: half of either is enough, and two
//! real lines are transformed as one complex line. What is outside the sphere of the sums, or farther away than the blob's transform
//! reaches, is neither transformed nor asked for. One walk takes the lines along z: back from the last round, division, there for the next.
//! The other takes the sections of real space: along y, along x, times the blob's transform, and back.

use super::blob_window;
use crate::fourier::odd_transform::{Block, LANES, Lines, OddTransform};
use crate::fourier::shells::{logical, stored};
use crate::maximization::radial::Radial;
use rayon::prelude::*;

/// What all rounds share. Lines are taken in pairs (ky, −ky), pair j having ky = j, and in blocks of [`LANES`] neighbours kx.
pub(super) struct Rounds<'a> {
    radial: &'a Radial,
    /// W of every voxel of the sums.
    weight: &'a [f64],
    transform: OddTransform,
    /// The blob's transform at every squared distance up to its end, over the number of voxels.
    window: Vec<f64>,
    /// Rp: frequencies are −Rp+1…Rp−1.
    reach: usize,
    /// Blocks of kx.
    blocks: usize,
    /// Sections z = 0… of real space that the window reaches.
    sections: usize,
}

/// Working space of a thread.
struct Scratch {
    lines: Lines,
    /// Of a section, for blocks of [`LANES`] rows y and for their mates −y: values kx.
    rows: [Vec<Block>; 2],
}

impl<'a> Rounds<'a> {
    pub(super) fn new(radial: &'a Radial, weight: &'a [f64], padded_box: usize) -> Self {
        let side = radial.side;
        let window = blob_window(side, padded_box);
        let sections = (0..=side / 2).take_while(|z| z * z < window.len());
        let reach = radial.radius2.isqrt() as usize;
        Self {
            radial,
            weight,
            transform: OddTransform::new(side),
            reach,
            blocks: reach.div_ceil(LANES),
            sections: sections.count(),
            window,
        }
    }

    /// Returns D of every voxel of the sums after `iterations` rounds; 0 outside of the sphere.
    pub(super) fn densities(&self, iterations: usize) -> Vec<f64> {
        let mut density = vec![[0.0; LANES]; self.reach * self.density_of_pair()];
        density
            .par_chunks_mut(self.density_of_pair())
            .enumerate()
            .for_each(|(pair, density)| self.begin(pair, density));
        let mut spectrum = vec![[[0.0; LANES]; 2]; self.reach * self.spectrum_of_pair()];
        let mut convolved = vec![[[0.0; LANES]; 2]; self.sections * self.section()];
        for round in 0..iterations {
            density
                .par_chunks_mut(self.density_of_pair())
                .zip(spectrum.par_chunks_mut(self.spectrum_of_pair()))
                .enumerate()
                .for_each_init(
                    || self.scratch(),
                    |scratch, (pair, (density, spectrum))| {
                        for block in self.active(pair) {
                            if round > 0 {
                                self.divide(scratch, [pair, block], &convolved, density);
                            }
                            self.spread(scratch, [pair, block], density, spectrum);
                        }
                    },
                );
            convolved
                .par_chunks_mut(self.section())
                .enumerate()
                .for_each_init(
                    || self.scratch(),
                    |scratch, (z, out)| self.convolve(scratch, z, &spectrum, out),
                );
        }
        drop(spectrum);
        if iterations > 0 {
            density
                .par_chunks_mut(self.density_of_pair())
                .enumerate()
                .for_each_init(
                    || self.scratch(),
                    |scratch, (pair, density)| {
                        for block in self.active(pair) {
                            self.divide(scratch, [pair, block], &convolved, density);
                        }
                    },
                );
        }
        drop(convolved);
        self.in_order_of_the_sums(&density)
    }

    fn scratch(&self) -> Scratch {
        let side = self.radial.side;
        let rows = side.div_ceil(2 * LANES) * self.blocks * LANES;
        let zeros = || vec![[[0.0; LANES]; 2]; rows];
        Scratch {
            lines: Lines::new(side),
            rows: [zeros(), zeros()],
        }
    }

    /// Elements of the densities of a pair of lines ±ky: by block, kz from −Rp+1 on, ky and −ky.
    fn density_of_pair(&self) -> usize {
        self.blocks * self.frequencies() * 2
    }

    /// Blocks of the spectrum, transformed along z, of a pair of lines: by section, ky and −ky, block.
    fn spectrum_of_pair(&self) -> usize {
        self.sections * 2 * self.blocks
    }

    /// Blocks of a convolved section: by ky from −Rp+1 on, block.
    fn section(&self) -> usize {
        self.frequencies() * self.blocks
    }

    /// Frequencies −Rp+1…Rp−1.
    fn frequencies(&self) -> usize {
        2 * self.reach - 1
    }

    /// Blocks of kx that the sphere reaches at ky = ±`pair`.
    fn active(&self, pair: usize) -> impl Iterator<Item = usize> + use<> {
        let left = self.reach * self.reach - pair * pair;
        (0..self.blocks).take_while(move |block| (block * LANES).pow(2) < left)
    }

    /// Squared radius at kx, the first of a block, without that along z.
    fn radius2(pair: usize, block: usize, lane: usize) -> usize {
        pair * pair + (block * LANES + lane).pow(2)
    }

    /// Frequency along z of an index of the densities, and where it is in a line.
    fn depth(&self, index: usize) -> (i64, usize) {
        let kz = index as i64 - (self.reach as i64 - 1);
        (kz, stored(kz, self.radial.side))
    }

    /// D = 1 within the sphere.
    fn begin(&self, pair: usize, density: &mut [[f64; LANES]]) {
        let pairs = density.as_chunks_mut::<2>().0;
        for (block, pairs) in pairs.chunks_exact_mut(self.frequencies()).enumerate() {
            for (index, both) in pairs.iter_mut().enumerate() {
                let kz2 = self.depth(index).0.pow(2) as usize;
                for lane in 0..LANES {
                    let r2 = kz2 + Self::radius2(pair, block, lane);
                    let value = f64::from(u8::from(r2 < self.reach * self.reach));
                    both.iter_mut().for_each(|lanes| lanes[lane] = value);
                }
            }
        }
    }

    /// D·W of a pair of lines and a block, transformed along z to the sections of real space.
    fn spread(
        &self,
        scratch: &mut Scratch,
        [pair, block]: [usize; 2],
        density: &[[f64; LANES]],
        spectrum: &mut [Block],
    ) {
        let (radial, lines) = (self.radial, &mut scratch.lines);
        let first = block * LANES;
        let row_length = radial.half as usize + 1;
        let known = LANES.min(row_length - first);
        lines.clear();
        let pairs = density.as_chunks::<2>().0;
        for (index, both) in pairs[block * self.frequencies()..][..self.frequencies()]
            .iter()
            .enumerate()
        {
            let (kz, at) = self.depth(index);
            let plane = (kz + radial.half) as usize * radial.plane();
            let weights = |ky: i64| {
                let row = (ky + radial.half) as usize * row_length;
                &self.weight[plane + row + first..][..known]
            };
            let (above, below) = (weights(pair as i64), weights(-(pair as i64)));
            for lane in 0..known {
                lines.re[at][lane] = both[0][lane] * above[lane];
                lines.im[at][lane] = both[1][lane] * below[lane];
            }
        }
        self.transform.inverse(lines);
        for z in 0..self.sections {
            let [above, below] = lines.pair(z);
            let from = z * 2 * self.blocks + block;
            spectrum[from] = above;
            spectrum[from + self.blocks] = below;
        }
    }

    /// D / max(10⁻⁶, |C|) within the sphere, C being what was `convolved`, transformed back along z.
    fn divide(
        &self,
        scratch: &mut Scratch,
        [pair, block]: [usize; 2],
        convolved: &[Block],
        density: &mut [[f64; LANES]],
    ) {
        let lines = &mut scratch.lines;
        lines.clear();
        let row = |ky: usize| ky * self.blocks + block;
        let (above, below) = (row(self.reach - 1 + pair), row(self.reach - 1 - pair));
        for (z, section) in convolved.chunks_exact(self.section()).enumerate() {
            lines.set_pair(z, &section[above], &section[below]);
        }
        self.transform.forward(lines);
        let pairs = density.as_chunks_mut::<2>().0;
        for (index, both) in pairs[block * self.frequencies()..][..self.frequencies()]
            .iter_mut()
            .enumerate()
        {
            let (kz, at) = self.depth(index);
            for (density, convolved) in both.iter_mut().zip([&lines.re[at], &lines.im[at]]) {
                for (lane, (density, convolved)) in density.iter_mut().zip(convolved).enumerate() {
                    let r2 = kz.pow(2) as usize + Self::radius2(pair, block, lane);
                    if r2 < self.reach * self.reach {
                        *density /= convolved.abs().max(1e-6);
                    }
                }
            }
        }
    }

    /// Section `z` of real space: along y and x, times the blob's transform, and back.
    fn convolve(&self, scratch: &mut Scratch, z: usize, spectrum: &[Block], out: &mut [Block]) {
        let rows = (self.window.len() - z * z - 1)
            .isqrt()
            .min(self.radial.side / 2)
            + 1;
        let groups = rows.div_ceil(LANES);
        for block in 0..self.blocks {
            self.block_to_rows(scratch, [z, block], spectrum, groups);
        }
        for group in 0..groups {
            self.weigh(scratch, z, group);
        }
        for block in 0..self.blocks {
            self.rows_to_block(scratch, block, groups, out);
        }
    }

    /// Pairs of lines ±ky that the sphere reaches in a block.
    fn pairs(&self, block: usize) -> usize {
        let left = self.reach * self.reach - (block * LANES).pow(2);
        (left - 1).isqrt() + 1
    }

    /// Transforms a block along y and hands it over to the rows of the section.
    fn block_to_rows(
        &self,
        Scratch { lines, rows }: &mut Scratch,
        [z, block]: [usize; 2],
        spectrum: &[Block],
        groups: usize,
    ) {
        let side = self.radial.side;
        lines.clear();
        for pair in 0..self.pairs(block) {
            let from = pair * self.spectrum_of_pair() + z * 2 * self.blocks + block;
            lines.set_value(pair, spectrum[from]);
            if pair > 0 {
                lines.set_value(side - pair, spectrum[from + self.blocks]);
            }
        }
        self.transform.inverse(lines);
        for group in 0..groups {
            let at = (group * self.blocks + block) * LANES;
            for row in 0..LANES {
                // Rows beyond the last have no weight.
                let y = (group * LANES + row) % side;
                for (rows, y) in rows.iter_mut().zip([y, (side - y) % side]) {
                    let (re, im) = (&lines.re[y], &lines.im[y]);
                    for (lane, value) in rows[at..at + LANES].iter_mut().enumerate() {
                        value[0][row] = re[lane];
                        value[1][row] = im[lane];
                    }
                }
            }
        }
    }

    /// Transforms rows y and −y along x, multiplies them with the blob's transform, and transforms them back.
    fn weigh(&self, Scratch { lines, rows }: &mut Scratch, z: usize, group: usize) {
        let side = self.radial.side;
        let from = group * self.blocks * LANES;
        let [above, below] = rows.each_mut().map(|rows| &mut rows[from..][..self.reach]);
        lines.clear();
        for (x, (above, below)) in above.iter().zip(&*below).enumerate() {
            lines.set_pair(x, above, below);
        }
        self.transform.inverse(lines);
        let distance2: [usize; LANES] =
            std::array::from_fn(|row| z * z + (group * LANES + row).pow(2));
        for x in 0..side {
            let x2 = logical(x, side).pow(2) as usize;
            for (row, distance2) in distance2.iter().enumerate() {
                let factor = self.window.get(distance2 + x2).copied().unwrap_or(0.0);
                lines.re[x][row] *= factor;
                lines.im[x][row] *= factor;
            }
        }
        self.transform.forward(lines);
        for (x, (above, below)) in above.iter_mut().zip(below).enumerate() {
            [*above, *below] = lines.pair(x);
        }
    }

    /// Takes a block from the rows of the section and transforms it back along y.
    fn rows_to_block(
        &self,
        Scratch { lines, rows }: &mut Scratch,
        block: usize,
        groups: usize,
        out: &mut [Block],
    ) {
        let side = self.radial.side;
        lines.clear();
        for group in 0..groups {
            let at = (group * self.blocks + block) * LANES;
            for row in 0..LANES.min(side / 2 + 1 - group * LANES) {
                let y = group * LANES + row;
                for (rows, y) in rows.iter().zip([y, (side - y) % side]) {
                    for (lane, value) in rows[at..at + LANES].iter().enumerate() {
                        lines.re[y][lane] = value[0][row];
                        lines.im[y][lane] = value[1][row];
                    }
                }
            }
        }
        self.transform.forward(lines);
        for pair in 0..self.pairs(block) {
            let place = |ky: usize| ky * self.blocks + block;
            out[place(self.reach - 1 + pair)] = lines.value(pair);
            out[place(self.reach - 1 - pair)] = lines.value((side - pair) % side);
        }
    }

    /// The densities in the layout of the sums.
    fn in_order_of_the_sums(&self, density: &[[f64; LANES]]) -> Vec<f64> {
        let (radial, width) = (self.radial, self.radial.half as usize + 1);
        let mut out = vec![0.0; self.weight.len()];
        let plane = radial.plane();
        out.par_chunks_mut(plane).enumerate().for_each(|(z, out)| {
            let kz = z as i64 - radial.half;
            if kz.unsigned_abs() as usize >= self.reach {
                return;
            }
            let index = (kz + self.reach as i64 - 1) as usize;
            for ky in 1 - self.reach as i64..self.reach as i64 {
                let pair = ky.unsigned_abs() as usize;
                let out = &mut out[(ky + radial.half) as usize * width..][..width];
                for (block, out) in out.chunks_mut(LANES).take(self.blocks).enumerate() {
                    let both = pair * self.density_of_pair()
                        + (block * self.frequencies() + index) * 2
                        + usize::from(ky < 0);
                    out.copy_from_slice(&density[both][..out.len()]);
                }
            }
        });
        out
    }
}
