//! Options that have no meaning where only the tilt is searched (spec 01 §4.7).

use crate::refinement::settings::Settings;

/// Why `--only_sample_tilt` cannot be combined with another option.
pub(super) fn excluded_by(settings: &Settings) -> Option<String> {
    if !settings.only_sample_tilt {
        return None;
    }
    const LOCAL: &str =
        "searches around orientations of its own, and there is one direction per tilt";
    const KEPT: &str = "keeps the orientations of the file";
    let given = [
        (
            "--auto_refine",
            settings.auto_refine,
            "goes over to local searches",
        ),
        (
            "--auto_sampling",
            settings.auto_sampling,
            "goes over to local searches",
        ),
        ("--grad", settings.gradient.on, "finds all three angles"),
        ("--relax_sym", settings.relaxed_symmetry.is_some(), LOCAL),
        (
            "--sigma_ang, --sigma_rot, --sigma_tilt or --sigma_psi",
            settings.sigma_angles.iter().any(|&sigma| sigma > 0.0),
            LOCAL,
        ),
        ("--skip_align", settings.skip_align, KEPT),
        ("--skip_rotate", settings.skip_rotate, KEPT),
        (
            "--limit_tilt",
            settings.limit_tilt.abs() < 90.0,
            "leaves out directions of the usual grid",
        ),
        (
            "--psi_step",
            settings.psi_step.is_some(),
            "gives steps of psi, which is 0",
        ),
    ];
    let (option, _, does) = given.into_iter().find(|(_, given, _)| *given)?;
    Some(format!(
        "--only_sample_tilt searches the tilt alone and cannot be combined with {option}, which {does}. Leave out one of them"
    ))
}
