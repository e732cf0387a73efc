//! Where a run stands: counters, flags and sizes that change from iteration to iteration
//! (the changing part of `_optimiser.star`, spec 03 §1.4; rules in spec 01 §1.8, §7.7 and spec 02 §4–5).

pub(crate) mod declare;

use crate::dataset::Fingerprint;

pub(crate) use declare::{Declared, all_digits, declare_state};

/// Smallest class change before any iteration has been counted.
pub const NO_CLASS_CHANGE_YET: i64 = 9_999_999;
/// Smallest angle (degrees) and offset (Å) changes before any iteration has been counted.
pub const NO_CHANGE_YET: f64 = 999.0;

declare_state! {
    /// Changing state of a run. A field that names no column is one of RELION's own columns of the optimiser table.
    #[derive(Debug, Clone, PartialEq)]
    pub struct RunState {
        shared {
            /// Iteration finished last (0 = start-up).
            iteration: usize = 0;
            /// Current resolution ν, 1/Å.
            current_resolution: f64 = 0.0, Required("gerelionCurrentResolution");
            /// S, pixels.
            current_size: usize = 0, Required("gerelionCurrentImageSize");
            /// `rlnIncrementImageSize`.
            increment_size: usize = 10;
            /// `rlnHasHighFscAtResolLimit`.
            high_fsc_at_limit: bool = false;
            /// `rlnNumberOfIterWithoutResolutionGain`.
            iterations_without_gain: usize = 0;
            /// `rlnNumberOfIterWithoutChangingAssignments`.
            iterations_without_changes: usize = 0;
            /// `rlnBestResolutionThusFar`, 1/Å.
            best_resolution: f64 = 1.0 / 999.0, Required("gerelionBestResolution");
            /// `rlnOverallAccuracyRotations`, degrees.
            accuracy_rotations: f64 = 999.0, Required("gerelionAccuracyRotations");
            /// `rlnOverallAccuracyTranslationsAngst`, Å.
            accuracy_translations: f64 = 999.0, Required("gerelionAccuracyTranslations");
            /// `rlnChangesOptimalOrientations`, degrees.
            changes_orientations: f64 = NO_CHANGE_YET, Required("gerelionChangesOrientations");
            /// `rlnChangesOptimalOffsets`, Å.
            changes_offsets: f64 = NO_CHANGE_YET, Required("gerelionChangesOffsets");
            /// `rlnChangesOptimalClasses`, fraction.
            changes_classes: f64 = NO_CLASS_CHANGE_YET as f64, Required("gerelionChangesClasses");
            /// `rlnSmallestChangesOrientations`.
            smallest_orientations: f64 = NO_CHANGE_YET, Required("gerelionSmallestOrientations");
            /// `rlnSmallestChangesOffsets`.
            smallest_offsets: f64 = NO_CHANGE_YET, Required("gerelionSmallestOffsets");
            /// `rlnSmallestChangesClasses` (rounded).
            smallest_classes: i64 = NO_CLASS_CHANGE_YET;
            /// The angular sampling is as fine as the accuracy warrants.
            fine_enough: bool = false, Required("gerelionFineEnoughSampling");
            /// `rlnHasConverged`.
            converged: bool = false;
            /// Iterations since the criteria of convergence were met first (`--extra_iter`); None before.
            iterations_after_convergence: Option<usize> = None, Optional("gerelionIterationsAfterConvergence");
            /// References count as CTF corrected.
            references_ctf_corrected: bool = true;
            /// Local searches are on.
            local_searches: bool = false, Required("gerelionLocalSearches");
            /// The seed in use (`rlnRandomSeed`).
            random_seed: u32 = 0;
            /// The iteration steps along a gradient (`rlnDoStochasticGradientDescent`).
            gradient: bool = false;
            /// η (`rlnGradCurrentStepsize`); 0 without `--grad`.
            step_size: f64 = 0.0;
            /// `rlnSgdSubsetSize`: particles of the iteration, −1 for all; 0 before the first of a gradient run.
            subset_size: i64 = -1;
            /// Classes are copies of one map and still have to be made different (spec 01 §2.5).
            seeds_due: bool = false, Optional("gerelionSeedsDue");
            /// The first references were made from the images, not given by `--ref`.
            references_made: bool = false, Optional("gerelionFirstReferencesMade");
        }
        local {
            /// Subsets of all iterations of a gradient run so far.
            subsets: Vec<Subset> = Vec::new();
            /// Fingerprints of the optics, CTFs and images, on the first rank.
            inputs: Vec<Fingerprint> = Vec::new();
        }
    }
}

/// The particles of an iteration of a gradient run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Subset {
    /// Number of the iteration.
    pub iteration: usize,
    /// How many; None: all.
    pub size: Option<usize>,
}

impl RunState {
    /// Returns the state before the first iteration of a fresh run.
    pub fn new(random_seed: u32) -> Self {
        Self {
            random_seed,
            ..Self::initial()
        }
    }

    /// Take over a newly estimated resolution (1/Å), counting iterations without gain (spec 02 §4.1).
    pub fn update_resolution(&mut self, resolution: f64) {
        const TOLERANCE: f64 = 0.0001;
        self.iterations_without_gain = if resolution <= self.current_resolution + TOLERANCE {
            self.iterations_without_gain + 1
        } else {
            0
        };
        self.current_resolution = resolution;
        self.best_resolution = self.best_resolution.max(resolution);
    }
}
