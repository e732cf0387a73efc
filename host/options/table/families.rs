//! Whole families of options that are refused: their work is not part of this program.

use super::super::entry::{Group, OnContinue, OptionEntry};
use OnContinue::{ContinueOnly, FromCommandLine, IfGiven};

/// Helical reconstruction.
pub const HELIX: [OptionEntry; 22] = OptionEntry::under(
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
                "Mask of the references in Fourier space",
            ),
            OptionEntry::flag("--bimodal_psi", "Search psi around two opposite values")
                .on_continue(FromCommandLine),
        ],
    ),
);

/// Stochastic gradient, VDAM and self-organising maps.
pub const GRADIENT: [OptionEntry; 20] = OptionEntry::under(
    Group::Gradient,
    OptionEntry::all_refused(
        "gradient refinement (VDAM, InitialModel) is not part of this program; leave it out to run expectation-maximisation, or use RELION",
        [
            OptionEntry::flag("--grad", "Gradient-driven refinement (VDAM)"),
            OptionEntry::integer(
                "--grad_em_iters",
                "0",
                "",
                "Expectation-maximisation iterations at the end",
            )
            .on_continue(IfGiven),
            OptionEntry::real(
                "--grad_ini_frac",
                "0.3",
                "",
                "Fraction of iterations in the first phase",
            )
            .on_continue(IfGiven),
            OptionEntry::real(
                "--grad_fin_frac",
                "0.2",
                "",
                "Fraction of iterations in the last phase",
            )
            .on_continue(IfGiven),
            OptionEntry::real(
                "--grad_min_resol",
                "20",
                "Å",
                "Resolution at which references are kept apart",
            ),
            OptionEntry::real(
                "--grad_ini_resol",
                "-1",
                "Å",
                "Resolution limit in the first phase",
            )
            .on_continue(IfGiven),
            OptionEntry::real(
                "--grad_fin_resol",
                "-1",
                "Å",
                "Resolution limit in the last phase",
            )
            .on_continue(IfGiven),
            OptionEntry::integer(
                "--grad_ini_subset",
                "-1",
                "",
                "Particles per subset in the first phase",
            )
            .on_continue(IfGiven),
            OptionEntry::integer(
                "--grad_fin_subset",
                "-1",
                "",
                "Particles per subset in the last phase",
            )
            .on_continue(IfGiven),
            OptionEntry::real("--mu", "0.9", "", "Momentum of the gradient").on_continue(IfGiven),
            OptionEntry::real("--grad_stepsize", "-1", "", "Step size").on_continue(IfGiven),
            OptionEntry::text("--grad_stepsize_scheme", "", "Schedule of the step size")
                .on_continue(IfGiven),
            OptionEntry::integer(
                "--grad_write_iter",
                "10",
                "",
                "Iterations between written results",
            )
            .on_continue(IfGiven),
            OptionEntry::text("--tau2_fudge_scheme", "", "Schedule of --tau2_fudge")
                .on_continue(IfGiven),
            OptionEntry::flag("--som", "Self-organising map of classes"),
            OptionEntry::integer("--som_ini_nodes", "2", "", "Nodes of the map at the start"),
            OptionEntry::real("--som_connectivity", "5", "", "Edges per node"),
            OptionEntry::real(
                "--som_inactivity_threshold",
                "0.01",
                "",
                "Share of particles below which a node is dropped",
            ),
            OptionEntry::real("--som_neighbour_pull", "0.2", "", "Pull between neighbours"),
            OptionEntry::real(
                "--class_inactivity_threshold",
                "0",
                "",
                "Share of particles below which a class is replaced",
            )
            .on_continue(IfGiven),
        ],
    ),
);

/// Tomography and subtomograms.
pub const TOMOGRAPHY: [OptionEntry; 7] = OptionEntry::under(
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
pub const MULTI_BODY: [OptionEntry; 3] = OptionEntry::under(
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
