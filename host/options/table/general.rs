//! Input, output, the aim of the run, and starting references.

use super::super::entry::{Group, OnContinue, OptionEntry};
use super::super::range::Range;
use OnContinue::{FromCommandLine, IfGiven, MustBeRepeated, StartOnly, SwitchOn};

/// Input, output and the aim of the run.
pub(super) const GENERAL: &[OptionEntry] = &OptionEntry::under(
    Group::General,
    [
        OptionEntry::text("--i", "", "Particle STAR file (needed for a new run)")
        .usual("Particle STAR file"),
        OptionEntry::text(
            "--o",
            "",
            "Output root; its folder must exist. On --continue, absent or equal to the old root means <old root>_ctN",
        )
        .usual("Output root, such as Class3D/job001/run")
        .on_continue(IfGiven),
        OptionEntry::text(
            "--continue",
            "",
            "Optimiser file (_optimiser.star) of the run to continue",
        )
        .usual("Optimiser file of the run to go on with")
        .on_continue(FromCommandLine),
        OptionEntry::integer(
            "--iter",
            "-1",
            "",
            "Number of the last iteration of a classification; -1 means 50. Auto-refine uses --auto_iter_max",
        ).within(Range::at_least(1.0).or(&[-1.0], "the default"))
        .usual("Last iteration of a classification [50]")
        .on_continue(IfGiven),
        OptionEntry::real(
            "--tau2_fudge",
            "-1",
            "",
            "Regularisation parameter T; higher gives more weight to the data; -1 means 1",
        ).within(Range::between(0.001, 1e6).or(&[-1.0], "the default"))
        .usual("Regularisation T: 4 in 3D, 2 in 2D are usual [1]")
        .on_continue(IfGiven),
        OptionEntry::integer(
            "--K",
            "1",
            "",
            "Number of classes; a STAR file given to --ref sets it",
        ).within(Range::at_least(1.0))
        .usual("Number of classes [1]"),
        OptionEntry::real(
            "--particle_diameter",
            "-1",
            "Å",
            "Diameter of the circular mask around the particles; -1 means the box less the mask edge",
        ).within(Range::between(1.0, 100_000.0).or(&[-1.0], "the box less the mask edge"))
        .usual("Diameter of the mask around particles, Å")
        .on_continue(IfGiven),
        OptionEntry::flag(
            "--zero_mask",
            "Fill the background of particles with its mean instead of noise",
        )
        .usual("Fill the background with its mean, not noise"),
        OptionEntry::flag(
            "--flatten_solvent",
            "Mask the references in every iteration (sphere, or --solvent_mask)",
        )
        .usual("Mask the references in every iteration")
        .on_continue(SwitchOn),
        OptionEntry::text(
            "--solvent_mask",
            "None",
            "Map with values 0…1 used as mask for the references",
        )
        .usual("Map used as that mask")
        .on_continue(IfGiven),
        OptionEntry::text(
            "--solvent_mask2",
            "None",
            "Second mask, inside which the solvent takes its own mean density",
        )
        .on_continue(IfGiven),
        OptionEntry::text(
            "--lowpass_mask",
            "None",
            "Mask inside which the references are low-passed to --lowpass",
        )
        .on_continue(MustBeRepeated),
        OptionEntry::real(
            "--lowpass",
            "0",
            "Å",
            "Resolution limit inside --lowpass_mask",
        ).with("--lowpass_mask").within(Range::RESOLUTION.or(&[0.0], "none"))
        .on_continue(MustBeRepeated),
        OptionEntry::text(
            "--tau",
            "None",
            "STAR file with a fixed tau2 spectrum",
        )
        .on_continue(IfGiven),
        OptionEntry::text(
            "--local_symmetry",
            "None",
            "STAR file with the masks and operators of local symmetry, over which every map is averaged",
        ),
        OptionEntry::flag(
            "--split_random_halves",
            "Refine two random halves of the data independently (gold standard); part of auto-refine",
        )
        .usual("Two independent half-sets (with --auto_refine)"),
        OptionEntry::real(
            "--low_resol_join_halves",
            "-1",
            "Å",
            "Average the two half maps up to this resolution, so that their orientations do not drift apart; -1 is off",
        ).within(Range::RESOLUTION_OR_OFF)
        .usual("Average the half maps up to this resolution, Å"),
        OptionEntry::flag(
            "--center_classes",
            "Shift every reference to its centre of mass in every iteration",
        )
        .usual("Centre the class averages in every iteration")
        .on_continue(MustBeRepeated),
        OptionEntry::flag(
            "--print_metadata_labels",
            "List the metadata labels known to the program and stop",
        )
        .on_continue(FromCommandLine),
        OptionEntry::flag(
            "--print_symmetry_ops",
            "Print the operators of the point group given by --sym and stop",
        )
        .on_continue(FromCommandLine),
        OptionEntry::text(
            "--pipeline_control",
            "",
            "Prefix (folder with a slash) of the RELION_JOB_EXIT_SUCCESS, _FAILURE and _ABORTED files of the job scheduler",
        )
        .on_continue(FromCommandLine),
        OptionEntry::real(
            "--reject_limit",
            "0",
            "%",
            "Look at all images before the run, leave out particles whose image is missing in its stack, not finite or all zero, up to this share, and list them in <o>_rejected.star; 0 makes them errors (not a RELION option)",
        ).on_continue(StartOnly).within(Range::between(0.0, 99.0)),
        OptionEntry::flag("--version", "Print the version and stop").on_continue(FromCommandLine),
        OptionEntry::flag("--help", "Print all options and stop; with a word after it, those about it; -h prints the usual ones").on_continue(FromCommandLine),
        OptionEntry::flag(
            "--auto_refine",
            "3D auto-refinement: sampling, convergence and the end of the run are decided by the program",
        )
        .usual("Auto-refinement, which ends by itself"),
        OptionEntry::integer(
            "--auto_iter_max",
            "999",
            "",
            "Last iteration of auto-refine if it has not converged before",
        ).within(Range::at_least(1.0))
        .on_continue(MustBeRepeated),
        OptionEntry::integer(
            "--verb",
            "1",
            "",
            "How much is printed: 0 nothing, 1 progress, 2 also estimates of memory",
        ).within(Range::between(0.0, 10.0))
        .on_continue(FromCommandLine),
        OptionEntry::text(
            "--json_log",
            "",
            "File that gets a line of JSON per stage, for schedulers and dashboards; docs/json-log.md lists the fields (not a RELION option)",
        )
        .on_continue(FromCommandLine),
    ],
);

