//! Gradient refinement (VDAM), and self-organising maps, which are refused.

use super::super::entry::{Group, OnContinue, OptionEntry};
use super::super::range::Range;
use OnContinue::IfGiven;

const SOM: &str = "self-organising maps of classes are not part of this program; leave it out to classify with --grad";
const NO_LIMIT: &str =
    "RELION reads it and never uses it: the resolution of a gradient run follows from its data";

/// Stochastic gradient, VDAM and self-organising maps.
pub(super) const GRADIENT: &[OptionEntry] = &OptionEntry::under(
    Group::Gradient,
    [
        OptionEntry::flag(
            "--grad",
            "Gradient-driven refinement (VDAM): every iteration takes a random subset of the particles",
        )
        .usual("Gradient refinement (VDAM)"),
        OptionEntry::integer(
            "--grad_em_iters",
            "0",
            "",
            "Expectation-maximisation iterations over all particles at the end",
        ).within(Range::NOT_NEGATIVE)
        .on_continue(IfGiven),
        OptionEntry::real(
            "--grad_ini_frac",
            "0.3",
            "",
            "Fraction of iterations in the first phase, with small subsets and large steps",
        ).within(Range::between(0.001, 0.999))
        .on_continue(IfGiven),
        OptionEntry::real(
            "--grad_fin_frac",
            "0.2",
            "",
            "Fraction of iterations in the last phase, with large subsets and small steps",
        ).within(Range::between(0.001, 0.999))
        .on_continue(IfGiven),
        OptionEntry::real(
            "--grad_min_resol",
            "20",
            "Å",
            "Resolution at which references are kept apart",
        )
        .without_effect(NO_LIMIT),
        OptionEntry::real(
            "--grad_ini_resol",
            "-1",
            "Å",
            "Resolution limit in the first phase",
        )
        .on_continue(IfGiven)
        .without_effect(NO_LIMIT),
        OptionEntry::real(
            "--grad_fin_resol",
            "-1",
            "Å",
            "Resolution limit in the last phase",
        )
        .on_continue(IfGiven)
        .without_effect(NO_LIMIT),
        OptionEntry::integer(
            "--grad_ini_subset",
            "-1",
            "",
            "Particles per subset in the first phase (-1: by the number of particles)",
        ).within(Range::at_least(1.0).or(&[-1.0], "by the number of particles"))
        .on_continue(IfGiven),
        OptionEntry::integer(
            "--grad_fin_subset",
            "-1",
            "",
            "Particles per subset in the last phase (-1: by the number of particles)",
        ).within(Range::at_least(1.0).or(&[-1.0], "by the number of particles"))
        .on_continue(IfGiven),
        OptionEntry::real(
            "--mu",
            "0.9",
            "",
            "Share of the old value in the running means of noise, scales, fractions and offsets",
        ).within(Range::between(0.0, 1.0))
        .on_continue(IfGiven),
        OptionEntry::real(
            "--grad_stepsize",
            "-1",
            "",
            "Step size (-1: 0.5 with --denovo_3dref, else 0.3)",
        ).within(Range::between(1e-6, 1000.0).or(&[-1.0], "by the kind of job"))
        .on_continue(IfGiven),
        OptionEntry::text(
            "--grad_stepsize_scheme",
            "",
            "Schedule of the step size: plain, or X-step to begin with X times the step size",
        )
        .on_continue(IfGiven),
        OptionEntry::integer(
            "--grad_write_iter",
            "10",
            "",
            "Iterations between written results",
        ).within(Range::at_least(1.0))
        .on_continue(IfGiven),
        OptionEntry::text(
            "--tau2_fudge_scheme",
            "",
            "Schedule of --tau2_fudge: plain, or X-step to begin with a part X of it",
        )
        .on_continue(IfGiven),
        OptionEntry::flag("--som", "Self-organising map of classes").refused(SOM),
        OptionEntry::integer("--som_ini_nodes", "2", "", "Nodes of the map at the start")
            .refused(SOM),
        OptionEntry::real("--som_connectivity", "5", "", "Edges per node").refused(SOM),
        OptionEntry::real(
            "--som_inactivity_threshold",
            "0.01",
            "",
            "Share of particles below which a node is dropped",
        )
        .refused(SOM),
        OptionEntry::real("--som_neighbour_pull", "0.2", "", "Pull between neighbours")
            .refused(SOM),
        OptionEntry::real(
            "--class_inactivity_threshold",
            "0",
            "",
            "With --grad, a class with less than this fraction of an equal share is replaced by a copy of another (0: none is)",
        ).within(Range::between(0.0, 1.0))
        .usual("Replace classes below this share of particles")
        .on_continue(IfGiven),
    ],
);
