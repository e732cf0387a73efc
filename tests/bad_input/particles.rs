//! Particles, their images and optics groups.

use super::set::{BOX, OPTICS, PARTICLE_COLUMNS, PARTICLES, PIXEL, Set, image, star};
use gerelion::formats::mrc::{StackMode, StackWriter};
use std::fs;

/// A set whose STAR file was changed.
fn with_star(change: impl FnOnce(String) -> String) -> Set {
    let set = Set::new();
    set.write_star(&change(star()));
    set
}

/// The STAR file with one more column, with a value for each particle.
fn with_column(label: &str, value: impl Fn(usize) -> &'static str) -> Set {
    with_star(|text| {
        let text = text.replace(
            "_rlnDefocusAngle #6\n",
            &format!("_rlnDefocusAngle #6\n_{label} #7\n"),
        );
        let mut row = 0;
        text.lines()
            .map(|line| match line.contains('@') {
                true => {
                    row += 1;
                    format!("{line} {}\n", value(row))
                }
                false => format!("{line}\n"),
            })
            .collect()
    })
}

#[test]
fn empty_particle_table() {
    with_star(|_| format!("{OPTICS}{PARTICLE_COLUMNS}\n")).refuse("GR-0301");
}

#[test]
fn particles_of_tomograms() {
    with_star(|text| text.replace("_rlnMicrographName", "_rlnTomoName")).refuse("GR-0302");
}

#[test]
fn subtomograms() {
    with_star(|text| text.replace("4.0 24 2 300", "4.0 24 3 300")).refuse("GR-0302");
}

#[test]
fn other_images_for_the_last_reconstruction() {
    let mut set = with_column("rlnReconstructImageName", |_| "other.mrcs");
    set.options
        .extend(["--auto_refine", "--split_random_halves"].map(String::from));
    set.refuse("GR-0302");
}

#[test]
fn missing_stack() {
    let set = Set::new();
    fs::remove_file(set.path("stack.mrcs")).unwrap();
    set.refuse("GR-0303");
}

#[test]
fn slice_beyond_the_stack() {
    with_star(|text| text.replace("000003@", "000300@")).refuse("GR-0304");
}

#[test]
fn image_number_0() {
    with_star(|text| text.replace("000003@", "000000@")).refuse("GR-0304");
}

#[test]
fn image_with_nan() {
    let set = Set::new();
    let mut images: Vec<Vec<f32>> = (0..PARTICLES).map(image).collect();
    images[3][BOX * 5 + 7] = f32::NAN;
    set.write_stack(&images);
    set.refuse("GR-0305");
}

#[test]
fn image_of_zeros() {
    let set = Set::new();
    let mut images: Vec<Vec<f32>> = (0..PARTICLES).map(image).collect();
    images[2].fill(0.0);
    set.write_stack(&images);
    set.refuse("GR-0305");
}

#[test]
fn images_of_another_size() {
    let set = Set::new();
    let path = set.path("stack.mrcs");
    let mut stack = StackWriter::create(&path, 32, PARTICLES, PIXEL, StackMode::Float32).unwrap();
    for _ in 0..PARTICLES {
        stack.push(&vec![1.0; 32 * 32]).unwrap();
    }
    stack.finish().unwrap();
    set.refuse("GR-0306");
}

#[test]
fn odd_box() {
    with_star(|text| text.replace("4.0 24 2", "4.0 25 2")).refuse("GR-0306");
}

#[test]
fn undefined_optics_group() {
    with_star(|text| text.replace("5@stack.mrcs mic1.mrc 1 ", "5@stack.mrcs mic1.mrc 7 "))
        .refuse("GR-0307");
}

#[test]
fn optics_group_twice() {
    let row = "1 group1 4.0 24 2 300 2.7 0.1\n";
    with_star(|text| text.replace(row, &row.repeat(2))).refuse("GR-0307");
}

