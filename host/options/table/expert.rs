//! Expert options, options hidden from RELION's usage text, and those of continued runs.

use super::super::entry::{Group, OnContinue, OptionEntry};
use super::super::range::Range;
use OnContinue::{ContinueOnly, FromCommandLine, IfGiven, MustBeRepeated, StartOnly, SwitchOn};

const DEVELOPER: &str = "a debugging switch of RELION's developers";
const INTERPOLATION: &str =
    "samples are always interpolated linearly, as by RELION's accelerated code; leave it out";

/// Expert options.
pub(super) const EXPERT: &[OptionEntry] = &OptionEntry::under(
    Group::Expert,
    [
        OptionEntry::real(
            "--pad",
            "2",
            "",
            "Padding factor of Fourier volumes; 1 saves memory at some cost in accuracy",
        ).within(Range::between(1.0, 8.0))
        .on_continue(IfGiven),
        OptionEntry::flag("--NN", "Nearest-neighbour interpolation in Fourier space")
            .refused(INTERPOLATION),
        OptionEntry::integer(
            "--r_min_nn",
            "10",
            "pixels",
            "Radius up to which --NN still interpolates linearly",
        )
        .refused(INTERPOLATION),
        OptionEntry::integer(
            "--random_seed",
            "-1",
            "",
            "Seed of all random choices; -1 takes the clock; 0 means a fixed seed and no shuffling of particles",
        ).within(Range::NOT_NEGATIVE.or(&[-1.0], "from the clock"))
        .usual("Seed of all random choices [from the clock]"),
        OptionEntry::integer(
            "--coarse_size",
            "-1",
            "pixels",
            "Upper limit of the image size in the first, coarse pass; -1 is none",
        ).within(Range::at_least(1.0).or(&[-1.0], "no limit")),
        OptionEntry::real(
            "--adaptive_fraction",
            "0.999",
            "",
            "Fraction of the weights that the samples of the first pass must cover to be searched further",
        ).within(Range::between(0.001, 1.0)),
        OptionEntry::integer(
            "--maxsig",
            "-1",
            "",
            "Largest number of samples of the first pass to be searched further, per particle; -1 is no limit",
        ).within(Range::at_least(1.0).or(&[-1.0], "no limit"))
        .on_continue(IfGiven),
        OptionEntry::real(
            "--maskedge",
            "5",
            "pixels",
            "Width of the soft edge of masks",
        ).within(Range::between(0.0, 10_000.0)),
        OptionEntry::flag("--fix_sigma_noise", "Keep the noise spectra of the start"),
        OptionEntry::flag(
            "--fix_sigma_offset",
            "Keep the offset variance of the start",
        ),
        OptionEntry::integer(
            "--incr_size",
            "10",
            "shells",
            "Shells beyond the current resolution that are included in the next iteration",
        ).within(Range::NOT_NEGATIVE),
        OptionEntry::real(
            "--strict_highres_exp",
            "-1",
            "Å",
            "Resolution limit of the expectation step; -1 is none",
        ).within(Range::RESOLUTION_OR_OFF)
        .on_continue(IfGiven),
        OptionEntry::real(
            "--strict_lowres_exp",
            "-1",
            "Å",
            "Lowest resolution used in the expectation step; -1 is all",
        ).within(Range::RESOLUTION_OR_OFF),
        OptionEntry::flag(
            "--dont_check_norm",
            "Do not check that the background of the images has mean 0 and deviation 1",
        ).on_continue(StartOnly),
        OptionEntry::flag("--always_cc", "Use cross-correlation in every iteration")
            .on_continue(MustBeRepeated),
        OptionEntry::flag(
            "--solvent_correct_fsc",
            "Auto-refine: correct the FSC between the halves for the mask (phase randomisation)",
        )
        .usual("Auto-refine: correct the FSC for the mask")
        .on_continue(SwitchOn),
        OptionEntry::flag(
            "--skip_maximize",
            "Stop after one expectation step: only the data file is written",
        )
        .on_continue(MustBeRepeated),
        OptionEntry::flag(
            "--blush",
            "Blush regularisation: RELION's relion_python_blush makes the maps, with arguments from RELION_BLUSH_ARGS",
        )
        .on_continue(MustBeRepeated),
        OptionEntry::flag(
            "--blush_skip_spectral_trailing",
            "Blush without spectral trailing",
        )
        .on_continue(MustBeRepeated),
        OptionEntry::flag(
            "--external_reconstruct",
            "The program named by RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE (relion_external_reconstruct) makes the maps",
        )
        .on_continue(MustBeRepeated),
        OptionEntry::real(
            "--external_time_limit",
            "14400",
            "seconds",
            "Time that --blush or --external_reconstruct may take for one map (not a RELION option)",
        ).within(Range::at_least(0.1))
        .on_continue(FromCommandLine),
        OptionEntry::integer(
            "--nr_parts_sigma2noise",
            "-1",
            "",
            "Particles per optics group used for the first noise spectrum; -1 means 1000",
        ).on_continue(StartOnly).within(Range::at_least(1.0).or(&[-1.0], "the default")),
        OptionEntry::flag(
            "--dont_skip_gridding",
            "Reconstruct with iterative gridding instead of direct division",
        )
        .on_continue(MustBeRepeated),
    ],
);

