//! Meaning and limits of options where the references are 2D class averages (spec 04 §1, §12).

use crate::errors::{Code, Message};
use crate::refinement::settings::Settings;

/// Refuses options that need maps.
///
/// # Errors
/// Half-sets, gridding, and a sampling that follows the resolution.
pub(crate) fn check(settings: &Settings) -> Result<(), Message> {
    let refused = |option: &str, why: &str| {
        Err(Code::CONFLICTING_OPTIONS.says(format!(
            "{option} cannot be combined with 2D references: {why}. Leave it out, or give a map to --ref."
        )))
    };
    if settings.split_random_halves {
        return refused(
            "--auto_refine or --split_random_halves",
            "half-sets are for the refinement of maps",
        );
    }
    if settings.gridding_iterations.is_some() {
        return refused(
            "--dont_skip_gridding",
            "class averages are reconstructed by direct division",
        );
    }
    if settings.auto_sampling {
        return refused(
            "--auto_sampling",
            "class averages are searched with the steps that --psi_step and --offset_step give",
        );
    }
    if settings.relaxed_symmetry.is_some() {
        return refused("--relax_sym", "class averages have no point group");
    }
    if settings.maps.local_symmetry.is_some() {
        return refused(
            "--local_symmetry",
            "its masks and operators are those of a map",
        );
    }
    if settings.regions.subtracts() {
        return refused(
            "--red_mask",
            "the signal that is subtracted is that of a region of a map",
        );
    }
    if settings.maps.blush {
        return refused("--blush", "its network knows maps only");
    }
    Ok(())
}

/// Returns warnings about options that have no effect.
pub(crate) fn warnings(settings: &Settings) -> Vec<String> {
    let mut without_effect = Vec::new();
    if !settings.symmetry.eq_ignore_ascii_case("C1") {
        without_effect.push("--sym");
    }
    if settings.healpix_order.is_some() {
        without_effect.push("--healpix_order");
    }
    if without_effect.is_empty() {
        return Vec::new();
    }
    let why = match settings.reference {
        None => "Without --ref and --denovo_3dref 2D class averages are made",
        Some(_) => "--ref gives 2D class averages",
    };
    vec![format!(
        "{why}, on which {} {} no effect. For maps give one to --ref.",
        without_effect.join(" and "),
        if without_effect.len() == 1 {
            "has"
        } else {
            "have"
        }
    )]
}
