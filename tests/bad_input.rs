//! Bad input ends with one paragraph that names the file or particle, a status other than 0, and no files that look like
//! a finished run. Every case spoils one thing of a set that runs well (first test).

use gerelion::formats::mrc::{StackMode, StackWriter, write_map};
use ndarray::Array3;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const BOX: usize = 24;
const PIXEL: f64 = 4.0;
const PARTICLES: usize = 6;

/// A blob and noise of a fixed generator: images that refine without complaint.
fn image(seed: usize) -> Vec<f32> {
    let mut state = 2463534242u32.wrapping_add(seed as u32 * 7919);
    let centre = BOX as f64 / 2.0;
    (0..BOX * BOX)
        .map(|i| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let noise = f64::from(state) / f64::from(u32::MAX) * 3.4 - 1.7;
            let (x, y) = ((i % BOX) as f64 - centre, (i / BOX) as f64 - centre);
            (noise + 2.0 * (-(x * x + y * y) / 18.0).exp()) as f32
        })
        .collect()
}

fn blob(shape: (usize, usize, usize)) -> Array3<f32> {
    Array3::from_shape_fn(shape, |(z, y, x)| {
        let d = |i: usize, n: usize| i as f64 - n as f64 / 2.0;
        let (x, y, z) = (d(x, shape.2), d(y, shape.1), d(z, shape.0));
        (-(x * x + 2.0 * y * y + z * z) / 18.0).exp() as f32
    })
}

/// A folder with a small set, as files on disk that a test may spoil.
struct Set {
    folder: TempDir,
    options: Vec<String>,
}

impl Set {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("out")).unwrap();
        let set = Set {
            folder,
            options: "--i particles.star --ref ref.mrc --o out/run --pipeline_control out/ --ctf --particle_diameter 72 \
                      --zero_mask --flatten_solvent --ini_high 20 --firstiter_cc --healpix_order 0 --offset_range 2 \
                      --offset_step 2 --iter 1 --random_seed 1 --j 1"
                .split_whitespace()
                .map(String::from)
                .collect(),
        };
        let images: Vec<Vec<f32>> = (0..PARTICLES).map(image).collect();
        set.write_stack(&images);
        set.write_star(&star());
        write_map(&set.path("ref.mrc"), blob((BOX, BOX, BOX)).view(), PIXEL).unwrap();
        set
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_stack(&self, images: &[Vec<f32>]) {
        let mut stack = StackWriter::create(
            &self.path("stack.mrcs"),
            BOX,
            images.len(),
            PIXEL,
            StackMode::Float32,
        )
        .unwrap();
        for image in images {
            stack.push(image).unwrap();
        }
        stack.finish().unwrap();
    }

    fn write_star(&self, text: &str) {
        fs::write(self.path("particles.star"), text).unwrap();
    }

    /// Give an option another value.
    fn option(mut self, name: &str, value: &str) -> Self {
        let at = self.options.iter().position(|word| word == name);
        match at {
            Some(at) => self.options[at + 1] = value.to_owned(),
            None => self.options.extend([name.to_owned(), value.to_owned()]),
        }
        self
    }

    fn run(&self) -> Output {
        Command::new(env!("CARGO_BIN_EXE_relion_refine"))
            .args(&self.options)
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }

    /// Run, and check that it ends as bad input must. Returns the message.
    fn refuse(&self) -> String {
        let output = self.run();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        let (_, message) = errors
            .split_once("ERROR:\n")
            .unwrap_or_else(|| panic!("no ERROR: in {errors}"));
        assert_eq!(
            message.trim_end().lines().count(),
            1,
            "one paragraph: {message}"
        );
        assert!(!message.contains("internal error"), "{message}");
        let out = self.path("out");
        assert!(!out.join("RELION_JOB_EXIT_SUCCESS").exists());
        let finished: Vec<String> = files(&out)
            .into_iter()
            .filter(|name| {
                name.contains("_it001")
                    || *name == "run_model.star"
                    || name.starts_with("run_class")
            })
            .collect();
        assert!(finished.is_empty(), "{finished:?} look finished");
        message.trim_end().to_owned()
    }
}

fn files(folder: &Path) -> Vec<String> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

const OPTICS: &str = "\n# version 50001\n\ndata_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnOpticsGroupName #2\n_rlnImagePixelSize #3\n\
                      _rlnImageSize #4\n_rlnImageDimensionality #5\n_rlnVoltage #6\n_rlnSphericalAberration #7\n\
                      _rlnAmplitudeContrast #8\n1 group1 4.0 24 2 300 2.7 0.1\n\n";

const PARTICLE_COLUMNS: &str = "\n# version 50001\n\ndata_particles\n\nloop_\n_rlnImageName #1\n_rlnMicrographName #2\n\
                                _rlnOpticsGroup #3\n_rlnDefocusU #4\n_rlnDefocusV #5\n_rlnDefocusAngle #6\n";

fn star() -> String {
    let rows: String = (1..=PARTICLES)
        .map(|i| format!("{i:06}@stack.mrcs mic{}.mrc 1 15000 15200 30\n", i % 2))
        .collect();
    format!("{OPTICS}{PARTICLE_COLUMNS}{rows}\n")
}

fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "'{part}' is not in: {message}");
    }
}

#[test]
fn the_unspoilt_set_runs() {
    let set = Set::new();
    let output = set.run();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let out = files(&set.path("out"));
    for name in [
        "run_it001_class001.mrc",
        "run_it001_data.star",
        "RELION_JOB_EXIT_SUCCESS",
    ] {
        assert!(
            out.iter().any(|file| file == name),
            "{name} is not in {out:?}"
        );
    }
}

