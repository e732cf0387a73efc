//! Searches and their limits: skipped alignment and rotation, angular priors.

use crate::images::{Exposure, Set};
use gerelion::geometry::{euler, random::CRandom};

const IMAGES: usize = 60;
const USUAL: &str = "--iter 1 --ctf --sym C4 --zero_mask --ini_high 15 --perturb 0 --random_seed 1";

#[test]
fn without_alignment_poses_stay_as_they_are() {
    let set = Set::new("C4", &[Exposure::new(IMAGES)]);
    let root = set.run("poses.star", &format!("{USUAL} --skip_align"));
    for (angle, [x, y]) in set.errors(&root, 1) {
        assert!(
            angle < 1e-4 && x.abs() < 1e-4 && y.abs() < 1e-4,
            "{angle} {x} {y}"
        );
    }
}

/// The grid has a step of 1 pixel = 4 Å; its nearest point is at most 2 Å away along each axis.
#[test]
fn without_rotation_offsets_are_found_and_angles_stay() {
    let set = Set::new("C4", &[Exposure::new(IMAGES)]);
    set.write_poses("centred.star", |_, angles, _| (angles, [0.0; 2]));
    let root = set.run(
        "centred.star",
        &format!("{USUAL} --skip_rotate --offset_range 3 --offset_step 1"),
    );
    let errors = set.errors(&root, 1);
    assert!(errors.iter().all(|(angle, _)| *angle < 1e-4));
    let nearest = errors
        .iter()
        .filter(|(_, [x, y])| x.abs() < 2.3 && y.abs() < 2.3);
    let nearest = nearest.count();
    assert!(
        nearest >= IMAGES * 95 / 100,
        "{nearest} of {IMAGES}: {errors:.1?}"
    );
}

/// Angles that are wrong by a few degrees are mended by a search around them.
#[test]
fn local_searches_mend_angles() {
    let set = Set::new("C4", &[Exposure::new(IMAGES)]);
    set.write_poses("near.star", |i, angles, origin| {
        let mut random = CRandom::new(i as u32);
        (
            angles.map(|a| a + f64::from(random.uniform(-6.0, 6.0))),
            origin,
        )
    });
    let root = set.run(
        "near.star",
        &format!("{USUAL} --sigma_ang 3 --healpix_order 3 --offset_range 2 --offset_step 2"),
    );
    let mut errors: Vec<f64> = set.errors(&root, 1).iter().map(|e| e.0).collect();
    errors.sort_by(f64::total_cmp);
    // Half the diagonal of a cell of the fine grid (step 3.75°) is about 3°.
    println!("{errors:.1?}");
    assert!(
        errors[IMAGES / 2] < 3.0 && errors[IMAGES * 9 / 10] < 5.0,
        "{errors:.1?}"
    );
}

/// A search of σ around wrong angles cannot go further than 3σ, and half a step of the grid.
#[test]
fn local_searches_stay_within_three_sigma() {
    let set = Set::new("C1", &[Exposure::new(IMAGES)]);
    set.write_poses("far.star", |_, angles, origin| {
        ([angles[0], (angles[1] + 40.0) % 180.0, angles[2]], origin)
    });
    let (sigma, step) = (4.0, 7.5);
    let options = USUAL.replace("--sym C4", "--sym C1");
    let root = set.run(
        "far.star",
        &format!("{options} --sigma_rot {sigma} --sigma_tilt {sigma} --sigma_psi {sigma} --healpix_order 3 --offset_range 2"),
    );
    for (i, found) in set.poses(&root, 1).into_iter().enumerate() {
        let [rot, tilt, _] = set.angles[i];
        let direction = |rot: f64, tilt: f64| euler::viewing_direction(rot, tilt);
        let (a, b) = (
            direction(found[0], found[1]),
            direction(rot, (tilt + 40.0) % 180.0),
        );
        let cosine: f64 = a.iter().zip(&b).map(|(x, y)| x * y).sum();
        let angle = cosine.clamp(-1.0, 1.0).acos().to_degrees();
        assert!(angle < 3.0 * sigma + step, "particle {}: {angle}", i + 1);
    }
}

/// With a prior on psi alone, all directions are searched but psi keeps near its old value.
#[test]
fn a_prior_on_psi_alone_leaves_directions_free() {
    let set = Set::new("C1", &[Exposure::new(IMAGES)]);
    set.write_poses("psi.star", |_, angles, origin| {
        ([0.0, 0.0, angles[2]], origin)
    });
    let options = USUAL.replace("--sym C4", "--sym C1");
    let root = set.run(
        "psi.star",
        &format!("{options} --sigma_psi 3 --healpix_order 2 --offset_range 2"),
    );
    let found = set.poses(&root, 1);
    let mut far = 0;
    for (i, pose) in found.iter().enumerate() {
        let difference = (pose[2] - set.angles[i][2] + 540.0).rem_euclid(360.0) - 180.0;
        assert!(
            difference.abs() < 9.0 + 7.5,
            "particle {}: {difference}",
            i + 1
        );
        far += usize::from(pose[1] > 30.0);
    }
    assert!(far > IMAGES / 2, "{far} of {IMAGES} left the pole");
}
