//! `_optimiser.star`: the options and the state of the run, and the names of all other files (spec 03 §1.4).

use crate::dataset::Fingerprint;
use crate::formats::star::columns::{Length, columns, push_cells};
use crate::formats::star::{Document, Table, Value};
use crate::geometry::sampling::Sampling;
use crate::refinement::checkpoint::fingerprint_tables::{self, INPUTS, RESULTS};
use crate::refinement::checkpoint::gerelion_state;
use crate::refinement::settings::Settings;
use crate::refinement::start_up::last_iteration;
use crate::refinement::state::RunState;
use std::path::PathBuf;

/// Names of the files that an optimiser file points to, and the facts of other files that its columns need.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files {
    /// Model, or that of half 1.
    pub model: String,
    /// Model of half 2.
    pub model2: Option<PathBuf>,
    /// Particles.
    pub data: String,
    /// Sampling.
    pub sampling: String,
    /// `rlnCurrentIteration`; −1 in the final file of an auto-refinement.
    pub iteration: i64,
    /// `rlnParticleDiameter` of a run without `--particle_diameter`, Å.
    pub default_diameter: f64,
    /// Scale groups of the particles; with a single one, scale correction is off.
    pub scale_groups: usize,
    /// [`ParticleSet::fingerprint`](crate::dataset::ParticleSet::fingerprint) of the particles.
    pub particles: Option<String>,
    /// Fingerprints of the model files.
    pub results: Vec<Fingerprint>,
    /// Accuracy of translations as read: old files have it in pixels.
    pub accuracy_translations: Option<Length>,
}

