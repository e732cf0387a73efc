//! The two walks of a round, each over the data of one thread's share.

use super::{Mates, Products, Rounds, Scratch};
use crate::fourier::odd_transform::{LANES, Lines};
use ndarray::{ArrayView1, ArrayViewMut1, ArrayViewMut2};
use pulp::NullaryFnOnce;

/// Lines along z of a pair ±ky.
pub(super) struct AlongZ<'a> {
    pub rounds: &'a Rounds<'a>,
    pub lines: &'a mut Lines,
    pub pair: usize,
    pub products: &'a mut [Products],
    /// Values of the pair, by section and block.
    pub sections: ArrayViewMut2<'a, Mates>,
    /// There is nothing to divide by yet.
    pub is_first: bool,
    /// Nothing follows on the division.
    pub is_last: bool,
}

impl NullaryFnOnce for AlongZ<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self {
            rounds,
            lines,
            products,
            mut sections,
            ..
        } = self;
        let frequencies = rounds.layout.frequencies();
        for block in rounds.layout.active(self.pair) {
            let products = &mut products[block * frequencies..][..frequencies];
            let sections = sections.column_mut(block);
            if !self.is_first {
                rounds.divide(lines, sections.view(), products);
            }
            if !self.is_last {
                rounds.spread(lines, products, sections);
            }
        }
    }
}

/// A section of real space.
pub(super) struct Section<'a> {
    pub rounds: &'a Rounds<'a>,
    pub scratch: &'a mut Scratch,
    pub z: usize,
    /// Its values, by block and pair of lines ±ky.
    pub values: ArrayViewMut2<'a, Mates>,
}

impl NullaryFnOnce for Section<'_> {
    type Output = ();

    /// Along y and x, times the blob's transform, and back.
    #[inline(always)]
    fn call(self) {
        let Self {
            rounds,
            scratch,
            z,
            mut values,
        } = self;
        let window = rounds.window.len() - 1;
        let last = (window - z * z - 1).isqrt().min(rounds.radial.side / 2);
        let groups = (last + 1).div_ceil(LANES);
        for block in 0..rounds.layout.blocks {
            rounds.block_to_rows(scratch, block, values.row(block), groups);
        }
        for group in 0..groups {
            rounds.weigh(scratch, z, group);
        }
        for block in 0..rounds.layout.blocks {
            rounds.rows_to_block(scratch, block, groups, values.row_mut(block));
        }
    }
}

