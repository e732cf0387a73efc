//! Poses that a run starts from must be in the particle file: taken as 0, they would give a wrong result without a word.

use crate::dataset::ParticleSet;
use crate::dataset::particle_checks::orientations_in_radians;
use crate::errors::{Code, Message};
use crate::geometry::sampling::Sampling;
use crate::refinement::settings::Settings;

/// Columns of the angles, and of their priors.
const ANGLES: [[&str; 2]; 3] = [
    ["rlnAngleRot", "rlnAngleRotPrior"],
    ["rlnAngleTilt", "rlnAngleTiltPrior"],
    ["rlnAnglePsi", "rlnAnglePsiPrior"],
];

/// Angles of the file that options need.
struct Need {
    /// Options that need them, as the user knows them.
    options: &'static str,
    /// Use that these options make of the angles.
    use_of_angles: &'static str,
    /// Which angles.
    angles: [bool; 3],
    /// The columns of priors do as well.
    or_priors: bool,
}

impl Need {
    /// The need of a new run whose grid has this HEALPix order.
    fn of(settings: &Settings, healpix_order: u32) -> Option<Self> {
        let widths = settings.sigma_angles.map(|sigma| sigma > 0.0);
        let automatic = settings.auto_refine || settings.auto_sampling;
        let need = |options, use_of_angles, angles, or_priors| {
            Some(Self {
                options,
                use_of_angles,
                angles,
                or_priors,
            })
        };
        const AROUND: &str = "searches orientations around those of the file";
        if settings.skip_align {
            need(
                "--skip_align",
                "keeps the orientations of the file",
                [true; 3],
                false,
            )
        } else if settings.skip_rotate {
            need(
                "--skip_rotate",
                "keeps the orientations of the file",
                [true; 3],
                false,
            )
        } else if widths == [true; 3] {
            need(
                "--sigma_ang (or --sigma_rot, --sigma_tilt, --sigma_psi)",
                AROUND,
                widths,
                false,
            )
        } else if automatic && healpix_order >= settings.auto_local_healpix_order {
            need(
                "--healpix_order of at least --auto_local_healpix_order",
                AROUND,
                [true; 3],
                false,
            )
        } else if widths.contains(&true) {
            need(
                "--sigma_rot, --sigma_tilt or --sigma_psi",
                AROUND,
                widths,
                true,
            )
        } else {
            None
        }
    }
}

/// Checks that the particle file of a new run holds the poses that the options start from. Returns warnings.
///
/// # Errors
/// A column of angles that is needed is missing, or a particle has none in it.
pub(crate) fn check(
    settings: &Settings,
    sampling: &Sampling,
    set: &ParticleSet,
) -> Result<Vec<String>, Message> {
    let Some(mut need) = Need::of(settings, sampling.healpix_order) else {
        return Ok(Vec::new());
    };
    if sampling.in_plane {
        // Class averages know only psi.
        need.angles[..2].fill(false);
    }
    let Need {
        options,
        use_of_angles,
        ..
    } = need;
    let there = |[angle, prior]: [&str; 2]| {
        set.has_column(angle) || (need.or_priors && set.has_column(prior))
    };
    let needed = ANGLES.into_iter().zip(need.angles);
    let needed: Vec<[&str; 2]> = needed
        .filter_map(|(columns, needed)| needed.then_some(columns))
        .collect();
    let missing: Vec<&str> = needed
        .iter()
        .filter(|columns| !there(**columns))
        .map(|[angle, _]| *angle)
        .collect();
    if !missing.is_empty() {
        return Err(Code::MISSING_POSES.says(format!(
            "{}: {options} {use_of_angles}, but the file has no column {}, so 0 would be taken for all particles. Give the \
             _data.star file of a run that has aligned these particles, or leave the option out.",
            set.source().display(),
            missing.join(", ")
        )));
    }
    let by_angle = needed
        .iter()
        .filter(|[_, prior]| !(need.or_priors && set.has_column(prior)));
    set.require_angles(options, by_angle.map(|[angle, _]| *angle))?;
    let mut warnings = Vec::new();
    let particles = &set.particles;
    let zero = particles
        .iter()
        .all(|p| [p.rot, p.tilt, p.psi] == [0.0; 3] && p.angle_prior.iter().all(Option::is_none));
    if zero && particles.len() > 1 {
        warnings.push(format!(
            "{options} {use_of_angles}, and all angles of {} are 0: have these particles been aligned?",
            set.source().display()
        ));
    }
    warnings.extend(orientations_in_radians(set).filter(|_| !sampling.in_plane));
    if settings.skip_align && !set.has_column("rlnOriginXAngst") {
        warnings.push(format!(
            "--skip_align keeps the shifts of the file, but {} has no columns rlnOriginXAngst and rlnOriginYAngst: all \
             particles are taken to be centred in their images.",
            set.source().display()
        ));
    }
    Ok(warnings)
}
