//! `_optimiser.star`: the options and the state of the run, and the names of all other files (spec 03 §1.4).

use crate::formats::star::{Document, Table};
use crate::geometry::sampling::Sampling;
use crate::refinement::checkpoint::gerelion_state;
use crate::refinement::settings::Settings;
use crate::refinement::start_up::last_iteration;
use crate::refinement::state::RunState;
use std::path::Path;

/// Names of the files that an optimiser file points to.
pub struct Named {
    /// Model, or that of half 1.
    pub model: String,
    /// Model of half 2.
    pub model2: Option<String>,
    /// Particles.
    pub data: String,
    /// Sampling.
    pub sampling: String,
}

/// What the optimiser file says.
pub struct Contents<'a> {
    /// Options.
    pub settings: &'a Settings,
    /// State.
    pub state: &'a RunState,
    /// `rlnCurrentIteration`; None (−1) in the final file of an auto-refinement.
    pub iteration: Option<usize>,
    /// Box N of the references, pixels.
    pub box_size: usize,
    /// Å per pixel of the references.
    pub pixel_size: f64,
    /// Scale groups of the particles; with a single one, scale correction is off.
    pub scale_groups: usize,
    /// Sampling of the iteration.
    pub sampling: &'a Sampling,
    /// Iteration whose number seeded the processing order.
    pub order_iteration: usize,
    /// Other files.
    pub named: Named,
}

/// Header lines, RELION's table, and our own with what RELION's cannot hold.
pub fn document(contents: &Contents) -> Document {
    let mut tables = vec![
        general(contents),
        gerelion_state::table(contents.state, contents.sampling, contents.order_iteration),
    ];
    gerelion_state::push_settings(&mut tables[1], contents.settings);
    gerelion_state::push_relaxed_symmetry(&mut tables[1], contents.settings);
    if contents.settings.gradient.on {
        gerelion_state::push_gradient(&mut tables[1], contents.settings);
        tables.push(gerelion_state::subsets_table(&contents.state.subsets));
    }
    Document {
        header: vec![
            format!(
                "RELION optimiser; version {}{}",
                gerelion_state::OWN,
                env!("CARGO_PKG_VERSION")
            ),
            format!("{} ", contents.settings.command_line),
        ],
        tables,
    }
}

fn general(c: &Contents) -> Table {
    let mut t = Table::new_list("optimiser_general");
    push_files(&mut t, c);
    push_method(&mut t, c);
    t.push("rlnIncrementImageSize", c.state.increment_size);
    t.push("rlnDoMapEstimation", !c.settings.no_map);
    t.push("rlnDoFastSubsetOptimisation", c.settings.fast_subsets);
    push_gradient(&mut t, c.settings, c.state);
    push_progress(&mut t, c.settings, c.state);
    push_helix(&mut t, c.settings);
    push_corrections(&mut t, c);
    t
}

fn push_files(t: &mut Table, c: &Contents) {
    let s = c.settings;
    t.push("rlnOutputRootName", s.output_root.as_str());
    t.push("rlnModelStarFile", c.named.model.as_str());
    if let Some(model2) = &c.named.model2 {
        t.push("rlnModelStarFile2", model2.as_str());
    }
    t.push("rlnExperimentalDataStarFile", c.named.data.as_str());
    t.push("rlnTomoTomogramsFile", "");
    t.push("rlnTomoTrajectoriesFile", "");
    t.push("rlnOrientSamplingStarFile", c.named.sampling.as_str());
    t.push("rlnCurrentIteration", c.iteration.map_or(-1, |i| i as i64));
    t.push("rlnNumberOfIterations", last_iteration(s));
    t.push("rlnDoSplitRandomHalves", c.named.model2.is_some());
}