/// Starting references.
pub(super) const INITIALISATION: &[OptionEntry] = &OptionEntry::under(
    Group::Initialisation,
    [
        OptionEntry::text(
            "--ref",
            "None",
            "Starting reference: a map or 2D image, or a STAR file with one per class. Without it, 2D class averages are made from the images (or maps, with --denovo_3dref)",
        ).on_continue(StartOnly)
        .usual("Starting map; without it, 2D averages are made"),
        OptionEntry::flag(
            "--denovo_3dref",
            "Without --ref: make the first maps from images in random orientations",
        )
        .usual("Make the first maps from the particles"),
        OptionEntry::flag(
            "--no_init_blobs",
            "Start from averages of unaligned images themselves, rather than from random blobs of their strength",
        ).on_continue(StartOnly),
        OptionEntry::real(
            "--offset",
            "10",
            "Å",
            "Standard deviation of the particle offsets at the start",
        ).within(Range::between(0.0, 10_000.0))
        .on_continue(IfGiven),
        OptionEntry::flag(
            "--firstiter_cc",
            "Use normalised cross-correlation in iteration 1, for references that are not on the absolute grey scale",
        ).on_continue(StartOnly)
        .usual("Reference is on another grey scale"),
        OptionEntry::real(
            "--ini_high",
            "-1",
            "Å",
            "Low-pass filter applied to the starting references; -1 is off",
        ).within(Range::RESOLUTION_OR_OFF)
        .usual("Low-pass the starting maps to this, Å"),
        OptionEntry::real(
            "--ref_angpix",
            "-1",
            "Å/pixel",
            "Pixel size of the reference, if its header is wrong; -1 means the header",
        ).on_continue(StartOnly).within(Range::PIXEL_SIZE.or(&[-1.0], "from the header")),
        OptionEntry::flag(
            "--trust_ref_size",
            "Rescale and re-box the reference to the particles where its size or pixel size differ",
        )
        .usual("Rescale the reference to the particles")
        .on_continue(FromCommandLine),
    ],
);
