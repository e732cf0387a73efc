//! Which orientations and offsets are searched, and corrections of the images.

use super::super::entry::{Group, OnContinue, OptionEntry};
use super::super::range::Range;
use OnContinue::{IfGiven, IfGivenNotAuto, MustBeRepeated};

const SUBTOMOGRAM_OFFSETS: &str =
    "offset ranges per axis belong to subtomograms; use --offset_range";

/// Finest in-plane step, degrees: it moves the edge of a box of 5000 pixels by less than one.
const FINEST_PSI_STEP: f64 = 0.02;
/// Standard deviations of the prior on angles, degrees.
const PRIOR_WIDTH: Range = Range::between(0.001, 360.0).or(&[-1.0, 0.0], "off");

/// Orientation and offset search.
pub(super) const ORIENTATIONS: &[OptionEntry] = &OptionEntry::under(
    Group::Orientations,
    [
        OptionEntry::integer(
            "--oversampling",
            "1",
            "",
            "Order of adaptive oversampling: each order halves the steps of the coarse search around its best samples",
        ).within(Range::between(0.0, 5.0))
        .usual("Order of adaptive oversampling [1]")
        .on_continue(IfGiven),
        OptionEntry::integer(
            "--healpix_order",
            "2",
            "",
            "HEALPix order of the coarse angular search: 0 is 60°, 1 30°, 2 15°, 3 7.5° apart; the first order in auto-refine",
        ).within(Range::between(0.0, 9.0))
        .usual("Angular step: 1 is 30°, 2 15°, 3 7.5° [2]")
        .on_continue(IfGivenNotAuto),
        OptionEntry::real(
            "--psi_step",
            "-1",
            "degrees",
            "Coarse in-plane step; -1 means that of the HEALPix order, or 10 for class averages",
        ).within(Range::between(FINEST_PSI_STEP, 360.0).or(&[-1.0], "by the order of the directions"))
        .usual("In-plane step of 2D averages, degrees [10]")
        .on_continue(IfGivenNotAuto),
        OptionEntry::real(
            "--limit_tilt",
            "-91",
            "degrees",
            "Positive: only side views with at least this |tilt|; negative: only top views within it; -91 is all",
        ).within(Range::between(-91.0, 90.0)),
        OptionEntry::text(
            "--sym",
            "c1",
            "Point group (C4, D2, T, O, I1, …), or one per class separated by commas",
        )
        .usual("Point group [C1]"),
        OptionEntry::text(
            "--relax_sym",
            "",
            "Point group that holds only approximately: local searches also go around the mates of each orientation in it, while --sym is the lower group that holds",
        )
        .on_continue(IfGiven),
        OptionEntry::real(
            "--offset_range",
            "6",
            "pixels",
            "Radius of the offset search",
        ).within(Range::between(0.0, 1000.0))
        .usual("Radius of the offset search, pixels [6]")
        .on_continue(IfGivenNotAuto),
        OptionEntry::real(
            "--offset_step",
            "2",
            "pixels",
            "Step of the offset search before oversampling",
        ).within(Range::between(0.01, 1000.0))
        .usual("Step of the offset search, pixels [2]")
        .on_continue(IfGivenNotAuto),
        OptionEntry::real("--offset_range_x", "-1", "Å", "Offset range along x")
            .refused(SUBTOMOGRAM_OFFSETS),
        OptionEntry::real("--offset_range_y", "-1", "Å", "Offset range along y")
            .refused(SUBTOMOGRAM_OFFSETS),
        OptionEntry::real("--offset_range_z", "-1", "Å", "Offset range along z")
            .refused(SUBTOMOGRAM_OFFSETS),
        OptionEntry::real(
            "--perturb",
            "0.5",
            "steps",
            "Size of the random perturbation of the sampling, 0…1 steps; 0 is off",
        ).within(Range::between(0.0, 1.0))
        .on_continue(IfGiven),
        OptionEntry::flag(
            "--auto_sampling",
            "Refine the sampling as auto-refine does, in a run that is not auto-refine",
        ),
        OptionEntry::integer(
            "--auto_local_healpix_order",
            "4",
            "",
            "HEALPix order from which auto-refine searches only around the last orientation",
        ).within(Range::between(0.0, 99.0))
        .usual("Order from which auto-refine goes local [4]")
        .on_continue(IfGiven),
        OptionEntry::real(
            "--sigma_ang",
            "-1",
            "degrees",
            "Local searches: standard deviation of the prior on all three angles; -1 is off",
        ).within(PRIOR_WIDTH)
        .usual("Search locally, with this deviation, degrees")
        .on_continue(IfGiven),
        OptionEntry::real(
            "--sigma_rot",
            "-1",
            "degrees",
            "Local searches: standard deviation of the prior on the rot angle",
        ).within(PRIOR_WIDTH)
        .on_continue(IfGiven),
        OptionEntry::real(
            "--sigma_tilt",
            "-1",
            "degrees",
            "Local searches: standard deviation of the prior on the tilt angle",
        ).within(PRIOR_WIDTH)
        .on_continue(IfGiven),
        OptionEntry::real(
            "--sigma_psi",
            "-1",
            "degrees",
            "Local searches: standard deviation of the prior on the psi angle",
        ).within(PRIOR_WIDTH)
        .on_continue(IfGiven),
        OptionEntry::flag(
            "--skip_align",
            "Classify only: keep the orientations and offsets of the particle file",
        )
        .usual("Classify only: keep orientations and offsets")
        .on_continue(MustBeRepeated),
        OptionEntry::flag(
            "--skip_rotate",
            "Keep the orientations of the particle file, search offsets",
        )
        .on_continue(MustBeRepeated),
        OptionEntry::flag(
            "--auto_ignore_angles",
            "Auto-refine: changes in angles do not count for convergence",
        )
        .on_continue(MustBeRepeated),
        OptionEntry::flag(
            "--auto_resol_angles",
            "Auto-refine: the resolution may call for a finer sampling than the estimated accuracy does",
        )
        .on_continue(MustBeRepeated),
        OptionEntry::flag(
            "--allow_coarser_sampling",
            "Classification: use a coarser sampling where the estimated accuracy allows it",
        )
        .on_continue(MustBeRepeated),
        OptionEntry::real(
            "--minimum_angular_sampling",
            "0",
            "degrees",
            "Automatic sampling does not get finer than this; 0 is off",
        ).within(Range::between(0.0, 360.0))
        .on_continue(MustBeRepeated),
        OptionEntry::real(
            "--maximum_angular_sampling",
            "0",
            "degrees",
            "Automatic sampling gets at least as fine as this; 0 is off",
        ).within(Range::between(0.0, 360.0))
        .on_continue(MustBeRepeated),
        OptionEntry::real(
            "--min_sigma2_offset",
            "2",
            "Å²",
            "Lowest variance of the offset prior",
        ).within(Range::between(0.0, 1e8))
        .on_continue(MustBeRepeated),
    ],
);

