//! Files that are written pass `mrcfile.validate`, and `mrcfile` finds the same numbers in them.

use gerelion::formats::mrc::{StackMode, StackWriter, write_map};
use gerelion::formats::volume::read_map;
use ndarray::Array3;
use std::process::Command;

const PROGRAM: &str = r#"
import sys, mrcfile
map, stack, half = sys.argv[1:]
for path in sys.argv[1:]:
    assert mrcfile.validate(path), path
with mrcfile.open(map) as m:
    assert m.is_volume() and m.data.shape == (6, 8, 4) and abs(float(m.voxel_size.z) - 1.77) < 1e-5
    assert m.data[5, 7, 3] == m.data.ravel()[-1] and m.data[0, 1, 0] == m.data.ravel()[4]
for path, kind in ((stack, "float32"), (half, "float16")):
    with mrcfile.open(path) as m:
        assert m.is_image_stack() and m.data.shape == (3, 8, 8) and m.data.dtype == kind
        assert abs(float(m.voxel_size.x) - 3.54) < 1e-5
"#;

#[test]
fn written_files_are_valid_for_mrcfile() {
    let folder = tempfile::tempdir().unwrap();
    let [map, stack, half] =
        ["map.mrc", "stack.mrcs", "half.mrcs"].map(|name| folder.path().join(name));
    let wave = |i: usize| (0.37 * i as f32).sin() * 3.0 + 0.25;
    let voxels = Array3::from_shape_fn((6, 8, 4), |(z, y, x)| wave((z * 8 + y) * 4 + x));
    write_map(&map, voxels.view(), 1.77).unwrap();
    for (path, mode) in [(&stack, StackMode::Float32), (&half, StackMode::Float16)] {
        let mut writer = StackWriter::create(path, 8, 3, 3.54, mode).unwrap();
        for slice in 0..3 {
            let image: Vec<f32> = (0..64).map(|i| wave(64 * slice + i)).collect();
            writer.push(&image).unwrap();
        }
        writer.finish().unwrap();
    }
    let back = read_map(&map).unwrap();
    assert_eq!(back.data, voxels);
    assert!((back.pixel_size.unwrap() - 1.77).abs() < 1e-6);
    assert_eq!(back.warnings, Vec::<String>::new());

    if !material::has_python(&["mrcfile"]) {
        return;
    }
    let output = Command::new("python3")
        .args(["-c", PROGRAM])
        .args([map, stack, half])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}