#[test]
fn missing_ctf_columns() {
    let rows: String = (1..=PARTICLES)
        .map(|i| format!("{i:06}@stack.mrcs mic.mrc 1\n"))
        .collect();
    let columns = PARTICLE_COLUMNS.split("_rlnDefocusU").next().unwrap();
    with_star(|_| format!("{OPTICS}{columns}{rows}\n")).refuse("GR-0308");
}

#[test]
fn missing_voltage() {
    let optics = OPTICS
        .replace(
            "_rlnVoltage #6\n_rlnSphericalAberration #7\n_rlnAmplitudeContrast #8\n",
            "",
        )
        .replace(" 300 2.7 0.1", "");
    with_star(|text| text.replace(OPTICS, &optics)).refuse("GR-0308");
}

#[test]
fn amplitude_contrast_in_percent() {
    with_star(|text| text.replace("300 2.7 0.1", "300 2.7 10")).refuse("GR-0308");
}

#[test]
fn missing_pixel_size() {
    with_star(|text| {
        text.replace("_rlnImagePixelSize #3\n", "")
            .replace("group1 4.0 24", "group1 24")
    })
    .refuse("GR-0309");
}

#[test]
fn pixel_size_of_0() {
    with_star(|text| text.replace("group1 4.0 24", "group1 0 24")).refuse("GR-0309");
}

#[test]
fn angle_that_is_no_number() {
    with_column("rlnAngleRot", |row| if row == 4 { "nan" } else { "0" }).refuse("GR-0310");
}

#[test]
fn negative_class() {
    with_column("rlnClassNumber", |row| if row == 4 { "-1" } else { "1" }).refuse("GR-0310");
}

#[test]
fn norm_correction_of_0() {
    let mut set = with_column("rlnNormCorrection", |row| if row == 4 { "0" } else { "1" });
    set.options.push("--norm".into());
    set.refuse("GR-0310");
}

#[test]
fn origin_outside_the_image() {
    with_column("rlnOriginXAngst", |row| if row == 4 { "1000" } else { "1" }).refuse("GR-0310");
}

#[test]
fn half_set_3() {
    with_column("rlnRandomSubset", |row| if row == 4 { "3" } else { "1" }).refuse("GR-0311");
}

#[test]
fn particle_without_a_half_set() {
    with_column("rlnRandomSubset", |row| if row == 4 { "0" } else { "1" }).refuse("GR-0311");
}

#[test]
fn empty_half_set() {
    let mut set = with_column("rlnRandomSubset", |_| "1");
    set.options.push("--auto_refine".into());
    set.options.push("--split_random_halves".into());
    set.refuse("GR-0311");
}

/// A set with the first of its particles alone.
fn single_particle() -> Set {
    with_star(|text| text.split("000002@").next().unwrap().to_owned() + "\n")
}

#[test]
fn noise_of_one_particle() {
    single_particle().refuse("GR-0803");
}

#[test]
fn noise_of_equal_images() {
    let set = Set::new();
    set.write_stack(&vec![image(0); PARTICLES]);
    set.refuse("GR-0803");
}

#[test]
fn half_sets_of_one_particle() {
    let mut set = single_particle();
    set.options.push("--auto_refine".into());
    set.refuse("GR-0311");
}

#[test]
fn half_sets_of_copies_of_one_image() {
    let mut set = with_star(|text| {
        let row = |line: &str| line.split_once('@').map(|(_, rest)| format!("1@./{rest}"));
        text.lines()
            .map(|line| row(line).unwrap_or(line.to_owned()) + "\n")
            .collect()
    });
    set.options.push("--auto_refine".into());
    set.refuse("GR-0311");
}

/// A set refined with this option, which needs the poses of an earlier run.
fn without_poses(option: &str) -> Set {
    let mut set = Set::new();
    set.options.extend(option.split(' ').map(String::from));
    set
}

#[test]
fn missing_poses_for_skip_align() {
    without_poses("--skip_align").refuse("GR-0315");
}

#[test]
fn missing_poses_for_skip_rotate() {
    without_poses("--skip_rotate").refuse("GR-0315");
}

