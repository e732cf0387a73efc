//! Results that one rank worked out become those of all.

use crate::comm::Ranks;
use crate::fourier::shape::VolumeShape;
use crate::model::{ClassModel, Moments};
use crate::refinement::state::{Declared, RunState};
use ndarray::Array3;
use rayon::prelude::*;
use std::sync::Arc;

/// Give all ranks the class that rank `root` reconstructed. A collective.
pub(crate) fn broadcast_class(ranks: &Ranks, root: usize, class: &mut ClassModel) {
    if ranks.size() > 1 {
        broadcast_map(ranks, root, Arc::make_mut(&mut class.map));
    }
    let spectra = [
        &mut class.tau2,
        &mut class.sigma2,
        &mut class.ssnr,
        &mut class.coverage,
        &mut class.fsc,
    ];
    for spectrum in spectra {
        ranks.broadcast_list(root, spectrum);
    }
    ranks.broadcast(root, std::slice::from_mut(&mut class.fraction));
}

/// Give all ranks the map that rank `root` has; the maps of all have one shape. A collective.
pub(crate) fn broadcast_map(ranks: &Ranks, root: usize, map: &mut Array3<f64>) {
    if ranks.size() == 1 {
        return;
    }
    if !map.is_standard_layout() {
        *map = map.as_standard_layout().into_owned();
    }
    let values = map.as_slice_mut().expect("standard layout");
    // What a device made is single precision: half the bytes say the same.
    let single = |values: &[f64]| values.par_iter().all(|&v| f64::from(v as f32) == v);
    let mut narrow = [u8::from(ranks.rank() == root && single(values))];
    ranks.broadcast(root, &mut narrow);
    if narrow == [0] {
        ranks.broadcast(root, values);
        return;
    }
    let mut narrow: Vec<f32> = values.par_iter().map(|&v| v as f32).collect();
    ranks.broadcast(root, &mut narrow);
    if ranks.rank() != root {
        let pairs = values.par_iter_mut().zip(&narrow);
        pairs.for_each(|(value, &v)| *value = f64::from(v));
    }
}

/// Give all ranks the moments of a class that rank `root` has. A collective.
pub(crate) fn broadcast_moments(
    ranks: &Ranks,
    root: usize,
    class: &mut ClassModel,
    smallest: VolumeShape,
) {
    if ranks.size() == 1 {
        return;
    }
    let moments = class.moments.get_or_insert_with(|| Moments::new(smallest));
    let mut reach = [moments.shape.r_max as f64];
    ranks.broadcast(root, &mut reach);
    let shape = VolumeShape::new(
        smallest.dimensions,
        smallest.box_size,
        smallest.padding,
        2 * reach[0] as usize,
    );
    if shape != moments.shape {
        *moments = Moments::new(shape);
    }
    for first in &mut moments.first {
        ranks.broadcast(root, first);
    }
    ranks.broadcast(root, &mut moments.second);
}

/// Give all ranks the counters and flags of rank 0: machines of another kind may round what they follow from
/// differently. A collective.
pub(crate) fn broadcast_state(ranks: &Ranks, state: &mut RunState) {
    let mut numbers = state.numbers();
    ranks.broadcast(0, &mut numbers);
    state.set_numbers(&numbers);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comm::tests::on_ranks;

    #[test]
    fn all_ranks_have_the_map_of_one_to_the_last_bit() {
        // A third is no number of single precision, a half is.
        for value in [1.0 / 3.0, 0.5] {
            let found = on_ranks(3, |ranks| {
                let mut map = Array3::zeros((2, 3, 4));
                if ranks.rank() == 1 {
                    map.fill(value);
                }
                broadcast_map(&ranks, 1, &mut map);
                map
            });
            assert!(found.iter().flatten().all(|v| *v == value));
        }
    }

    #[test]
    fn all_ranks_have_the_state_of_the_first() {
        let mut expected = RunState::new(u32::MAX);
        expected.current_resolution = 1.0 / 3.0;
        expected.smallest_classes = -3;
        expected.local_searches = true;
        expected.iterations_after_convergence = Some(2);
        let found = on_ranks(2, |ranks| {
            let mut state = match ranks.rank() {
                0 => expected.clone(),
                _ => RunState::new(7),
            };
            broadcast_state(&ranks, &mut state);
            state
        });
        assert_eq!(found, [expected.clone(), expected]);
    }
}
