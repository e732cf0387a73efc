//! Parameters of microscopes that none has.

use super::set::{Set, star};

/// The set with other text in its table.
fn with_star(change: impl Fn(String) -> String) -> Set {
    let set = Set::new();
    let text = change(star());
    assert_ne!(text, star());
    set.write_star(&text);
    set
}

/// The set with a matrix of magnification.
fn magnified(matrix: &str) -> Set {
    with_star(|text| {
        text.replace(
            "_rlnAmplitudeContrast #8\n",
            "_rlnAmplitudeContrast #8\n_rlnMagMat00 #9\n_rlnMagMat01 #10\n_rlnMagMat10 #11\n_rlnMagMat11 #12\n",
        )
        .replace("300 2.7 0.1", &format!("300 2.7 0.1 {matrix}"))
    })
}

#[test]
fn singular_magnification_matrix() {
    magnified("1 1 1 1").refuse("GR-0308");
}

#[test]
fn mirror_in_the_magnification_matrix() {
    magnified("1 0 0 -1").refuse("GR-0308");
}

/// Its determinant is 1.
#[test]
fn magnification_along_one_axis() {
    magnified("100 0 0 0.01").refuse("GR-0308");
}

/// A stack that was binned, with the table of before.
#[test]
fn stack_of_another_pixel_size_is_told() {
    let set = Set::new();
    let told = |set: &Set| {
        String::from_utf8(set.run().stderr)
            .unwrap()
            .replace('\n', " ")
    };
    assert!(!told(&set).contains("the header gives pixels"));
    let set = with_star(|text| text.replace(" 4.0 24 ", " 6.0 24 ")).option("--ref_angpix", "6");
    let text = told(&set);
    assert!(
        text.contains("stack.mrcs: the header gives pixels of 4 Å, but rlnImagePixelSize of optics group 'group1' is 6 Å"),
        "{text}"
    );
}

#[test]
fn astigmatism_without_its_angle_is_told() {
    let told = |set: &Set| String::from_utf8(set.run().stderr).unwrap();
    assert!(!told(&Set::new()).contains("rlnDefocusAngle"));
    let text = told(&with_star(|text| {
        text.replace("_rlnDefocusAngle ", "_rlnDefocusAngel ")
    }));
    assert!(
        text.contains("there is no column rlnDefocusAngle, and 0 is taken"),
        "{text}"
    );
}

/// The offsets of a table of RELION 3.0 that was given optics groups by hand.
#[test]
fn offsets_in_pixels_beside_optics_groups_are_told() {
    let text = with_star(|text| {
        text.replace(
            "_rlnDefocusAngle #6\n",
            "_rlnDefocusAngle #6\n_rlnOriginX #7\n",
        )
        .replace(" 15000 15200 30", " 15000 15200 30 2.5")
    });
    let told = String::from_utf8(text.run().stderr).unwrap();
    assert!(
        told.contains("offsets under their old names (rlnOriginX) are not read")
            && told.contains("name the columns rlnOriginXAngst"),
        "{told}"
    );
}

#[test]
fn defocus_that_stands_for_none() {
    with_star(|text| text.replacen("15000 15200 30", "-999 -999 -999", 2)).refuse("GR-0308");
}
