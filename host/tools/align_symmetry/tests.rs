use super::*;
use crate::errors::Coded;
use crate::formats::atoms;
use crate::formats::volume::read_map;
use crate::maximization::map_fsc::map_fsc;
use crate::tools::simulate::phantom::{HelixBundle, helix_bundle};
use crate::tools::simulate::truth_map;
use std::path::Path;

const BOX: usize = 48;
const PIXEL: f64 = 4.0;

fn settings(folder: &Path, symmetry: &str) -> AlignSettings {
    AlignSettings {
        input: folder.join("map.mrc"),
        output: folder.join("aligned.mrc"),
        symmetry: symmetry.into(),
        choice: Choice::BestSymmetry,
        box_size: 32,
        keep_centre: false,
        pixel_size: None,
        resolution: None,
        search: Search {
            uniform: 400,
            axis_only: false,
            range: 2,
            step: 2.0,
        },
        padding: 2.0,
        apply_symmetry: false,
        nearest_from: None,
    }
}

fn bundle(symmetry: &str) -> Array3<f64> {
    let group = PointGroup::parse(symmetry).unwrap();
    let shape = HelixBundle {
        diameter: 110.0,
        helices: 12,
        conformation: 0,
    };
    let mut atoms = helix_bundle(&shape, &group);
    atoms::centre(&mut atoms);
    truth_map(&atoms, BOX, PIXEL, 300.0)
}

fn save(path: &Path, map: &Array3<f64>) {
    write_map(path, map.mapv(|v| v as f32).view(), PIXEL).unwrap();
}

fn load_map(path: &Path) -> Array3<f64> {
    read_map(path).unwrap().data.mapv(f64::from)
}

/// Turned copy of `map` by the operators of a group, without the identity.
fn copies(map: &Array3<f64>, group: &PointGroup) -> Vec<Array3<f64>> {
    let turner = Turner::new(map, 2.0, 0);
    group
        .operators()
        .iter()
        .map(|g| turner.turned(&[*g]))
        .collect()
}

/// Maps of these groups, turned and moved, come back with their axes in place: each copy by an operator is the map again, and the
/// map is the truth turned by an element that keeps the axes (for D2 those of the cube, for C4 a turn about z or a flip).
fn comes_back(symmetry: &str, keeps_axes: &dyn Fn() -> Vec<Matrix3>) {
    let folder = tempfile::tempdir().unwrap();
    let truth = bundle(symmetry);
    let turned = Turner::new(&truth, 2.0, 0).turned(&[euler::matrix(24.0, 67.0, -131.0)]);
    save(
        &folder.path().join("map.mrc"),
        &shifted(&turned, [1.0, -2.0, 1.0]),
    );
    let settings = settings(folder.path(), symmetry);
    let found = run(&settings, Progress::Silent).unwrap().turn.unwrap();
    assert!(found.broken < 0.02, "{found:?}");
    let shift = found.shift.unwrap();
    assert!((shift[0] + PIXEL).abs() < 1.0 && (shift[1] - 2.0 * PIXEL).abs() < 1.0);
    let map = load_map(&settings.output);
    let group = PointGroup::parse(symmetry).unwrap();
    let limit = BOX * 2 / 5;
    for copy in copies(&map, &group) {
        let fsc = map_fsc(&map, &copy).unwrap();
        assert!(
            fsc[1..limit].iter().all(|v| *v > 0.9),
            "{symmetry}: {fsc:?}"
        );
    }
    let turner = Turner::new(&truth, 2.0, 0);
    let mean = |a: &Matrix3| {
        let fsc = map_fsc(&turner.turned(&[*a]), &map).unwrap();
        fsc[1..limit].iter().sum::<f64>() / (limit - 1) as f64
    };
    let best = keeps_axes().iter().map(mean).fold(0.0, f64::max);
    assert!(best > 0.95, "{symmetry}: {best}");
}

#[test]
fn a_turned_map_with_d2_comes_back() {
    comes_back("D2", &|| {
        let cube = PointGroup::parse("O").unwrap();
        let identity = euler::matrix(0.0, 0.0, 0.0);
        std::iter::once(identity)
            .chain(cube.operators().iter().copied())
            .collect()
    });
}

#[test]
fn a_turned_map_with_c4_comes_back() {
    comes_back("C4", &|| {
        (0..90)
            .flat_map(|rot| [0.0, 180.0].map(|tilt| euler::matrix(f64::from(rot), tilt, 0.0)))
            .collect()
    });
}