fn push_method(t: &mut Table, c: &Contents) {
    let s = c.settings;
    t.push(
        "rlnJoinHalvesUntilThisResolution",
        s.low_resol_join_halves.unwrap_or(-1.0),
    );
    t.push("rlnAdaptiveOversampleOrder", i64::from(s.oversampling));
    t.push("rlnAdaptiveOversampleFraction", s.adaptive_fraction);
    t.push("rlnRandomSeed", i64::from(c.state.random_seed));
    t.push(
        "rlnParticleDiameter",
        s.particle_diameter
            .unwrap_or((c.box_size as f64 - s.mask_edge) * c.pixel_size),
    );
    t.push("rlnWidthMaskEdge", s.mask_edge as i64);
    t.push("rlnDoZeroMask", s.zero_mask);
    t.push("rlnDoSolventFlattening", s.flatten_solvent);
    t.push("rlnDoSolventFscCorrection", s.solvent_correct_fsc);
    t.push(
        "rlnSolventMaskName",
        file_or_none(s.solvent_mask.as_deref()),
    );
    t.push(
        "rlnSolventMask2Name",
        file_or_none(s.solvent_mask2.as_deref()),
    );
    t.push("rlnBodyStarFile", "None");
    t.push(
        "rlnTauSpectrumName",
        file_or_none(s.tau_spectrum.as_deref()),
    );
    t.push(
        "rlnMaximumCoarseImageSize",
        s.max_coarse_size.map_or(-1, |size| size as i64),
    );
    t.push(
        "rlnHighresLimitExpectation",
        s.strict_highres.unwrap_or(-1.0),
    );
    t.push("rlnLowresLimitExpectation", s.strict_lowres.unwrap_or(-1.0));
}

/// Gradient and external-reconstruction options.
fn push_gradient(t: &mut Table, s: &Settings, state: &RunState) {
    let g = &s.gradient;
    let size = |subset: Option<usize>| subset.map_or(-1, |size| size as i64);
    t.push("rlnDoExternalReconstruct", s.maps.external);
    t.push("rlnDoBlush", s.maps.blush);
    t.push("rlnBlushNoSpectralTrailing", s.maps.skip_spectral_trailing);
    t.push("rlnDoGradientRefine", g.on);
    t.push("rlnDoStochasticGradientDescent", state.gradient);
    t.push("rlnGradEmIters", g.em_iterations);
    t.push("rlnGradHasConverged", false);
    t.push("rlnGradCurrentStepsize", state.step_size);
    t.push("rlnGradSubsetOrder", 0usize);
    t.push("rlnGradSuspendFinerSamplingIter", -1i64);
    t.push("rlnGradSuspendLocalSamplingIter", -1i64);
    t.push("rlnSgdInitialIterationsFraction", g.initial_fraction);
    t.push("rlnSgdFinalIterationsFraction", g.last_fraction);
    t.push("rlnSgdMinimumResolution", g.minimum_resolution);
    t.push("rlnSgdInitialResolution", g.initial_resolution);
    t.push("rlnSgdFinalResolution", g.last_resolution);
    t.push("rlnSgdInitialSubsetSize", size(g.initial_subset));
    t.push("rlnSgdFinalSubsetSize", size(g.last_subset));
    t.push("rlnSgdMuFactor", if g.on { g.momentum } else { 0.0 });
    t.push("rlnSgdSkipAnneal", false);
    t.push("rlnSgdClassInactivityThreshold", g.inactivity);
    t.push("rlnSgdSubsetSize", state.subset_size);
    t.push("rlnSgdWriteEverySubset", g.write_every);
    t.push("rlnSgdStepsize", g.step_size.unwrap_or(-1.0));
    t.push("rlnSgdStepsizeScheme", g.step_scheme.as_str());
    t.push("rlnTau2FudgeScheme", g.tau2_scheme.as_str());
    t.push("rlnTau2FudgeArg", s.tau2_fudge.unwrap_or(-1.0));
    t.push(
        "rlnMaximumSignificantPoses",
        s.max_significant.map_or(-1, |n| n as i64),
    );
}

