//! Programs that RELION's interface calls after a refinement: options of post-processing, marker files, names with `_mpi`.

use gerelion::formats::mrc::write_map;
use gerelion::formats::star::Document;
use ndarray::Array3;
use std::path::Path;
use std::process::{Command, Output};

const BOX: usize = 24;
const PIXEL: f64 = 4.0;

const POSTPROCESS: &str = env!("CARGO_BIN_EXE_relion_postprocess");
const LOCALRES: &str = env!("CARGO_BIN_EXE_relion_localres");
const MASK: &str = env!("CARGO_BIN_EXE_relion_mask_create");

/// A folder with two half maps of a blob with noise of their own, and a mask.
fn half_maps() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let d2 = |(z, y, x): (usize, usize, usize)| {
        let square = |i: usize| (i as f64 - BOX as f64 / 2.0).powi(2);
        square(z) + 2.0 * square(y) + square(x)
    };
    for half in 1..=2u64 {
        let map = Array3::from_shape_fn((BOX, BOX, BOX), |at| {
            let index = ((at.0 * BOX + at.1) * BOX + at.2) as u64;
            let noise = gpu::random::uniform(half, index) - 0.5;
            ((-d2(at) / 6.0).exp() + 0.05 * noise) as f32
        });
        let path = folder.path().join(format!("half{half}.mrc"));
        write_map(&path, map.view(), PIXEL).unwrap();
    }
    let mask = Array3::from_shape_fn((BOX, BOX, BOX), |at| {
        (1.5 - d2(at).sqrt() / 10.0).clamp(0.0, 1.0) as f32
    });
    write_map(&folder.path().join("mask.mrc"), mask.view(), PIXEL).unwrap();
    folder
}

