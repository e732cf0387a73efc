//! Coverage of known distributions of views; the table as it is written and read.

use super::coverage::sampling;
use super::table::{read_table, write};
use super::{Check, Validation, Verdict};
use crate::geometry::healpix;
use crate::geometry::symmetry::PointGroup;

/// Views from the centres of HEALPix pixels whose tilt lies in a range.
fn views(tilts: std::ops::RangeInclusive<f64>) -> Vec<[f64; 2]> {
    (0..healpix::pixel_count(4))
        .map(|pixel| healpix::direction(4, pixel))
        .filter(|(_, tilt)| tilts.contains(tilt))
        .map(|(rot, tilt)| [rot, tilt])
        .collect()
}

fn scf(views: &[[f64; 2]], group: &str) -> [f64; 2] {
    sampling(views, &PointGroup::parse(group).unwrap()).unwrap()
}

/// 1 for even views; 8/π² for side views, whose sampling at an angle θ from the axis is 2/(π sin θ), so that the mean of its
/// inverse is π²/8; and views from the top leave all but a band around the equator empty.
#[test]
fn known_distributions_have_known_factors() {
    let [even, empty] = scf(&views(0.0..=180.0), "C1");
    assert!((even - 1.0).abs() < 0.02 && empty == 0.0, "{even} {empty}");
    let side: Vec<[f64; 2]> = (0..720).map(|i| [f64::from(i) / 2.0, 90.0]).collect();
    let [of_side, empty] = scf(&side, "C1");
    let expected = 8.0 / std::f64::consts::PI.powi(2);
    assert!(
        (of_side - expected).abs() < 0.02,
        "{of_side} for {expected}"
    );
    assert_eq!(empty, 0.0);
    let [top, empty] = scf(&views(0.0..=20.0), "C1");
    assert!(top < 0.1 && empty > 0.5, "{top} {empty}");
    // Tetrahedral copies of a wide cap of views reach everywhere; copies about the axis of the views add nothing.
    let [of_t, _] = scf(&views(0.0..=40.0), "T");
    let [of_c7, _] = scf(&views(0.0..=40.0), "C7");
    assert!(of_t > 0.5 && of_c7 < 0.1, "{of_t} {of_c7}");
    assert_eq!(sampling(&[], &PointGroup::c1()), None);
}

#[test]
fn figures_are_judged_by_two_bounds() {
    let of = |value| Verdict::of_rising(value, 0.1, 0.3);
    assert_eq!(
        [of(0.1), of(0.2), of(0.31), of(f64::NAN)],
        [Verdict::Good, Verdict::Look, Verdict::Bad, Verdict::Bad]
    );
}

#[test]
fn the_table_is_read_as_it_was_written() {
    let check = |verdict| Check::new("a name", "1.25 Å", verdict, "it's \"so\"", "do this");
    let checks = Verdict::ALL.map(check).to_vec();
    assert_eq!(checks[1].advice, "", "nothing is to do about what is good");
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("run").to_string_lossy().into_owned();
    write(&prefix, &checks).unwrap();
    let read = read_table(&super::table_path(&prefix)).unwrap();
    assert_eq!(read, checks);
    let found = Validation {
        checks,
        warnings: Vec::new(),
    };
    assert!(found.has_bad());
    let text = found.to_string();
    assert!(text.ends_with("1 unknown, 1 good, 1 look, 1 bad"), "{text}");
}
