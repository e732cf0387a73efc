//! Point groups: a few images of a symmetric particle show all of it, and only if the symmetry is used.

use crate::images::{Exposure, Set, smallest};

/// Reconstruct `images` true poses with and without the symmetry, then search for the poses.
fn check(group: &str, images: usize, order: usize) {
    let set = Set::new(group, &[Exposure::new(images)]);
    let with = smallest(&set.reconstruct(&format!("--ctf --sym {group}")), 14);
    let without = smallest(&set.reconstruct("--ctf --sym C1"), 14);
    println!("{group}: smallest FSC to the truth {with:.3}, without symmetry {without:.3}");
    assert!(with > 0.9 && without < with - 0.05, "{with} {without}");
    let root = set.run(
        "images.star",
        &format!(
            "--iter 1 --ctf --sym {group} --zero_mask --ini_high 15 --healpix_order {order} --offset_range 3 --offset_step 2 \
             --perturb 0 --random_seed 1"
        ),
    );
    // With as little noise as here, only the best point of the first pass (steps of 15° or 7.5°) is looked at closer.
    let errors = set.errors(&root, 1);
    let good = errors
        .iter()
        .filter(|(angle, [x, y])| *angle < 12.0 && x.hypot(*y) < 4.0)
        .count();
    println!("{group}: {good} of {images} poses found");
    assert!(
        good >= images * 9 / 10,
        "{group}: {good} of {images}: {errors:.1?}"
    );
}

#[test]
fn dihedral() {
    check("D2", 40, 2);
    check("D7", 16, 2);
}

#[test]
fn tetrahedral() {
    check("T", 20, 3);
}

#[test]
fn octahedral() {
    check("O", 20, 3);
}

#[test]
fn icosahedral() {
    // The directions of coarser grids leave gaps along the edges of so small an asymmetric unit.
    for setting in ["I1", "I2", "I3", "I4"] {
        check(setting, 20, 4);
    }
}