/// Effective in RELION but absent from its usage text.
pub(super) const HIDDEN: &[OptionEntry] = &OptionEntry::under(
    Group::Hidden,
    [
        OptionEntry::text(
            "--model",
            "None",
            "Start from the numbers of a _model.star file",
        )
        .refused("use --continue with an _optimiser.star file"),
        OptionEntry::text(
            "--sampling",
            "None",
            "Start from the sampling of a _sampling.star file",
        )
        .refused("use --continue with an _optimiser.star file, or give the sampling by options"),
        OptionEntry::flag("--no_map", "Maximum likelihood without regularisation")
            .on_continue(MustBeRepeated),
        OptionEntry::integer(
            "--minres_map",
            "5",
            "shells",
            "Shells from the origin that are not regularised",
        )
        .within(Range::NOT_NEGATIVE)
        .on_continue(MustBeRepeated),
        OptionEntry::integer(
            "--gridding_iter",
            "10",
            "",
            "Iterations of the gridding reconstruction (--dont_skip_gridding)",
        )
        .with("--dont_skip_gridding")
        .within(Range::at_least(1.0))
        .on_continue(MustBeRepeated),
        OptionEntry::flag("--bfactor", "Estimate B-factors of the references")
            .without_effect("RELION 5 reads it and does nothing with it"),
        OptionEntry::text("--sigma", "", "STAR file with the first noise spectrum").on_continue(StartOnly),
        OptionEntry::real("--sigma2_fudge", "1", "", "Factor on the noise spectra")
            .within(Range::between(0.001, 1e6))
            .on_continue(MustBeRepeated),
        OptionEntry::flag(
            "--accuracy_current_size",
            "Estimate accuracies at the current image size instead of the coarse one",
        ),
        OptionEntry::flag(
            "--always_join_random_halves",
            "Join the halves in every iteration",
        )
        .on_continue(MustBeRepeated),
        OptionEntry::flag(
            "--use_all_data",
            "Use the data up to Nyquist in every iteration",
        )
        .on_continue(MustBeRepeated),
        OptionEntry::flag(
            "--only_sample_tilt",
            "Search the tilt from -180 to 180 degrees in steps of the HEALPix order, with rot and psi 0",
        ),
        OptionEntry::integer(
            "--debug_split_random_half",
            "0",
            "",
            "Use the particles of one half only",
        )
        .refused("select the half in the particle file instead"),
        OptionEntry::real(
            "--abort_at_resolution",
            "-1",
            "Å",
            "Stop once the resolution is finer than this; -1 is off",
        )
        .within(Range::RESOLUTION_OR_OFF)
        .on_continue(MustBeRepeated),
        OptionEntry::flag(
            "--asymmetric_padding",
            "Make maps from sums of a padding factor that is larger than that of the references (--pad) by 1",
        )
        .on_continue(MustBeRepeated),
        OptionEntry::flag(
            "--skip_realspace_helical_sym",
            "Helices: no symmetrisation in real space",
        )
        .without_effect("it concerns helices only, which are refused"),
        OptionEntry::real("--debug1", "0", "", "Number for developers").without_effect(DEVELOPER),
        OptionEntry::real("--debug2", "0", "", "Number for developers").without_effect(DEVELOPER),
        OptionEntry::real("--debug3", "0", "", "Number for developers").without_effect(DEVELOPER),
    ],
);

/// Only together with `--continue`.
pub(super) const CONTINUE_ONLY: &[OptionEntry] = &OptionEntry::under(
    Group::ContinueOnly,
    [
        OptionEntry::flag(
            "--force_converge",
            "Auto-refine: the next iteration is the last one, with all data and joined halves",
        )
        .on_continue(ContinueOnly),
        OptionEntry::flag(
            "--join_random_halves",
            "Auto-refine: make one more ordinary iteration, with the halves joined, and stop",
        )
        .on_continue(ContinueOnly),
    ],
);
