//! The `optimiser_general` table: which labels it must have, and what they become (spec 03 §1.4, §5).

use crate::errors::Code;
use crate::formats::star::{StarError, Table};
use crate::optics::CtfFlags;
use crate::refinement::checkpoint::resume::ResumeError;
use crate::refinement::settings::Settings;
use crate::refinement::settings::gradient_options::GradientSettings;
use crate::refinement::settings::map_options::MapOptions;
use crate::refinement::state::RunState;
use std::path::{Path, PathBuf};

/// Labels without which a run cannot be continued.
const REQUIRED: [&str; 47] = [
    "rlnOutputRootName",
    "rlnModelStarFile",
    "rlnExperimentalDataStarFile",
    "rlnOrientSamplingStarFile",
    "rlnCurrentIteration",
    "rlnNumberOfIterations",
    "rlnDoSplitRandomHalves",
    "rlnJoinHalvesUntilThisResolution",
    "rlnAdaptiveOversampleOrder",
    "rlnAdaptiveOversampleFraction",
    "rlnRandomSeed",
    "rlnParticleDiameter",
    "rlnWidthMaskEdge",
    "rlnDoZeroMask",
    "rlnDoSolventFlattening",
    "rlnSolventMaskName",
    "rlnSolventMask2Name",
    "rlnTauSpectrumName",
    "rlnMaximumCoarseImageSize",
    "rlnHighresLimitExpectation",
    "rlnIncrementImageSize",
    "rlnDoMapEstimation",
    "rlnDoAutoRefine",
    "rlnAutoLocalSearchesHealpixOrder",
    "rlnNumberOfIterWithoutResolutionGain",
    "rlnBestResolutionThusFar",
    "rlnNumberOfIterWithoutChangingAssignments",
    "rlnDoSkipAlign",
    "rlnOverallAccuracyRotations",
    "rlnChangesOptimalOrientations",
    "rlnChangesOptimalOffsets",
    "rlnChangesOptimalClasses",
    "rlnSmallestChangesOrientations",
    "rlnSmallestChangesOffsets",
    "rlnSmallestChangesClasses",
    "rlnHasConverged",
    "rlnHasHighFscAtResolLimit",
    "rlnHasLargeSizeIncreaseIterationsAgo",
    "rlnDoCorrectNorm",
    "rlnDoCorrectScale",
    "rlnDoCorrectCtf",
    "rlnDoIgnoreCtfUntilFirstPeak",
    "rlnCtfDataArePhaseFlipped",
    "rlnDoOnlyFlipCtfPhases",
    "rlnRefsAreCtfCorrected",
    "rlnFixSigmaNoiseEstimates",
    "rlnFixSigmaOffsetEstimates",
];

/// Either of these must be there: Å, or pixels in files before RELION 3.1.
const ACCURACY_TRANSLATIONS: [&str; 2] = [
    "rlnOverallAccuracyTranslationsAngst",
    "rlnOverallAccuracyTranslations",
];

/// Kinds of run that this program does not do, by the flag that marks them.
const UNSUPPORTED: [(&str, &str); 1] = [("rlnDoHelicalRefine", "a helical refinement")];

/// Refuse a table that lacks labels, was written before the first iteration or after the last, or belongs to a kind of
/// run that this program does not do. Returns the iteration to continue after.
pub fn check(table: &Table, path: &Path) -> Result<usize, ResumeError> {
    let refuse = |code: Code, why: &str| -> Result<usize, ResumeError> {
        Err(code.says(format!("{}: {why}", path.display())).into())
    };
    let mut missing: Vec<&str> = REQUIRED
        .into_iter()
        .filter(|label| !table.has(label))
        .collect();
    if !ACCURACY_TRANSLATIONS.iter().any(|label| table.has(label)) {
        missing.push(ACCURACY_TRANSLATIONS[0]);
    }
    if !missing.is_empty() {
        return refuse(
            Code::RUN_FILES_DIFFER,
            &format!(
                "incorrect optimiser_general table: {} missing. Give an _optimiser.star file of RELION 3.0 or later, or of this program.",
                missing.join(", ")
            ),
        );
    }
    let flag = |label: &str| Ok::<_, StarError>(table.has(label) && table.boolean(0, label)?);
    if flag("rlnDoStochasticGradientDescent")? && !flag("rlnDoGradientRefine")? {
        return refuse(
            Code::UNSUPPORTED_RUN,
            "this file belongs to a stochastic-gradient run of RELION 2 or 3, which is not supported; continue it with RELION",
        );
    }
    for (label, kind) in UNSUPPORTED {
        if table.has(label) && table.boolean(0, label)? {
            return refuse(
                Code::UNSUPPORTED_RUN,
                &format!(
                    "this file belongs to {kind}, which is not supported; continue it with RELION"
                ),
            );
        }
    }
    for (label, kind) in [
        ("rlnBodyStarFile", "multi-body refinement"),
        ("rlnTomoTomogramsFile", "subtomograms"),
    ] {
        if stored_path(table, label)?.is_some() {
            return refuse(
                Code::UNSUPPORTED_RUN,
                &format!("this run uses {kind}, which is not supported; continue it with RELION"),
            );
        }
    }
    match table.integer(0, "rlnCurrentIteration")? {
        0 => refuse(
            Code::CANNOT_CONTINUE,
            "a run cannot be continued from iteration 0, which holds only its starting point: \
             start it afresh, or give the optimiser file of a later iteration",
        ),
        -1 => refuse(
            Code::CANNOT_CONTINUE,
            "this is the final file of an auto-refinement that has converged: its half-sets have been joined and cannot \
             be told apart again. Give the last numbered one instead (…_itNNN_optimiser.star)",
        ),
        iteration => usize::try_from(iteration).or_else(|_| {
            refuse(
                Code::RUN_FILES_DIFFER,
                &format!(
                    "rlnCurrentIteration is {iteration}, which is no iteration of a run. Restore the file, or continue from another \
                     iteration"
                ),
            )
        }),
    }
}