#[test]
fn applied_symmetry_is_exact_and_the_same_in_every_run() {
    let folder = tempfile::tempdir().unwrap();
    let truth = bundle("C4");
    let mut map = Turner::new(&truth, 2.0, 0).turned(&[euler::matrix(10.0, 25.0, 5.0)]);
    // Something that breaks the symmetry.
    map[[30, 20, 33]] += 0.5 * map.iter().fold(0.0f64, |m, v| m.max(*v));
    save(&folder.path().join("map.mrc"), &map);
    let mut settings = settings(folder.path(), "C4");
    settings.apply_symmetry = true;
    let first = run(&settings, Progress::Silent).unwrap();
    let map = load_map(&settings.output);
    // A quarter turn about z takes voxels of the plane z = N/2 to voxels: (x, y) → (−y, x).
    let plane = map.index_axis(ndarray::Axis(0), BOX / 2);
    let c = BOX / 2;
    for (dx, dy) in [(3usize, 5usize), (10, 0), (7, 7)] {
        let (a, b) = (plane[[c + dy, c + dx]], plane[[c + dx, c - dy]]);
        let scale = plane.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        assert!((a - b).abs() < 1e-3 * scale, "({dx}, {dy}): {a}, {b}");
    }
    assert_eq!(run(&settings, Progress::Silent).unwrap(), first);
    assert_eq!(load_map(&settings.output), map);
}

#[test]
fn without_symmetry_the_map_is_copied() {
    let folder = tempfile::tempdir().unwrap();
    let map = bundle("C1");
    save(&folder.path().join("map.mrc"), &map);
    let settings = settings(folder.path(), "C1");
    assert_eq!(run(&settings, Progress::Silent).unwrap().turn, None);
    assert_eq!(load_map(&settings.output), load_map(&settings.input));
    assert_eq!(read_map(&settings.output).unwrap().pixel_size, Some(PIXEL));
}

/// Of the classes of a model file the one that has the symmetry is found, at a limited resolution and turning about z only, too.
#[test]
fn the_class_with_the_symmetry_is_found() {
    let folder = tempfile::tempdir().unwrap();
    save(&folder.path().join("a.mrc"), &bundle("C1"));
    let turned = Turner::new(&bundle("C2"), 2.0, 0).turned(&[euler::matrix(77.0, 0.0, 0.0)]);
    save(&folder.path().join("b.mrc"), &turned);
    let model = folder.path().join("run_model.star");
    std::fs::write(
        &model,
        "data_model_classes\n\nloop_\n_rlnReferenceImage\n_rlnClassDistribution\na.mrc 0.6\nb.mrc 0.4\n",
    )
    .unwrap();
    let mut settings = settings(folder.path(), "C2");
    settings.input = model;
    settings.resolution = Some(15.0);
    settings.search.axis_only = true;
    settings.search.uniform = 36;
    let found = run(&settings, Progress::Silent).unwrap();
    assert_eq!(found.class, Some((2, 2)));
    let turn = found.turn.unwrap();
    assert!(
        turn.broken < 0.02 && turn.rotation[2][2] > 0.999,
        "{turn:?}"
    );
    settings.choice = Choice::LargestClass;
    assert_eq!(
        run(&settings, Progress::Silent).unwrap().class,
        Some((1, 2))
    );
}

#[test]
fn values_that_cannot_work_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |spoil: &dyn Fn(&mut AlignSettings)| {
        let mut settings = settings(folder.path(), "C2");
        spoil(&mut settings);
        run(&settings, Progress::Silent).unwrap_err().code()
    };
    assert_eq!(refused(&|s| s.box_size = 33), Code::BAD_VALUE);
    assert_eq!(refused(&|s| s.padding = 0.5), Code::BAD_VALUE);
    assert_eq!(refused(&|s| s.search.uniform = 0), Code::BAD_VALUE);
    assert_eq!(refused(&|s| s.search.step = f64::NAN), Code::BAD_VALUE);
    assert_eq!(refused(&|s| s.symmetry = "Q4".into()), Code::POINT_GROUP);
    assert_eq!(refused(&|_| ()), Code::FILE_MISSING);
}

/// A map loses no more under a subgroup than under the group; groups that it does not have are told.
#[test]
fn larger_groups_lose_more_and_wrong_ones_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let map = Turner::new(&bundle("C4"), 2.0, 0).turned(&[euler::matrix(24.0, 67.0, -131.0)]);
    save(&folder.path().join("map.mrc"), &map);
    let of_group = |symmetry: &str| {
        let mut settings = settings(folder.path(), symmetry);
        settings.box_size = 20;
        let found = run(&settings, Progress::Silent).unwrap();
        (found.turn.unwrap().broken, found.warnings.len())
    };
    let (own, warnings) = of_group("C4");
    assert!(own < 0.02 && warnings == 0, "{own}");
    let (less, more) = (of_group("I"), of_group("Ih"));
    assert!(less.0 <= more.0 + 0.01, "I {less:?}, Ih {more:?}");
    assert!(less.0 > 0.25 && less.1 == 1, "{less:?}");
    let (less, more) = (of_group("T"), of_group("O"));
    assert!(less.0 <= more.0 + 0.001, "T {less:?}, O {more:?}");
}

#[test]
fn a_resolution_beyond_the_pixels_is_told() {
    let folder = tempfile::tempdir().unwrap();
    save(&folder.path().join("map.mrc"), &bundle("C4"));
    let mut settings = settings(folder.path(), "C4");
    settings.resolution = Some(1.0);
    let warnings = run(&settings, Progress::Silent).unwrap().warnings;
    assert!(warnings[0].contains("beyond 8 Å"), "{warnings:?}");
}