columns! {
    /// RELION's table of the optimiser file.
    pub(crate) struct General(settings: Settings, state: RunState, files: Files) {
        Required "rlnOutputRootName" = settings.output_root;
        Required "rlnModelStarFile" = files.model;
        Optional "rlnModelStarFile2" [files.model2.as_deref().map(|path| Value::from(path.display().to_string()))]
            => |file: Option<PathBuf>| files.model2 = file;
        Required "rlnExperimentalDataStarFile" = files.data;
        Written "rlnTomoTomogramsFile" [""];
        Written "rlnTomoTrajectoriesFile" [""];
        Required "rlnOrientSamplingStarFile" = files.sampling;
        Required "rlnCurrentIteration" = files.iteration;
        Required "rlnNumberOfIterations" [last_iteration(settings)] => |n: usize| settings.iterations = Some(n);
        Required "rlnDoSplitRandomHalves" [files.model2.is_some()] => |split: bool| settings.split_random_halves = split;
        Required "rlnJoinHalvesUntilThisResolution" = settings.low_resol_join_halves;
        Required "rlnAdaptiveOversampleOrder" = settings.oversampling;
        Required "rlnAdaptiveOversampleFraction" = settings.adaptive_fraction;
        Required "rlnRandomSeed" [state.random_seed] => |seed: i64| {
            state.random_seed = seed as u32;
            settings.random_seed = Some(seed as u32);
        };
        Required "rlnParticleDiameter" [settings.particle_diameter.unwrap_or(files.default_diameter)]
            => |diameter: Option<f64>| settings.particle_diameter = diameter;
        Required "rlnWidthMaskEdge" [settings.mask_edge as i64] => |width: f64| settings.mask_edge = width;
        Required "rlnDoZeroMask" = settings.zero_mask;
        Required "rlnDoSolventFlattening" = settings.flatten_solvent;
        Optional "rlnDoSolventFscCorrection" = settings.solvent_correct_fsc;
        Required "rlnSolventMaskName" = settings.solvent_mask;
        Required "rlnSolventMask2Name" = settings.solvent_mask2;
        Written "rlnBodyStarFile" ["None"];
        Required "rlnTauSpectrumName" = settings.tau_spectrum;
        Required "rlnMaximumCoarseImageSize" = settings.max_coarse_size;
        Required "rlnHighresLimitExpectation" = settings.strict_highres;
        Optional "rlnLowresLimitExpectation" = settings.strict_lowres;
        Required "rlnIncrementImageSize" [state.increment_size] => |shells: usize| {
            state.increment_size = shells;
            settings.increment_size = shells;
        };
        Required "rlnDoMapEstimation" [!settings.no_map] => |regularised: bool| settings.no_map = !regularised;
        Optional "rlnDoFastSubsetOptimisation" = settings.fast_subsets;
        Optional "rlnDoExternalReconstruct" = settings.maps.external;
        Optional "rlnDoBlush" = settings.maps.blush;
        Optional "rlnBlushNoSpectralTrailing" = settings.maps.skip_spectral_trailing;
        Optional "rlnDoGradientRefine" = settings.gradient.on;
        Optional "rlnDoStochasticGradientDescent" = state.gradient;
        Where(settings.gradient.on) "rlnGradEmIters" = settings.gradient.em_iterations;
        Written "rlnGradHasConverged" [false];
        Optional "rlnGradCurrentStepsize" = state.step_size;
        Written "rlnGradSubsetOrder" [0usize];
        Written "rlnGradSuspendFinerSamplingIter" [-1i64];
        Written "rlnGradSuspendLocalSamplingIter" [-1i64];
        Where(settings.gradient.on) "rlnSgdInitialIterationsFraction" = settings.gradient.initial_fraction;
        Where(settings.gradient.on) "rlnSgdFinalIterationsFraction" = settings.gradient.last_fraction;
        Where(settings.gradient.on) "rlnSgdMinimumResolution" = settings.gradient.minimum_resolution;
        Where(settings.gradient.on) "rlnSgdInitialResolution" = settings.gradient.initial_resolution;
        Where(settings.gradient.on) "rlnSgdFinalResolution" = settings.gradient.last_resolution;
        Where(settings.gradient.on) "rlnSgdInitialSubsetSize" = settings.gradient.initial_subset;
        Where(settings.gradient.on) "rlnSgdFinalSubsetSize" = settings.gradient.last_subset;
        Where(settings.gradient.on) "rlnSgdMuFactor" [if settings.gradient.on { settings.gradient.momentum } else { 0.0 }]
            => |momentum: f64| settings.gradient.momentum = momentum;
        Written "rlnSgdSkipAnneal" [false];
        Where(settings.gradient.on) "rlnSgdClassInactivityThreshold" = settings.gradient.inactivity;
        Optional "rlnSgdSubsetSize" = state.subset_size;
        Where(settings.gradient.on) "rlnSgdWriteEverySubset" [settings.gradient.write_every]
            => |iterations: usize| settings.gradient.write_every = iterations.max(1);
        Where(settings.gradient.on) "rlnSgdStepsize" = settings.gradient.step_size;
        Where(settings.gradient.on) "rlnSgdStepsizeScheme" [settings.gradient.step_scheme]
            => |scheme: String| settings.gradient.step_scheme = unquoted(&scheme);
        Where(settings.gradient.on) "rlnTau2FudgeScheme" [settings.gradient.tau2_scheme]
            => |scheme: String| settings.gradient.tau2_scheme = unquoted(&scheme);
        Optional "rlnTau2FudgeArg" = settings.tau2_fudge;
        Optional "rlnMaximumSignificantPoses" = settings.max_significant;
        // An auto-refinement ends by itself; its number of iterations is no option.
        Required "rlnDoAutoRefine" [settings.auto_refine] => |automatic: bool| {
            settings.auto_refine = automatic;
            if automatic {
                settings.iterations = None;
            }
        };
        Optional "rlnDoAutoSampling" [settings.auto_refine || settings.auto_sampling]
            => |automatic: bool| settings.auto_sampling = automatic && !settings.auto_refine;
        Required "rlnAutoLocalSearchesHealpixOrder" = settings.auto_local_healpix_order;
        Required "rlnNumberOfIterWithoutResolutionGain" = state.iterations_without_gain;
        Required "rlnBestResolutionThusFar" = state.best_resolution;
        Required "rlnNumberOfIterWithoutChangingAssignments" = state.iterations_without_changes;
        Required "rlnDoSkipAlign" = settings.skip_align;
        Optional "rlnDoSkipRotate" = settings.skip_rotate;
        Required "rlnOverallAccuracyRotations" = state.accuracy_rotations;
        Required "rlnOverallAccuracyTranslationsAngst" [state.accuracy_translations]
            => |accuracy: Length| files.accuracy_translations = Some(accuracy);
        Required "rlnChangesOptimalOrientations" = state.changes_orientations;
        Required "rlnChangesOptimalOffsets" = state.changes_offsets;
        Required "rlnChangesOptimalClasses" = state.changes_classes;
        Required "rlnSmallestChangesOrientations" = state.smallest_orientations;
        Required "rlnSmallestChangesOffsets" = state.smallest_offsets;
        Required "rlnSmallestChangesClasses" = state.smallest_classes;
        Optional "rlnLocalSymmetryFile" = settings.maps.local_symmetry;
        // RELION's values for a run without helices.
        Written "rlnDoHelicalRefine" [false];
        Written "rlnIgnoreHelicalSymmetry" [false];
        Written "rlnFourierMask" ["None"];
        Written "rlnHelicalTwistInitial" [0.0];
        Written "rlnHelicalRiseInitial" [0.0];
        Written "rlnHelicalCentralProportion" [0.3];
        Written "rlnNrHelicalNStart" [1usize];
        Written "rlnHelicalMaskTubeInnerDiameter" [-1.0];
        Written "rlnHelicalMaskTubeOuterDiameter" [-1.0];
        Written "rlnHelicalSymmetryLocalRefinement" [false];
        Written "rlnHelicalSigmaDistance" [-1.0];
        Written "rlnHelicalKeepTiltPriorFixed" [false];
        Required "rlnHasConverged" [state.converged] => |_converged: bool| {};
        Required "rlnHasHighFscAtResolLimit" = state.high_fsc_at_limit;
        Required "rlnHasLargeSizeIncreaseIterationsAgo" [0usize] => |_iterations: usize| {};
        Required "rlnDoCorrectNorm" = settings.norm;
        Required "rlnDoCorrectScale" [settings.scale && files.scale_groups > 1] => |scale: bool| settings.scale = scale;
        Required "rlnDoCorrectCtf" = settings.ctf;
        Optional "rlnDoCenterClasses" = settings.center_classes;
        Required "rlnDoIgnoreCtfUntilFirstPeak" = settings.ctf_flags.intact_first_peak;
        Required "rlnCtfDataArePhaseFlipped" = settings.ctf_flags.phase_flipped;
        Required "rlnDoOnlyFlipCtfPhases" = settings.ctf_flags.only_flip_phases;
        Required "rlnRefsAreCtfCorrected" [state.references_ctf_corrected] => |corrected: bool| {
            state.references_ctf_corrected = corrected;
            settings.ctf_uncorrected_reference = !corrected;
        };
        Required "rlnFixSigmaNoiseEstimates" = settings.fix_sigma_noise;
        Required "rlnFixSigmaOffsetEstimates" = settings.fix_sigma_offset;
        Written "rlnMaxNumberOfPooledParticles" [settings.pool * settings.threads];
        Written "rlnOffsetRangeX" [-1.0];
        Written "rlnOffsetRangeY" [-1.0];
        Written "rlnOffsetRangeZ" [-1.0];
    }
}