impl Rounds<'_> {
    /// Place in a line of index `index` of the products.
    #[inline(always)]
    fn place(&self, index: usize) -> usize {
        let (reach, side) = (self.layout.reach, self.radial.side);
        match index + 1 < reach {
            true => index + 1 + side - reach,
            false => index + 1 - reach,
        }
    }

    /// D·W of a pair of lines and a block, transformed along z to the sections of real space.
    #[inline(always)]
    fn spread(&self, lines: &mut Lines, products: &[Products], mut out: ArrayViewMut1<Mates>) {
        lines.clear_from(self.layout.reach);
        for (index, both) in products.iter().enumerate() {
            lines.set_value(self.place(index), *both);
        }
        self.transform.inverse(lines);
        for z in 0..self.layout.sections {
            out[z] = lines.pair(z);
        }
    }

    /// D·W / max(10⁻⁶, |C|), C being the convolved values of every section, transformed back along z. D·W is 0 outside of the sphere and stays so.
    #[inline(always)]
    fn divide(&self, lines: &mut Lines, convolved: ArrayView1<Mates>, products: &mut [Products]) {
        lines.clear_from(self.layout.sections);
        for z in 0..self.layout.sections {
            let [above, below] = &convolved[z];
            lines.set_pair(z, above, below);
        }
        self.transform.forward(lines);
        for (index, both) in products.iter_mut().enumerate() {
            let convolved = lines.value(self.place(index));
            for side in 0..2 {
                for lane in 0..LANES {
                    both[side][lane] /= convolved[side][lane].abs().max(1e-6);
                }
            }
        }
    }

    /// Transforms a block along y and hands it over to the rows of the section.
    #[inline(always)]
    fn block_to_rows(
        &self,
        Scratch { lines, rows }: &mut Scratch,
        block: usize,
        spectrum: ArrayView1<Mates>,
        groups: usize,
    ) {
        let (layout, side) = (&self.layout, self.radial.side);
        let pairs = layout.pairs(block);
        lines.clear_from(pairs);
        for pair in 0..pairs {
            let [above, below] = spectrum[pair];
            lines.set_value(pair, above);
            if pair > 0 {
                lines.set_value(side - pair, below);
            }
        }
        self.transform.inverse(lines);
        for group in 0..groups {
            let from = (group * layout.blocks + block) * LANES;
            let rows = &mut rows[from..from + LANES];
            // Rows beyond the last have no weight.
            let first = group * LANES;
            for (part, values) in [&lines.re, &lines.im].into_iter().enumerate() {
                let (mut above, mut below) = ([[0.0; LANES]; LANES], [[0.0; LANES]; LANES]);
                for (row, (above, below)) in above.iter_mut().zip(&mut below).enumerate() {
                    let y = (first + row) % side;
                    (*above, *below) = (values[y], values[(side - y) % side]);
                }
                let columns = transposed(&above).into_iter().zip(transposed(&below));
                for (row, (above, below)) in rows.iter_mut().zip(columns) {
                    row[0][part] = above;
                    row[1][part] = below;
                }
            }
        }
    }

    /// Transforms rows y and −y along x, multiplies them with the blob's transform, and transforms them back.
    #[inline(always)]
    fn weigh(&self, Scratch { lines, rows }: &mut Scratch, z: usize, group: usize) {
        let (layout, side) = (&self.layout, self.radial.side);
        let from = group * layout.blocks * LANES;
        let rows = &mut rows[from..from + layout.reach];
        lines.clear_from(layout.reach);
        for (x, [above, below]) in rows.iter().enumerate() {
            lines.set_pair(x, above, below);
        }
        self.transform.inverse(lines);
        let end = self.window.len() - 1;
        for x in 0..=side / 2 {
            let mut factors = [0.0; LANES];
            for (row, factor) in factors.iter_mut().enumerate() {
                let distance2 = z * z + (group * LANES + row).pow(2) + x * x;
                *factor = self.window[distance2.min(end)];
            }
            lines.multiply(x, &factors);
            if x > 0 {
                lines.multiply(side - x, &factors);
            }
        }
        self.transform.forward(lines);
        for (x, both) in rows.iter_mut().enumerate() {
            *both = lines.pair(x);
        }
    }

    /// Takes a block from the rows of the section and transforms it back along y.
    #[inline(always)]
    fn rows_to_block(
        &self,
        Scratch { lines, rows }: &mut Scratch,
        block: usize,
        groups: usize,
        mut out: ArrayViewMut1<Mates>,
    ) {
        let (layout, side) = (&self.layout, self.radial.side);
        lines.clear_from((groups * LANES).min(side / 2 + 1));
        for group in 0..groups {
            let from = (group * layout.blocks + block) * LANES;
            let rows = &rows[from..from + LANES];
            let first = group * LANES;
            let known = LANES.min(side / 2 + 1 - first);
            for (part, values) in [&mut lines.re, &mut lines.im].into_iter().enumerate() {
                let (mut above, mut below) = ([[0.0; LANES]; LANES], [[0.0; LANES]; LANES]);
                for (row, (above, below)) in rows.iter().zip(above.iter_mut().zip(&mut below)) {
                    (*above, *below) = (row[0][part], row[1][part]);
                }
                let rows = transposed(&above).into_iter().zip(transposed(&below));
                for (row, (above, below)) in rows.take(known).enumerate() {
                    let y = first + row;
                    values[y] = above;
                    values[(side - y) % side] = below;
                }
            }
        }
        self.transform.forward(lines);
        for pair in 0..layout.pairs(block) {
            let mate = (side - pair) % side;
            out[pair] = [lines.value(pair), lines.value(mate)];
        }
    }
}

/// Rows as columns.
#[inline(always)]
fn transposed(tile: &[[f64; LANES]; LANES]) -> [[f64; LANES]; LANES] {
    let mut out = [[0.0; LANES]; LANES];
    for row in 0..LANES {
        for column in 0..LANES {
            out[column][row] = tile[row][column];
        }
    }
    out
}