/// CTF, norm and scale.
pub(super) const CORRECTIONS: &[OptionEntry] = &OptionEntry::under(
    Group::Corrections,
    [
        OptionEntry::flag("--ctf", "Correct for the contrast transfer function")
            .usual("Correct for the CTF"),
        OptionEntry::flag("--pad_ctf", "CTF on padded images")
            .refused("--pad_ctf is disabled in RELION too; leave it out"),
        OptionEntry::flag(
            "--ctf_intact_first_peak",
            "Set the CTF to 1 up to its first peak",
        )
        .usual("Ignore CTF amplitudes up to the first peak"),
        OptionEntry::flag(
            "--ctf_uncorrected_ref",
            "The reference still carries CTF amplitudes (matters in iteration 1 only)",
        ),
        OptionEntry::flag(
            "--ctf_phase_flipped",
            "The images are already phase flipped",
        ),
        OptionEntry::flag(
            "--only_flip_phases",
            "Correct the phases only, not the amplitudes",
        ),
        OptionEntry::flag("--norm", "Correct for differences in the norm of images")
            .usual("Correct for differences in norm")
            .on_continue(IfGiven),
        OptionEntry::flag("--no_norm", "No norm correction, even with --norm").on_continue(IfGiven),
        OptionEntry::flag(
            "--scale",
            "Correct for differences in scale between groups of particles",
        )
        .usual("Correct for differences in scale of groups")
        .on_continue(IfGiven),
        OptionEntry::flag("--no_scale", "No scale correction, even with --scale")
            .on_continue(IfGiven),
    ],
);
