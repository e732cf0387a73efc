//! Tools around the refinement: simulated data, map and run comparisons, subsets, machine check, bench rows.

pub mod simulate;
