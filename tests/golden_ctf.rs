//! CTF values against those an independent implementation computed for a reference run
//! (`golden/class3d_k1_noperturb/stages_it002.json`).
//!
//! The runs live outside the repository; without them this test is skipped (`tests/material`).

use gerelion::dataset::{CtfFields, OpticsGroup};
use gerelion::optics::{Ctf, CtfFlags};

#[test]
fn ctf_at_probe_pixels() {
    let Some(run) = material::golden("class3d_k1_noperturb") else {
        return;
    };
    let table = std::fs::read_to_string(run.join("run_it001_data.star")).unwrap();
    // Columns: image, micrograph, optics group, defocus U, V, angle, …
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.contains("@trpv1_mini.mrcs"))
        .map(|line| line.split_whitespace().collect())
        .collect();
    // The optics table of that file.
    let group = OpticsGroup {
        voltage: Some(300.0),
        spherical_aberration: Some(2.0),
        amplitude_contrast: Some(0.1),
        ..OpticsGroup::new(4.0, 64)
    };

    let json = std::fs::read_to_string(run.join("stages_it002.json")).unwrap();
    let stages: serde_json::Value = serde_json::from_str(&json).unwrap();
    let pixels = stages["probe_pixels_xy"].as_array().unwrap();
    let mut compared = 0;
    for particle in stages["particles"].as_array().unwrap() {
        let row = particle["row_in_data_file_1based"].as_u64().unwrap() as usize;
        let number = |column: usize| rows[row - 1][column].parse::<f64>().unwrap();
        let fields = CtfFields {
            defocus_u: number(3),
            defocus_v: number(4),
            defocus_angle: number(5),
            b_factor: 0.0,
            scale: 1.0,
            phase_shift: 0.0,
        };
        let ctf = Ctf::new(&fields, &group, CtfFlags::default()).unwrap();
        let values = particle["preprocess"]["ctf"].as_array().unwrap();
        for (pixel, value) in pixels.iter().zip(values) {
            let (x, y) = (pixel[0].as_i64().unwrap(), pixel[1].as_i64().unwrap());
            let (ours, theirs) = (ctf.value(x as i32, y as i32), value.as_f64().unwrap());
            // Ten digits are written.
            assert!(
                (ours - theirs).abs() < 1e-9,
                "row {row} pixel ({x}, {y}): {ours} is not {theirs}"
            );
            compared += 1;
        }
    }
    assert!(compared >= 50, "only {compared} values compared");
}