/// Returns a word without the two quotes that stand for an empty one.
fn unquoted(word: &str) -> String {
    word.trim_matches('"').to_owned()
}

/// Contents of the optimiser file.
pub(super) struct Contents<'a> {
    /// Options.
    pub settings: &'a Settings,
    /// State.
    pub state: &'a RunState,
    /// Other files.
    pub files: Files,
    /// Sampling of the iteration.
    pub sampling: &'a Sampling,
    /// Iteration whose number seeded the processing order.
    pub order_iteration: usize,
}

/// Returns header lines, RELION's table, and our own with what RELION's cannot hold.
pub(super) fn document(contents: &Contents) -> Document {
    let (settings, state) = (contents.settings, contents.state);
    let mut general = Table::new_list("optimiser_general");
    push_cells(
        &mut general,
        General::cells(settings, state, &contents.files),
    );
    let exact = gerelion_state::Exact::of(contents.sampling, contents.order_iteration);
    let mut own = gerelion_state::table(settings, state, &exact);
    if let Some(particles) = &contents.files.particles {
        own.push(gerelion_state::PARTICLES, particles.as_str());
    }
    own.push(gerelion_state::SEED, i64::from(state.random_seed));
    let mut tables = vec![general, own];
    for (name, list) in [(INPUTS, &state.inputs), (RESULTS, &contents.files.results)] {
        if !list.is_empty() {
            tables.push(fingerprint_tables::table(name, list));
        }
    }
    if settings.gradient.on {
        tables.push(gerelion_state::subsets_table(&state.subsets));
    }
    Document {
        header: vec![
            format!(
                "RELION optimiser; version {}{}",
                gerelion_state::OWN,
                env!("CARGO_PKG_VERSION")
            ),
            format!("{} ", settings.command_line),
        ],
        tables,
    }
}