fn run(folder: &Path, program: impl AsRef<std::ffi::OsStr>, words: &str) -> Output {
    Command::new(program)
        .args(words.split_whitespace())
        .current_dir(folder)
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The ordered mass gives the share of the box that counts, and with it another estimate of the FSC (spec 02 §7.1 step 2).
#[test]
fn the_ordered_mass_gives_an_fsc_of_the_particle() {
    let folder = half_maps();
    let words = "--i half1.mrc --mask mask.mrc --o post --molweight 50";
    text(&run(folder.path(), POSTPROCESS, words));
    let star = Document::read(&folder.path().join("post.star")).unwrap();
    let general = star.require("general").unwrap();
    assert_eq!(general.real(0, "rlnMolecularWeight").unwrap(), 50.0);
    let extent = BOX as f64 * PIXEL;
    let f = 0.476 * extent.powi(3) * 0.81 / 50_000.0;
    let stated = general
        .real(0, "rlnParticleBoxFractionMolecularWeight")
        .unwrap();
    assert!((stated / f - 1.0).abs() < 1e-5, "{stated} for {f}");
    let fsc = star.require("fsc").unwrap();
    let of = |label: &str| fsc.real_column(label).unwrap();
    let unmasked = of("rlnFourierShellCorrelationUnmaskedMaps");
    let of_mass = of("rlnFourierShellCorrelationParticleMolWeight");
    for (c, found) in unmasked.iter().zip(&of_mass) {
        let expected = f * c / (1.0 + (f - 1.0) * c);
        // Negative numbers have five decimals in the file, and f times the rounding of c is that of the result.
        let digits = 5e-6 * (1.0 + f / (1.0 + (f - 1.0) * c).powi(2));
        let error = (found - expected).abs();
        assert!(error < 1.1 * digits, "{found} for {expected}");
    }
    // Without the option neither figure nor column is there.
    text(&run(
        folder.path(),
        POSTPROCESS,
        "--i half1.mrc --mask mask.mrc --o plain",
    ));
    let plain = Document::read(&folder.path().join("plain.star")).unwrap();
    assert!(!plain.require("general").unwrap().has("rlnMolecularWeight"));
    let label = "rlnFourierShellCorrelationParticleMolWeight";
    assert!(!plain.require("fsc").unwrap().has(label));
}

/// The interpolated resolution lies between that of the last shell above 0.143 and the first below; files stay the same.
#[test]
fn the_crossing_is_interpolated_on_request() {
    let folder = half_maps();
    let words = "--i half1.mrc --o post";
    let plain = text(&run(folder.path(), POSTPROCESS, words));
    let before = std::fs::read(folder.path().join("post.mrc")).unwrap();
    assert!(!plain.contains("INTERPOLATED"), "{plain}");
    let both = text(&run(
        folder.path(),
        POSTPROCESS,
        &format!("{words} --interpolate"),
    ));
    let figure = |key: &str| -> f64 {
        let line = both.lines().find(|l| l.contains(key)).expect(key);
        line.split_whitespace().last().unwrap().parse().unwrap()
    };
    let (last, between) = (
        figure("FINAL RESOLUTION"),
        figure("INTERPOLATED RESOLUTION"),
    );
    let extent = BOX as f64 * PIXEL;
    let next = extent / (extent / last + 1.0);
    assert!(next < between && between <= last, "{next} {between} {last}");
    assert_eq!(
        std::fs::read(folder.path().join("post.mrc")).unwrap(),
        before
    );
}

/// Commands of these programs that succeed, and that fail, in a folder of [`half_maps`].
const COMMANDS: [(&str, &str, &str); 3] = [
    (
        POSTPROCESS,
        "--i half1.mrc --o job/post",
        "--i none_half1.mrc --o job/post",
    ),
    (
        LOCALRES,
        "--i half1.mrc --o job/local --locres_sampling 20",
        "--i half1.mrc --o job/local --locres_sampling 0",
    ),
    (
        MASK,
        "--i half1.mrc --o job/mask.mrc --ini_threshold 0.2",
        "--i half1.mrc --o job/mask.mrc --ini_threshold 9",
    ),
];

#[test]
fn marker_files_tell_the_interface_how_a_job_ended() {
    for (program, good, bad) in COMMANDS {
        let folder = half_maps();
        let path = folder.path();
        std::fs::create_dir(path.join("job")).unwrap();
        let marks = || {
            let mark = |name: &str| path.join(format!("job/RELION_JOB_EXIT_{name}")).exists();
            [mark("SUCCESS"), mark("FAILURE")]
        };
        let output = run(path, program, &format!("{bad} --pipeline_control job/"));
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(marks(), [false, true], "{program} {bad}");
        // The interface runs a job again in the same folder.
        text(&run(
            path,
            program,
            &format!("{good} --pipeline_control job/"),
        ));
        assert_eq!(marks(), [true, false], "{program} {good}");
    }
}

/// Under a name with `_mpi`, as `make install` links it, rank 0 works and the other ranks leave everything alone.
#[test]
fn of_several_ranks_the_first_works() {
    let folder = half_maps();
    let path = folder.path();
    std::fs::create_dir(path.join("job")).unwrap();
    let link = path.join("relion_postprocess_mpi");
    std::os::unix::fs::symlink(POSTPROCESS, &link).unwrap();
    let rank = |program: &Path, rank: &str| {
        Command::new(program)
            .args(
                "--i half1.mrc --o job/post --locres --locres_sampling 20 --pipeline_control job/"
                    .split_whitespace(),
            )
            .env("OMPI_COMM_WORLD_SIZE", "2")
            .env("OMPI_COMM_WORLD_RANK", rank)
            .current_dir(path)
            .output()
            .unwrap()
    };
    let files = || std::fs::read_dir(path.join("job")).unwrap().count();
    assert!(rank(&link, "1").status.success());
    assert_eq!(files(), 0);
    assert!(rank(&link, "0").status.success());
    assert!(path.join("job/post_locres.mrc").exists());
    assert!(path.join("job/RELION_JOB_EXIT_SUCCESS").exists());
    // The plain name is a program of its own in every process: a script may start many of them at once.
    std::fs::remove_dir_all(path.join("job")).unwrap();
    std::fs::create_dir(path.join("job")).unwrap();
    assert!(rank(Path::new(POSTPROCESS), "1").status.success());
    assert!(path.join("job/post_locres.mrc").exists());
}

/// The links that `make install` makes: each program that RELION has an MPI version of.
#[test]
fn install_links_the_names_with_mpi() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install.sh");
    let script = std::fs::read_to_string(script).unwrap();
    let loop_line = script
        .lines()
        .find(|line| line.starts_with("for name in relion_"))
        .unwrap();
    for name in [
        "relion_reconstruct",
        "relion_particle_subtract",
        "relion_localsym",
        "relion_postprocess",
    ] {
        assert!(loop_line.contains(name), "{name}");
    }
    assert!(script.contains("ln -sf \"$name\" \"$prefix/bin/${name}_mpi\""));
}