#[test]
fn missing_poses_for_sigma_ang() {
    without_poses("--sigma_ang 5").refuse("GR-0315");
}

/// −999 stands for no angle (RELION 2 and 3.0, of particles that were picked by hand); 0 is another angle.
#[test]
fn angles_of_some_particles_that_stand_for_none() {
    let mut set = with_star(|text| {
        let angles = "_rlnAngleRot #7\n_rlnAngleTilt #8\n_rlnAnglePsi #9\n";
        let head = "_rlnDefocusAngle #6\n";
        text.replace(head, &format!("{head}{angles}"))
            .replacen(" 15000 15200 30\n", " 15000 15200 30 1 2 -999\n", 2)
            .replace(" 15000 15200 30\n", " 15000 15200 30 1 2 3\n")
    });
    set.options.push("--skip_align".into());
    let message = set.message();
    assert!(
        message.starts_with("GR-0315: ") && message.contains("rlnAnglePsi, and 2 of"),
        "{message}"
    );
}

#[test]
fn missing_tilt_for_sigma_tilt() {
    let mut set = with_column("rlnAngleRot", |_| "10");
    set.options.extend(["--sigma_tilt", "5"].map(String::from));
    set.refuse("GR-0315");
}

#[test]
fn missing_poses_for_local_searches_from_the_start() {
    let set = without_poses("--auto_refine --auto_local_healpix_order 3");
    set.option("--healpix_order", "3").refuse("GR-0315");
}

/// Two optics groups with these files of the MTF.
fn with_mtf([first, second]: [&str; 2]) -> Set {
    with_star(|text| {
        let text = text.replace("_rlnVoltage #6", "_rlnMtfFileName #9\n_rlnVoltage #6");
        let row =
            |group: usize, file| format!("{group} group{group} 4.0 24 2 {file} 300 2.7 0.1\n");
        let rows = row(1, first) + &row(2, second);
        text.replace("1 group1 4.0 24 2 300 2.7 0.1\n", &rows)
    })
}

#[test]
fn mtf_of_one_group_only() {
    with_mtf(["mtf.star", "None"]).refuse("GR-0312");
}

#[test]
fn missing_mtf() {
    with_mtf(["a.star", "b.star"]).refuse("GR-0312");
}

#[test]
fn table_of_micrographs() {
    with_star(|_| {
        format!(
            "{OPTICS}data_particles\n\nloop_\n_rlnMicrographName #1\n_rlnOpticsGroup #2\na.mrc 1\n"
        )
    })
    .refuse("GR-0313");
}

#[test]
fn missing_optics_table() {
    with_star(|text| text.replace(OPTICS, "")).refuse("GR-0313");
}

/// The optics row, and what it has instead.
fn with_optics(microscope: &str) -> Set {
    with_star(|text| text.replace("300 2.7 0.1", microscope))
}

#[test]
fn voltage_in_volts() {
    with_optics("300000 2.7 0.1").refuse("GR-0308");
}

#[test]
fn spherical_aberration_in_micrometres() {
    with_optics("300 2700 0.1").refuse("GR-0308");
}

#[test]
fn defocus_in_micrometres() {
    with_star(|text| text.replace("15000 15200", "1.5 1.52")).refuse("GR-0308");
}

/// Joined files: two of the particles are of an optics group that another program has written.
#[test]
fn defocus_in_micrometres_of_some_particles() {
    with_star(|text| {
        let group = "1 group1 4.0 24 2 300 2.7 0.1\n";
        let text = text.replace(group, &format!("{group}2 second 4.0 24 2 300 2.7 0.1\n"));
        text.replacen(".mrc 1 15000 15200", ".mrc 2 1.5 1.52", 2)
    })
    .refuse("GR-0308");
}

#[test]
fn defocus_in_picometres() {
    with_star(|text| text.replace("15000 15200", "1500000 1520000")).refuse("GR-0308");
}

