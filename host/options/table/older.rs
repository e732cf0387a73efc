//! Options of GeRelion and of older RELION versions that stand on command lines still in use (spec 03 §3.3, §7.1).

use super::super::entry::{Group, OnContinue, OptionEntry};
use super::super::range::Range;
use OnContinue::{FromCommandLine, IfGiven};

const MOVIES: &str =
    "movie processing was removed from RELION; use Bayesian polishing on the particles";
const ANNEALING: &str =
    "simulated annealing changes the result and was removed from RELION; leave it out";
const SGD: &str = "gradient options of RELION 2 and 3; first maps from nothing are made by --grad --denovo_3dref, as RELION 4 and 5 do";

/// Accepted.
pub(super) const OLDER: &[OptionEntry] = &OptionEntry::under(
    Group::Older,
    [
        OptionEntry::real(
            "--angpix",
            "-1",
            "Å/pixel",
            "Pixel size of particle files that carry none; checked against the optics table where there is one",
        ).within(Range::PIXEL_SIZE.or(&[-1.0], "from the particle file"))
        .on_continue(FromCommandLine),
        OptionEntry::flag(
            "--ctf_corrected_ref",
            "The reference has been CTF corrected",
        )
        .without_effect("it is the default since RELION 4; the opposite is --ctf_uncorrected_ref"),
        OptionEntry::flag("--skip_gridding", "RELION 3: reconstruct without iterative gridding")
            .on_continue(FromCommandLine)
            .without_effect("it is the default since RELION 4; the opposite is --dont_skip_gridding"),
        OptionEntry::real(
            "--memory_per_thread",
            "2",
            "GB",
            "Memory that RELION 1 and GeRelion allowed each thread",
        )
        .on_continue(FromCommandLine)
        .without_effect("memory is planned from what the run needs"),
        OptionEntry::integer(
            "--extra_iter",
            "0",
            "",
            "GeRelion: iterations of an auto-refinement between convergence and the last, joined one",
        ).within(Range::NOT_NEGATIVE)
        .on_continue(IfGiven),
        OptionEntry::text(
            "--red_mask",
            "None",
            "GeRelion: mask of the region that particles are aligned by; the signal of --yellow_mask or --yellow_map is subtracted from \
             the images before they are compared",
        )
        .on_continue(IfGiven),
        OptionEntry::text(
            "--yellow_mask",
            "None",
            "GeRelion: mask of the region of the current map whose signal is subtracted (needs --red_mask)",
        )
        .on_continue(IfGiven),
        OptionEntry::text(
            "--yellow_map",
            "None",
            "GeRelion: map of the signal that is subtracted, on the grey scale of the images (needs --red_mask)",
        )
        .on_continue(IfGiven),
        OptionEntry::text(
            "--fsc_mask",
            "None",
            "GeRelion: mask of both half maps for the gold-standard FSC, without a correction for its effect",
        )
        .on_continue(IfGiven),
        OptionEntry::real("--eps_map", "0", "", "RELION 1: smallest weight in the reconstruction")
            .without_effect("unknown to RELION 5, which ignores it"),
    ],
);

/// Refused: they change results and nothing here does what they did.
pub(super) const REMOVED: &[OptionEntry] = &OptionEntry::under(
    Group::Older,
    [
        OptionEntry::flag("--sim_anneal", "GeRelion: simulated annealing").refused(ANNEALING),
        OptionEntry::real(
            "--temp_ini",
            "1000",
            "",
            "GeRelion: first temperature of --sim_anneal",
        )
        .refused(ANNEALING),
        OptionEntry::real(
            "--temp_fin",
            "1",
            "",
            "GeRelion: last temperature of --sim_anneal",
        )
        .refused(ANNEALING),
        OptionEntry::text(
            "--template",
            "None",
            "GeRelion: text file with words that replace the command line",
        )
        .refused("give the words of the file on the command line"),
        OptionEntry::text(
            "--realign_movie_frames",
            "",
            "RELION 1–2: movie particle file",
        )
        .refused(MOVIES),
        OptionEntry::integer("--nr_frames_prior", "5", "", "RELION 1–2: frames per prior")
            .refused(MOVIES),
        OptionEntry::integer(
            "--movie_frames_running_avg",
            "3",
            "",
            "RELION 1–2: frames averaged",
        )
        .refused(MOVIES),
        OptionEntry::real(
            "--sigma_off",
            "1000",
            "pixels",
            "RELION 1–2: offset prior of movie frames",
        )
        .refused(MOVIES),
        OptionEntry::flag("--sgd", "RELION 2–3: stochastic gradient descent").refused(SGD),
        OptionEntry::integer(
            "--subset_size",
            "-1",
            "",
            "RELION 2–3: particles per subset",
        )
        .refused(SGD),
        OptionEntry::integer(
            "--sgd_ini_iter",
            "50",
            "",
            "RELION 3: first gradient iterations",
        )
        .refused(SGD),
        OptionEntry::integer(
            "--sgd_fin_iter",
            "50",
            "",
            "RELION 3: last gradient iterations",
        )
        .refused(SGD),
        OptionEntry::integer(
            "--sgd_inbetween_iter",
            "200",
            "",
            "RELION 3: gradient iterations in between",
        )
        .refused(SGD),
        OptionEntry::real(
            "--sgd_ini_resol",
            "35",
            "Å",
            "RELION 3: resolution limit of the first iterations",
        )
        .refused(SGD),
        OptionEntry::real(
            "--sgd_fin_resol",
            "15",
            "Å",
            "RELION 3: resolution limit of the last iterations",
        )
        .refused(SGD),
        OptionEntry::integer(
            "--sgd_ini_subset",
            "100",
            "",
            "RELION 3: particles per first iteration",
        )
        .refused(SGD),
        OptionEntry::integer(
            "--sgd_fin_subset",
            "500",
            "",
            "RELION 3: particles per last iteration",
        )
        .refused(SGD),
        OptionEntry::real("--sgd_stepsize", "0.5", "", "RELION 3: step size").refused(SGD),
        OptionEntry::real(
            "--sgd_sigma2fudge_initial",
            "8",
            "",
            "RELION 3: first factor on the noise",
        )
        .refused(SGD),
        OptionEntry::real(
            "--sgd_sigma2fudge_halflife",
            "-1",
            "",
            "RELION 3: particles in which the factor halves",
        )
        .refused(SGD),
        OptionEntry::flag("--sgd_skip_anneal", "RELION 3: no annealing of classes").refused(SGD),
        OptionEntry::integer(
            "--sgd_write_iter",
            "1",
            "",
            "RELION 3: iterations between written results",
        )
        .refused(SGD),
        OptionEntry::flag(
            "--stochastic_em",
            "RELION 3: stochastic expectation-maximisation",
        )
        .refused(SGD),
    ],
);