#[test]
fn missing_particle_file() {
    let set = Set::new().option("--i", "nowhere.star");
    assert_says(&set.refuse(), &["nowhere.star"]);
}

#[test]
fn missing_reference() {
    let set = Set::new().option("--ref", "nowhere.mrc");
    assert_says(&set.refuse(), &["nowhere.mrc"]);
}

#[test]
fn missing_stack() {
    let set = Set::new();
    fs::remove_file(set.path("stack.mrcs")).unwrap();
    assert_says(&set.refuse(), &["stack.mrcs", "particles.star"]);
}

#[test]
fn truncated_stack() {
    let set = Set::new();
    let bytes = fs::read(set.path("stack.mrcs")).unwrap();
    fs::write(
        set.path("stack.mrcs"),
        &bytes[..bytes.len() - 4 * BOX * BOX / 2],
    )
    .unwrap();
    assert_says(&set.refuse(), &["000006@stack.mrcs"]);
}

#[test]
fn slice_beyond_the_stack() {
    let set = Set::new();
    set.write_star(&star().replace("000003@", "000300@"));
    assert_says(&set.refuse(), &["stack.mrcs", "300"]);
}

#[test]
fn image_with_nan() {
    let set = Set::new();
    let mut images: Vec<Vec<f32>> = (0..PARTICLES).map(image).collect();
    images[3][BOX * 5 + 7] = f32::NAN;
    set.write_stack(&images);
    assert_says(&set.refuse(), &["000004@stack.mrcs", "NaN", "pixel (7, 5)"]);
}

#[test]
fn image_of_zeros() {
    let set = Set::new();
    let mut images: Vec<Vec<f32>> = (0..PARTICLES).map(image).collect();
    images[2].fill(0.0);
    set.write_stack(&images);
    assert_says(&set.refuse(), &["000003@stack.mrcs", "0"]);
}

#[test]
fn empty_particle_table() {
    let set = Set::new();
    set.write_star(&format!("{OPTICS}{PARTICLE_COLUMNS}\n"));
    assert_says(&set.refuse(), &["particles.star", "no particles"]);
}

#[test]
fn missing_ctf_columns() {
    let set = Set::new();
    let rows: String = (1..=PARTICLES)
        .map(|i| format!("{i:06}@stack.mrcs mic.mrc 1\n"))
        .collect();
    let columns = PARTICLE_COLUMNS.split("_rlnDefocusU").next().unwrap();
    set.write_star(&format!("{OPTICS}{columns}{rows}\n"));
    assert_says(&set.refuse(), &["particles.star", "rlnDefocusU"]);
}

#[test]
fn missing_voltage() {
    let set = Set::new();
    let optics = OPTICS
        .replace(
            "_rlnVoltage #6\n_rlnSphericalAberration #7\n_rlnAmplitudeContrast #8\n",
            "",
        )
        .replace(" 300 2.7 0.1", "");
    set.write_star(&star().replace(OPTICS, &optics));
    assert_says(&set.refuse(), &["rlnVoltage"]);
}

#[test]
fn undefined_optics_group() {
    let set = Set::new();
    set.write_star(&star().replace(
        "000005@stack.mrcs mic1.mrc 1 ",
        "000005@stack.mrcs mic1.mrc 7 ",
    ));
    assert_says(&set.refuse(), &["particles.star", "7"]);
}

#[test]
fn mask_larger_than_the_box() {
    let set = Set::new().option("--particle_diameter", "200");
    assert_says(&set.refuse(), &["--particle_diameter", "200", "24 pixels"]);
}

#[test]
fn reference_of_another_size() {
    let set = Set::new();
    write_map(&set.path("ref.mrc"), blob((32, 32, 32)).view(), PIXEL).unwrap();
    assert_says(&set.refuse(), &["ref.mrc", "32", "24", "--trust_ref_size"]);
}

#[test]
fn reference_of_another_pixel_size() {
    let set = Set::new();
    write_map(&set.path("ref.mrc"), blob((BOX, BOX, BOX)).view(), 3.0).unwrap();
    assert_says(
        &set.refuse(),
        &["ref.mrc", "3", "4", "--trust_ref_size", "--ref_angpix"],
    );
}

#[test]
fn non_cubic_reference() {
    let set = Set::new();
    write_map(
        &set.path("ref.mrc"),
        blob((BOX, BOX, BOX + 2)).view(),
        PIXEL,
    )
    .unwrap();
    assert_says(&set.refuse(), &["ref.mrc", "26 × 24 × 24", "cubic"]);
}

#[test]
fn missing_output_folder() {
    let set = Set::new().option("--o", "nowhere/run");
    assert_says(&set.refuse(), &["nowhere", "does not exist", "mkdir -p"]);
}

/// A root in the place where a folder is needed cannot be written to by anybody, root included.
#[test]
fn unwritable_output_folder() {
    use std::os::unix::fs::PermissionsExt;
    let set = Set::new().option("--o", "locked/run");
    let locked = set.path("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(locked.join("probe"), b"").is_ok() {
        // The superuser may write anywhere but in such a place.
        let set = set.option("--o", "/proc/run");
        assert_says(
            &set.refuse(),
            &["cannot write into the output folder /proc"],
        );
    } else {
        assert_says(
            &set.refuse(),
            &["cannot write into the output folder locked", "permissions"],
        );
    }
}

#[test]
fn unknown_symmetry() {
    let set = Set::new().option("--sym", "Q7");
    assert_says(&set.refuse(), &["Q7", "point group"]);
}

#[test]
fn broken_star_file() {
    let set = Set::new();
    set.write_star(&star().replace("15000 15200 30\n", "15000 oops 30\n"));
    assert_says(&set.refuse(), &["particles.star", "oops"]);
}