#[test]
fn ctf_scale_of_0() {
    with_column("rlnCtfScalefactor", |row| if row == 2 { "0" } else { "1" }).refuse("GR-0308");
}

#[test]
fn ctf_scale_of_next_to_nothing() {
    with_column("rlnCtfScalefactor", |_| "1e-30").refuse("GR-0308");
}

/// −999 stands for no value in files of other programs.
#[test]
fn ctf_scale_that_stands_for_none() {
    with_column(
        "rlnCtfScalefactor",
        |row| if row == 2 { "-999" } else { "1" },
    )
    .refuse("GR-0308");
}

/// The STAR file with one more column of the optics group.
fn with_optics_column(label: &str, value: &str) -> Set {
    with_star(|text| {
        let text = text.replace("_rlnVoltage #6", &format!("_{label} #9\n_rlnVoltage #6"));
        text.replace(" 300 2.7 0.1\n", &format!(" {value} 300 2.7 0.1\n"))
    })
}

#[test]
fn beam_tilt_that_stands_for_none() {
    with_optics_column("rlnBeamTiltX", "-999").refuse("GR-0308");
}

#[test]
fn aberrations_that_stand_for_none() {
    with_optics_column("rlnOddZernike", "[-999,-999,-999]").refuse("GR-0308");
}

#[test]
fn ctf_b_factor_that_leaves_nothing() {
    with_column("rlnCtfBfactor", |_| "1e9").refuse("GR-0308");
}

#[test]
fn phase_shift_that_stands_for_none() {
    with_column("rlnPhaseShift", |_| "-999").refuse("GR-0308");
}

/// Squares of such numbers are 0 in single precision.
#[test]
fn images_of_next_to_no_power() {
    let set = Set::new();
    let images = (0..PARTICLES).map(image);
    let faint = images.map(|image| image.iter().map(|v| v * 1e-30).collect());
    set.write_stack(&faint.collect::<Vec<Vec<f32>>>());
    set.refuse("GR-0305");
}

#[test]
fn norm_correction_of_no_image() {
    let set = with_column(
        "rlnNormCorrection",
        |row| if row == 2 { "1e10" } else { "1" },
    );
    set.option("--norm", "--scale").refuse("GR-0310");
}

/// Values that are possible but not usual: the run says so and goes on. The set as it is has none.
#[test]
fn improbable_ctf_parameters() {
    let told = |set: Set| {
        let output = set.run();
        let text = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        text
    };
    let good = told(Set::new());
    assert!(
        !good.contains("correct it") && !good.contains("beyond 10"),
        "{good}"
    );
    let voltage = told(with_optics("3 2.7 0.1"));
    assert!(
        voltage.contains("'group1': rlnVoltage is 3. It is in kV"),
        "{voltage}"
    );
    let cs = told(with_optics("300 27 0.1"));
    assert!(
        cs.contains("rlnSphericalAberration is 27. It is in mm"),
        "{cs}"
    );
    let defocus = told(with_star(|text| {
        text.replacen("15000 15200", "150000 152000", 2)
    }));
    assert!(
        defocus.contains(
            "2 of 6 particles (optics group 'group1': 2 of 6) have a defocus beyond 10 µm"
        ),
        "{defocus}"
    );
    for (u_v, words) in [
        ("-15000 -15200", "have a negative defocus. Underfocus"),
        ("1500 1520", "defocus below 1520 Å"),
        ("3900 3950", "defocus below 3950 Å"),
    ] {
        let told = told(with_star(|text| text.replace("15000 15200", u_v)));
        assert!(told.contains(words), "{told}");
    }
    let cs = told(with_optics("300 0.0027 0.1"));
    assert!(
        cs.contains("rlnSphericalAberration is 0.0027. It is in mm"),
        "{cs}"
    );
    let plate = |degrees: &'static str| told(with_column("rlnPhaseShift", move |_| degrees));
    assert!(plate("1.57").contains("Are these in radians?"));
    assert!(!plate("90").contains("radians"));
}
