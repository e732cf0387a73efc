//! `_sampling.star`: the grid of orientations and translations (spec 03 §1.4).

use crate::formats::star::{Document, Table};
use crate::geometry::sampling::Sampling;
use crate::refinement::checkpoint::OriginalSampling;

/// All tables of a sampling file.
pub fn document(sampling: &Sampling, original: &OriginalSampling) -> Document {
    let mut tables = vec![general(sampling, original)];
    if !sampling.in_plane {
        tables.push(directions(sampling));
    }
    Document {
        tables,
        ..Document::default()
    }
}

fn general(sampling: &Sampling, original: &OriginalSampling) -> Table {
    let mut t = Table::new_list("sampling_general");
    t.push("rlnIs3DSampling", !sampling.in_plane);
    t.push("rlnIs3DTranslationalSampling", false);
    if !sampling.in_plane {
        t.push("rlnHealpixOrder", i64::from(sampling.healpix_order));
        t.push("rlnSymmetryGroup", sampling.symmetry.name());
        t.push("rlnTiltAngleLimit", sampling.limit_tilt);
    }
    t.push("rlnPsiStep", sampling.psi_step);
    t.push("rlnOffsetRange", sampling.offset_range);
    t.push("rlnOffsetStep", sampling.offset_step);
    t.push("rlnHelicalOffsetStep", -1.0);
    t.push("rlnSamplingPerturbInstance", sampling.perturbation);
    t.push("rlnSamplingPerturbFactor", sampling.perturbation_factor);
    t.push("rlnHealpixOrderOriginal", i64::from(original.healpix_order));
    t.push("rlnPsiStepOriginal", original.psi_step);
    t.push("rlnOffsetRangeOriginal", original.offset_range);
    t.push("rlnOffsetStepOriginal", original.offset_step);
    t
}

fn directions(sampling: &Sampling) -> Table {
    let mut t = Table::new_loop("sampling_directions", &["rlnAngleRot", "rlnAngleTilt"]);
    for direction in &sampling.directions {
        t.push_row(vec![direction.rot.into(), direction.tilt.into()]);
    }
    t
}
