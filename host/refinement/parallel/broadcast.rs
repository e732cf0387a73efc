//! Results that one rank worked out become those of all.

use crate::comm::Ranks;
use crate::fourier::shape::VolumeShape;
use crate::model::{ClassModel, Moments};
use crate::refinement::state::RunState;
use ndarray::Array3;
use rayon::prelude::*;

/// Give all ranks the class that rank `root` reconstructed. A collective.
pub fn broadcast_class(ranks: &Ranks, root: usize, class: &mut ClassModel) {
    broadcast_map(ranks, root, &mut class.map);
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
pub fn broadcast_map(ranks: &Ranks, root: usize, map: &mut Array3<f64>) {
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
pub fn broadcast_moments(
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
pub fn broadcast_state(ranks: &Ranks, state: &mut RunState) {
    let flag = |value: bool| f64::from(u8::from(value));
    let mut numbers = [
        state.current_resolution,
        state.best_resolution,
        state.accuracy_rotations,
        state.accuracy_translations,
        state.changes_orientations,
        state.changes_offsets,
        state.changes_classes,
        state.smallest_orientations,
        state.smallest_offsets,
        state.iteration as f64,
        state.current_size as f64,
        state.increment_size as f64,
        state.iterations_without_gain as f64,
        state.iterations_without_changes as f64,
        state.smallest_classes as f64,
        flag(state.high_fsc_at_limit),
        flag(state.fine_enough),
        flag(state.converged),
        flag(state.references_ctf_corrected),
        flag(state.local_searches),
        f64::from(state.random_seed),
    ];
    ranks.broadcast(0, &mut numbers);
    let [
        current_resolution,
        best_resolution,
        accuracy_rotations,
        accuracy_translations,
        changes_orientations,
        changes_offsets,
        changes_classes,
        smallest_orientations,
        smallest_offsets,
        iteration,
        current_size,
        increment_size,
        iterations_without_gain,
        iterations_without_changes,
        smallest_classes,
        high_fsc_at_limit,
        fine_enough,
        converged,
        references_ctf_corrected,
        local_searches,
        random_seed,
    ] = numbers;
    *state = RunState {
        iteration: iteration as usize,
        current_resolution,
        current_size: current_size as usize,
        increment_size: increment_size as usize,
        high_fsc_at_limit: high_fsc_at_limit != 0.0,
        iterations_without_gain: iterations_without_gain as usize,
        iterations_without_changes: iterations_without_changes as usize,
        best_resolution,
        accuracy_rotations,
        accuracy_translations,
        changes_orientations,
        changes_offsets,
        changes_classes,
        smallest_orientations,
        smallest_offsets,
        smallest_classes: smallest_classes as i64,
        fine_enough: fine_enough != 0.0,
        converged: converged != 0.0,
        references_ctf_corrected: references_ctf_corrected != 0.0,
        local_searches: local_searches != 0.0,
        random_seed: random_seed as u32,
        // They follow from the schedule.
        gradient: state.gradient,
        step_size: state.step_size,
        subset_size: state.subset_size,
        subsets: std::mem::take(&mut state.subsets),
        iterations_after_convergence: state.iterations_after_convergence,
        seeds_due: state.seeds_due,
        references_made: state.references_made,
    };
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
