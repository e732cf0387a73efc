//! Rounds of density compensation: D ← D / |(D·W) ⊛ blob|, in two walks over the data per round (spec 02 §2.3).
//!
//! Weights are real, and equal at v and −v, so D·W is real and even in Fourier space and in real space: half of either is enough, and two
//! real lines are transformed as one complex line. Voxels outside the sphere of the sums, or farther away than the blob's transform
//! reaches, are neither transformed nor asked for. One walk takes the lines along z: back from the last round, division, there for the next.
//! The other takes the sections of real space: along y, along x, times the blob's transform, and back. Between the walks values wait in one array
//! of sections; either walk puts its results in the place of the values that it took, while these are in the cache.
//!
//! The rounds change D·W in place of D, which is D·W / W in the end: dividing one is dividing the other, and the weights need not be read in
//! every round. All steps of a walk are compiled for the widest vectors of the machine, which hold a value of every line of a block.

mod layout;
mod walks;

use super::blob_window;
use crate::fourier::odd_transform::{Block, LANES, Lines, OddTransform};
use crate::maximization::radial::Radial;
use layout::Layout;
use ndarray::parallel::prelude::*;
use ndarray::{Array3, Axis};
use pulp::Arch;
use rayon::prelude::ParallelSliceMut;
use walks::{AlongZ, Section};

pub use layout::bytes;

/// Values of a block at ky and at −ky, or at y and −y.
type Mates = [Block; 2];

/// D·W of a block at ky and at −ky.
pub(super) type Products = [[f64; LANES]; 2];

/// What all rounds share. Lines are taken in pairs (ky, −ky), pair j having ky = j, and in blocks of [`LANES`] neighbours kx.
pub(super) struct Rounds<'a> {
    radial: &'a Radial,
    transform: OddTransform,
    /// The blob's transform at every squared distance up to its end, over the number of voxels; then a 0.
    window: Vec<f64>,
    layout: Layout,
}

/// Working space of a thread.
struct Scratch {
    lines: Lines,
    /// Of a section, for blocks of [`LANES`] rows y and for their mates −y: values kx.
    rows: Vec<Mates>,
}

impl<'a> Rounds<'a> {
    pub(super) fn new(radial: &'a Radial, padded_box: usize) -> Self {
        let mut window = blob_window(radial.side, padded_box);
        let layout = Layout::new(radial.side, radial.radius2, window.len());
        window.push(0.0);
        Self {
            radial,
            transform: OddTransform::new(radial.side),
            window,
            layout,
        }
    }

    /// Returns D·W after `iterations` rounds.
    pub(super) fn run(&self, weight: &[f64], iterations: usize) -> Vec<Products> {
        let layout = &self.layout;
        let mut products = self.begin(weight);
        let mut sections = Array3::<Mates>::default((layout.sections, layout.blocks, layout.reach));
        for round in 0..=iterations {
            products
                .par_chunks_mut(layout.products_of_pair())
                .zip(sections.axis_iter_mut(Axis(2)))
                .enumerate()
                .for_each_init(
                    || Lines::new(self.radial.side),
                    |lines, (pair, (products, mut sections))| {
                        Arch::new().dispatch(AlongZ {
                            rounds: self,
                            lines,
                            pair,
                            products,
                            sections: sections.view_mut(),
                            is_first: round == 0,
                            is_last: round == iterations,
                        });
                    },
                );
            if round == iterations {
                break;
            }
            sections
                .axis_iter_mut(Axis(0))
                .into_par_iter()
                .enumerate()
                .for_each_init(
                    || Scratch {
                        lines: Lines::new(self.radial.side),
                        rows: vec![Default::default(); layout.rows_of_section()],
                    },
                    |scratch, (z, mut values)| {
                        Arch::new().dispatch(Section {
                            rounds: self,
                            scratch,
                            z,
                            values: values.view_mut(),
                        });
                    },
                );
        }
        products
    }

    /// Returns W within the sphere, 0 outside, in the order of the rounds: D is 1.
    fn begin(&self, weight: &[f64]) -> Vec<Products> {
        let layout = &self.layout;
        let mut products = vec![[[0.0; LANES]; 2]; layout.reach * layout.products_of_pair()];
        products
            .par_chunks_mut(layout.products_of_pair())
            .enumerate()
            .for_each(|(pair, products)| {
                for block in layout.active(pair) {
                    let products = &mut products[block * layout.frequencies()..];
                    for (index, both) in products[..layout.frequencies()].iter_mut().enumerate() {
                        let kz = layout.frequency(index);
                        let inside = layout.lanes_inside(kz, pair, block);
                        for (values, ky) in both.iter_mut().zip([pair as i64, -(pair as i64)]) {
                            let from = self.row(kz, ky) + block * LANES;
                            values[..inside].copy_from_slice(&weight[from..from + inside]);
                        }
                    }
                }
            });
        products
    }

    /// Index of the voxel (0, ky, kz) of the sums.
    fn row(&self, kz: i64, ky: i64) -> usize {
        let half = self.radial.half;
        let row = (kz + half) * self.radial.side as i64 + ky + half;
        row as usize * (half as usize + 1)
    }

    /// Calls `f` with every plane of `values`, which is in the order of the sums, and D of its voxels: 0 outside of the sphere, and where the
    /// weight is 0.
    pub(super) fn for_each_plane<T: Send>(
        &self,
        products: &[Products],
        weight: &[f64],
        values: &mut [T],
        f: impl Fn(&mut [T], &[f64]) + Sync,
    ) {
        let plane = self.radial.plane();
        values.par_chunks_mut(plane).enumerate().for_each_init(
            || vec![0.0; plane],
            |densities, (z, values)| {
                let kz = z as i64 - self.radial.half;
                self.divide_by_weights(kz, products, &weight[z * plane..][..plane], densities);
                f(values, densities);
            },
        );
    }

    /// Divides the products of a plane by its weights.
    fn divide_by_weights(
        &self,
        kz: i64,
        products: &[Products],
        weight: &[f64],
        densities: &mut [f64],
    ) {
        let (layout, half) = (&self.layout, self.radial.half);
        let reach = layout.reach as i64;
        densities.fill(0.0);
        if kz.abs() >= reach {
            return;
        }
        let index = (kz + reach - 1) as usize;
        for ky in 1 - reach..reach {
            let pair = ky.unsigned_abs() as usize;
            let row = (ky + half) as usize * (half as usize + 1);
            for block in layout.active(pair) {
                let at = pair * layout.products_of_pair() + block * layout.frequencies() + index;
                let inside = layout.lanes_inside(kz, pair, block);
                let from = row + block * LANES;
                let weight = &weight[from..from + inside];
                let densities = &mut densities[from..from + inside];
                let products = &products[at][usize::from(ky < 0)];
                for ((density, product), w) in densities.iter_mut().zip(products).zip(weight) {
                    *density = if *w == 0.0 { 0.0 } else { product / w };
                }
            }
        }
    }
}