/// Text of a cell that holds a path; None for "None" and empty text, and when the column is missing.
pub fn stored_path(table: &Table, label: &str) -> Result<Option<String>, StarError> {
    if !table.has(label) {
        return Ok(None);
    }
    let text = table.text(0, label)?;
    Ok((!text.is_empty() && text != "None").then(|| text.to_string()))
}

/// Counters and flags. `pixel_size` (Å) converts the shift accuracy of old files; resolution and size are filled in
/// from the model.
pub fn state(table: &Table, iteration: usize, pixel_size: f64) -> Result<RunState, StarError> {
    let count = |label: &str| table.integer(0, label).map(|n| n.max(0) as usize);
    let flag = |label: &str| Ok::<_, StarError>(table.has(label) && table.boolean(0, label)?);
    let accuracy_translations = if table.has(ACCURACY_TRANSLATIONS[0]) {
        table.real(0, ACCURACY_TRANSLATIONS[0])?
    } else {
        table.real(0, ACCURACY_TRANSLATIONS[1])? * pixel_size
    };
    Ok(RunState {
        iteration,
        current_resolution: 0.0,
        current_size: 0,
        increment_size: count("rlnIncrementImageSize")?,
        high_fsc_at_limit: table.boolean(0, "rlnHasHighFscAtResolLimit")?,
        iterations_without_gain: count("rlnNumberOfIterWithoutResolutionGain")?,
        iterations_without_changes: count("rlnNumberOfIterWithoutChangingAssignments")?,
        best_resolution: table.real(0, "rlnBestResolutionThusFar")?,
        accuracy_rotations: table.real(0, "rlnOverallAccuracyRotations")?,
        accuracy_translations,
        changes_orientations: table.real(0, "rlnChangesOptimalOrientations")?,
        changes_offsets: table.real(0, "rlnChangesOptimalOffsets")?,
        changes_classes: table.real(0, "rlnChangesOptimalClasses")?,
        smallest_orientations: table.real(0, "rlnSmallestChangesOrientations")?,
        smallest_offsets: table.real(0, "rlnSmallestChangesOffsets")?,
        smallest_classes: table.integer(0, "rlnSmallestChangesClasses")?,
        fine_enough: false,
        converged: false,
        iterations_after_convergence: None,
        references_ctf_corrected: table.boolean(0, "rlnRefsAreCtfCorrected")?,
        local_searches: false,
        random_seed: table.integer(0, "rlnRandomSeed")? as u32,
        gradient: flag("rlnDoStochasticGradientDescent")?,
        step_size: match table.has("rlnGradCurrentStepsize") {
            true => table.real(0, "rlnGradCurrentStepsize")?,
            false => 0.0,
        },
        subset_size: match table.has("rlnSgdSubsetSize") {
            true => table.integer(0, "rlnSgdSubsetSize")?,
            false => -1,
        },
        subsets: Vec::new(),
        seeds_due: false,
        references_made: false,
    })
}

/// Whether the run made its first references itself, as far as the command line that its file begins with tells.
pub fn references_made(command_line: &str) -> bool {
    let has = |option: &str| command_line.split_whitespace().any(|word| word == option);
    !(command_line.is_empty() || has("--ref") || has("--continue"))
}