fn push_progress(t: &mut Table, s: &Settings, state: &RunState) {
    t.push("rlnDoAutoRefine", s.auto_refine);
    t.push("rlnDoAutoSampling", s.auto_refine || s.auto_sampling);
    t.push(
        "rlnAutoLocalSearchesHealpixOrder",
        i64::from(s.auto_local_healpix_order),
    );
    t.push(
        "rlnNumberOfIterWithoutResolutionGain",
        state.iterations_without_gain,
    );
    t.push("rlnBestResolutionThusFar", state.best_resolution);
    t.push(
        "rlnNumberOfIterWithoutChangingAssignments",
        state.iterations_without_changes,
    );
    t.push("rlnDoSkipAlign", s.skip_align);
    t.push("rlnDoSkipRotate", s.skip_rotate);
    t.push("rlnOverallAccuracyRotations", state.accuracy_rotations);
    t.push(
        "rlnOverallAccuracyTranslationsAngst",
        state.accuracy_translations,
    );
    t.push("rlnChangesOptimalOrientations", state.changes_orientations);
    t.push("rlnChangesOptimalOffsets", state.changes_offsets);
    t.push("rlnChangesOptimalClasses", state.changes_classes);
    t.push(
        "rlnSmallestChangesOrientations",
        state.smallest_orientations,
    );
    t.push("rlnSmallestChangesOffsets", state.smallest_offsets);
    t.push("rlnSmallestChangesClasses", state.smallest_classes);
}

/// Local symmetry; and helices, RELION's values for a run without them.
fn push_helix(t: &mut Table, s: &Settings) {
    t.push(
        "rlnLocalSymmetryFile",
        file_or_none(s.maps.local_symmetry.as_deref()),
    );
    t.push("rlnDoHelicalRefine", false);
    t.push("rlnIgnoreHelicalSymmetry", false);
    t.push("rlnFourierMask", "None");
    t.push("rlnHelicalTwistInitial", 0.0);
    t.push("rlnHelicalRiseInitial", 0.0);
    t.push("rlnHelicalCentralProportion", 0.3);
    t.push("rlnNrHelicalNStart", 1usize);
    t.push("rlnHelicalMaskTubeInnerDiameter", -1.0);
    t.push("rlnHelicalMaskTubeOuterDiameter", -1.0);
    t.push("rlnHelicalSymmetryLocalRefinement", false);
    t.push("rlnHelicalSigmaDistance", -1.0);
    t.push("rlnHelicalKeepTiltPriorFixed", false);
}

fn push_corrections(t: &mut Table, c: &Contents) {
    let s = c.settings;
    t.push("rlnHasConverged", c.state.converged);
    t.push("rlnHasHighFscAtResolLimit", c.state.high_fsc_at_limit);
    t.push("rlnHasLargeSizeIncreaseIterationsAgo", 0usize);
    t.push("rlnDoCorrectNorm", s.norm);
    t.push("rlnDoCorrectScale", s.scale && c.scale_groups > 1);
    t.push("rlnDoCorrectCtf", s.ctf);
    t.push("rlnDoCenterClasses", s.center_classes);
    t.push(
        "rlnDoIgnoreCtfUntilFirstPeak",
        s.ctf_flags.intact_first_peak,
    );
    t.push("rlnCtfDataArePhaseFlipped", s.ctf_flags.phase_flipped);
    t.push("rlnDoOnlyFlipCtfPhases", s.ctf_flags.only_flip_phases);
    t.push("rlnRefsAreCtfCorrected", c.state.references_ctf_corrected);
    t.push("rlnFixSigmaNoiseEstimates", s.fix_sigma_noise);
    t.push("rlnFixSigmaOffsetEstimates", s.fix_sigma_offset);
    t.push("rlnMaxNumberOfPooledParticles", s.pool * s.threads);
    t.push("rlnOffsetRangeX", -1.0);
    t.push("rlnOffsetRangeY", -1.0);
    t.push("rlnOffsetRangeZ", -1.0);
}

fn file_or_none(path: Option<&Path>) -> String {
    path.map_or("None".to_string(), |path| path.display().to_string())
}
