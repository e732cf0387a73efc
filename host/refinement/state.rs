//! Where a run stands: counters, flags and sizes that change from iteration to iteration
//! (the changing part of `_optimiser.star`, spec 03 §1.4; rules in spec 01 §1.8, §7.7 and spec 02 §4–5).

/// Smallest class change before any iteration has been counted.
pub const NO_CLASS_CHANGE_YET: i64 = 9_999_999;
/// Smallest angle (degrees) and offset (Å) changes before any iteration has been counted.
pub const NO_CHANGE_YET: f64 = 999.0;

/// Changing state of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunState {
    /// Iteration finished last (0 = start-up).
    pub iteration: usize,
    /// Current resolution ν, 1/Å.
    pub current_resolution: f64,
    /// S, pixels.
    pub current_size: usize,
    /// `rlnIncrementImageSize`.
    pub increment_size: usize,
    /// `rlnHasHighFscAtResolLimit`.
    pub high_fsc_at_limit: bool,
    /// `rlnNumberOfIterWithoutResolutionGain`.
    pub iterations_without_gain: usize,
    /// `rlnNumberOfIterWithoutChangingAssignments`.
    pub iterations_without_changes: usize,
    /// `rlnBestResolutionThusFar`, 1/Å.
    pub best_resolution: f64,
    /// `rlnOverallAccuracyRotations`, degrees.
    pub accuracy_rotations: f64,
    /// `rlnOverallAccuracyTranslationsAngst`, Å.
    pub accuracy_translations: f64,
    /// `rlnChangesOptimalOrientations`, degrees.
    pub changes_orientations: f64,
    /// `rlnChangesOptimalOffsets`, Å.
    pub changes_offsets: f64,
    /// `rlnChangesOptimalClasses`, fraction.
    pub changes_classes: f64,
    /// `rlnSmallestChangesOrientations`.
    pub smallest_orientations: f64,
    /// `rlnSmallestChangesOffsets`.
    pub smallest_offsets: f64,
    /// `rlnSmallestChangesClasses` (rounded).
    pub smallest_classes: i64,
    /// The angular sampling is as fine as the accuracy warrants.
    pub fine_enough: bool,
    /// `rlnHasConverged`.
    pub converged: bool,
    /// Iterations since the criteria of convergence were met first (`--extra_iter`); None before.
    pub iterations_after_convergence: Option<usize>,
    /// References count as CTF corrected.
    pub references_ctf_corrected: bool,
    /// Local searches are on.
    pub local_searches: bool,
    /// The seed in use (`rlnRandomSeed`).
    pub random_seed: u32,
    /// The iteration steps along a gradient (`rlnDoStochasticGradientDescent`).
    pub gradient: bool,
    /// η (`rlnGradCurrentStepsize`); 0 without `--grad`.
    pub step_size: f64,
    /// `rlnSgdSubsetSize`: particles of the iteration, −1 for all; 0 before the first of a gradient run.
    pub subset_size: i64,
    /// Subsets of all iterations of a gradient run so far.
    pub subsets: Vec<Subset>,
    /// Classes are copies of one map and still have to be made different (spec 01 §2.5).
    pub seeds_due: bool,
    /// The first references were made from the images, not given by `--ref`.
    pub references_made: bool,
}

/// The particles of an iteration of a gradient run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subset {
    /// Number of the iteration.
    pub iteration: usize,
    /// How many; None: all.
    pub size: Option<usize>,
}

impl RunState {
    /// State before the first iteration of a fresh run.
    pub fn new(random_seed: u32) -> Self {
        Self {
            iteration: 0,
            current_resolution: 0.0,
            current_size: 0,
            increment_size: 10,
            high_fsc_at_limit: false,
            iterations_without_gain: 0,
            iterations_without_changes: 0,
            best_resolution: 1.0 / 999.0,
            accuracy_rotations: 999.0,
            accuracy_translations: 999.0,
            changes_orientations: NO_CHANGE_YET,
            changes_offsets: NO_CHANGE_YET,
            changes_classes: NO_CLASS_CHANGE_YET as f64,
            smallest_orientations: NO_CHANGE_YET,
            smallest_offsets: NO_CHANGE_YET,
            smallest_classes: NO_CLASS_CHANGE_YET,
            fine_enough: false,
            converged: false,
            iterations_after_convergence: None,
            references_ctf_corrected: true,
            local_searches: false,
            random_seed,
            gradient: false,
            step_size: 0.0,
            subset_size: -1,
            subsets: Vec::new(),
            seeds_due: false,
            references_made: false,
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
