//! Whole families of options that are refused: their work is not part of this program.

use super::super::entry::{Group, OnContinue, OptionEntry};
use OnContinue::{ContinueOnly, FromCommandLine, IfGiven};

/// Helical reconstruction.
pub(super) const HELIX: &[OptionEntry] = &OptionEntry::under(
    Group::Helix,
    OptionEntry::all_refused(
        "helical processing is not part of this program; use RELION for helices",
        [
            OptionEntry::flag("--helix", "Helical reconstruction"),
            OptionEntry::flag(
                "--ignore_helical_symmetry",
                "Treat a helix without its symmetry",
            ),
            OptionEntry::integer("--helical_nr_asu", "1", "", "Asymmetrical units per box"),
            OptionEntry::real(
                "--helical_twist_initial",
                "0",
                "degrees",
                "First helical twist",
            ),
            OptionEntry::real(
                "--helical_twist_min",
                "0",
                "degrees",
                "Lowest twist searched",
            ),
            OptionEntry::real(
                "--helical_twist_max",
                "0",
                "degrees",
                "Highest twist searched",
            ),
            OptionEntry::real(
                "--helical_twist_inistep",
                "0",
                "degrees",
                "First step of the twist search",
            ),
            OptionEntry::real("--helical_rise_initial", "0", "Å", "First helical rise"),
            OptionEntry::real("--helical_rise_min", "0", "Å", "Lowest rise searched"),
            OptionEntry::real("--helical_rise_max", "0", "Å", "Highest rise searched"),
            OptionEntry::real(
                "--helical_rise_inistep",
                "0",
                "Å",
                "First step of the rise search",
            ),
            OptionEntry::integer("--helical_nstart", "1", "", "Number of helical starts"),
            OptionEntry::real(
                "--helical_z_percentage",
                "0.3",
                "",
                "Central part of the box used for the symmetry, as a fraction",
            ),
            OptionEntry::real(
                "--helical_inner_diameter",
                "-1",
                "Å",
                "Inner diameter of the tube mask",
            )
            .on_continue(IfGiven),
            OptionEntry::real(
                "--helical_outer_diameter",
                "-1",
                "Å",
                "Outer diameter of the tube mask",
            )
            .on_continue(IfGiven),
            OptionEntry::flag("--helical_symmetry_search", "Search the helical symmetry"),
            OptionEntry::real(
                "--helical_sigma_distance",
                "-1",
                "",
                "Deviation of distances along the tube",
            ),
            OptionEntry::flag(
                "--helical_keep_tilt_prior_fixed",
                "Keep the tilt prior of the start",
            ),
            OptionEntry::text(
                "--helical_exclude_resols",
                "",
                "Layer-line resolutions to leave out",
            ),
            OptionEntry::real(
                "--helical_offset_step",
                "-1",
                "Å",
                "Offset step along a helix",
            ),
            OptionEntry::text(
                "--fourier_mask",
                "None",
                "Mask of the references in Fourier space, for helices or any other run",
            ),
            OptionEntry::flag("--bimodal_psi", "Search psi around two opposite values")
                .on_continue(FromCommandLine),
        ],
    ),
);

/// Tomography and subtomograms.
pub(super) const TOMOGRAPHY: &[OptionEntry] = &OptionEntry::under(
    Group::Tomography,
    OptionEntry::all_refused(
        "subtomograms are not part of this program; use RELION for tomography",
        [
            OptionEntry::text("--tomograms", "", "Tomogram set"),
            OptionEntry::text("--trajectories", "", "Particle trajectories"),
            OptionEntry::text("--ios", "", "Optimisation set").on_continue(IfGiven),
            OptionEntry::flag("--normalised_subtomo", "Subtomograms are normalised")
                .on_continue(FromCommandLine),
            OptionEntry::flag(
                "--skip_subtomo_multi",
                "No multiplicity correction of subtomograms",
            )
            .on_continue(FromCommandLine),
            OptionEntry::flag("--ctf3d_not_squared", "The 3D CTF is not squared")
                .on_continue(FromCommandLine),
            OptionEntry::real("--subtomo_multi_thr", "0.01", "", "Multiplicity threshold")
                .on_continue(FromCommandLine),
        ],
    ),
);

/// Multi-body refinement.
pub(super) const MULTI_BODY: &[OptionEntry] = &OptionEntry::under(
    Group::MultiBody,
    OptionEntry::all_refused(
        "multi-body refinement is not part of this program; use RELION, starting from the result",
        [
            OptionEntry::text(
                "--multibody_masks",
                "",
                "STAR file with the bodies and their masks",
            )
            .on_continue(ContinueOnly),
            OptionEntry::flag(
                "--multibody_norm_overlap",
                "Share overlapping mask regions between bodies",
            )
            .on_continue(ContinueOnly),
            OptionEntry::flag(
                "--reconstruct_subtracted_bodies",
                "Reconstruct bodies with the others subtracted",
            )
            .on_continue(ContinueOnly),
        ],
    ),
);