/// Options of the file. What RELION does not store gets its default; noise is not estimated again, nor are seeds
/// generated or references filtered. Model and sampling options are filled in by the caller.
pub fn settings(table: &Table, path: &Path, command_line: String) -> Result<Settings, StarError> {
    let positive = |label: &str| -> Result<Option<f64>, StarError> {
        if !table.has(label) {
            return Ok(None);
        }
        table.real(0, label).map(|v| (v > 0.0).then_some(v))
    };
    let positive_count = |label: &str| -> Result<Option<usize>, StarError> {
        if !table.has(label) {
            return Ok(None);
        }
        let n = table.integer(0, label)?;
        Ok((n > 0).then_some(n as usize))
    };
    let flag = |label: &str| -> Result<bool, StarError> {
        Ok(table.has(label) && table.boolean(0, label)?)
    };
    let file = |label: &str| Ok::<_, StarError>(stored_path(table, label)?.map(PathBuf::from));
    let auto_refine = flag("rlnDoAutoRefine")?;
    let corrected = flag("rlnRefsAreCtfCorrected")?;
    let denovo_3d = command_line.split(' ').any(|word| word == "--denovo_3dref");
    Ok(Settings {
        command_line,
        particles: PathBuf::from(table.text(0, "rlnExperimentalDataStarFile")?),
        output_root: table.text(0, "rlnOutputRootName")?.to_string(),
        continue_from: Some(path.to_path_buf()),
        iterations: (!auto_refine)
            .then(|| table.integer(0, "rlnNumberOfIterations"))
            .transpose()?
            .map(|n| n.max(0) as usize),
        tau2_fudge: positive("rlnTau2FudgeArg")?,
        particle_diameter: positive("rlnParticleDiameter")?,
        zero_mask: flag("rlnDoZeroMask")?,
        flatten_solvent: flag("rlnDoSolventFlattening")?,
        solvent_mask: file("rlnSolventMaskName")?,
        solvent_mask2: file("rlnSolventMask2Name")?,
        tau_spectrum: file("rlnTauSpectrumName")?,
        split_random_halves: flag("rlnDoSplitRandomHalves")?,
        low_resol_join_halves: positive("rlnJoinHalvesUntilThisResolution")?,
        center_classes: flag("rlnDoCenterClasses")?,
        oversampling: table.integer(0, "rlnAdaptiveOversampleOrder")?.max(0) as u32,
        auto_refine,
        auto_sampling: flag("rlnDoAutoSampling")? && !auto_refine,
        auto_local_healpix_order: table.integer(0, "rlnAutoLocalSearchesHealpixOrder")?.max(0)
            as u32,
        skip_align: flag("rlnDoSkipAlign")?,
        skip_rotate: flag("rlnDoSkipRotate")?,
        ctf: flag("rlnDoCorrectCtf")?,
        ctf_flags: CtfFlags {
            intact_first_peak: flag("rlnDoIgnoreCtfUntilFirstPeak")?,
            phase_flipped: flag("rlnCtfDataArePhaseFlipped")?,
            only_flip_phases: flag("rlnDoOnlyFlipCtfPhases")?,
        },
        ctf_uncorrected_reference: !corrected,
        norm: flag("rlnDoCorrectNorm")?,
        scale: flag("rlnDoCorrectScale")?,
        fast_subsets: flag("rlnDoFastSubsetOptimisation")?,
        random_seed: Some(table.integer(0, "rlnRandomSeed")? as u32),
        max_coarse_size: positive_count("rlnMaximumCoarseImageSize")?,
        adaptive_fraction: table.real(0, "rlnAdaptiveOversampleFraction")?,
        max_significant: positive_count("rlnMaximumSignificantPoses")?,
        mask_edge: table.real(0, "rlnWidthMaskEdge")?,
        fix_sigma_noise: flag("rlnFixSigmaNoiseEstimates")?,
        fix_sigma_offset: flag("rlnFixSigmaOffsetEstimates")?,
        increment_size: table.integer(0, "rlnIncrementImageSize")?.max(0) as usize,
        strict_highres: positive("rlnHighresLimitExpectation")?,
        strict_lowres: positive("rlnLowresLimitExpectation")?,
        solvent_correct_fsc: flag("rlnDoSolventFscCorrection")?,
        no_map: !flag("rlnDoMapEstimation")?,
        gradient: GradientSettings::read(table)?,
        maps: MapOptions {
            local_symmetry: file("rlnLocalSymmetryFile")?,
            ..MapOptions::read(table)?
        },
        // RELION does not keep it, although the schedules of a gradient run depend on it; its command line tells.
        denovo_3d,
        // RELION's default, which rlnMaxNumberOfPooledParticles is written with; ours is all cores.
        threads: 1,
        ..Settings::default()
    })
}
