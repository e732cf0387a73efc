//! Symmetry relaxation, external programs and local symmetry against RELION's runs (`../shared/golden/more`).

mod runs;

use gerelion::formats::star::Document;
use gerelion::formats::volume::read_map;
use material::{has_python, shared};
use runs::{Bounds, check, command, compare, succeeded, work_folder};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// As for other runs of one iteration (`class3d.rs`).
const FIRST: Bounds = Bounds {
    poses: 0.995,
    sigma2: 0.003,
    tau2: 0.03,
    pmax: 0.002,
    fsc: 0.999,
};

/// As for other runs after several iterations.
const LATER: Bounds = Bounds {
    poses: 0.985,
    ..FIRST
};

/// Root of the output of our run of a command of `golden/more` (the first line of its file), with its folder.
struct Run {
    folder: tempfile::TempDir,
    root: String,
    reference: PathBuf,
}

/// Runs one of the commands, with an external program where it asks for one.
fn rerun(name: &str) -> Option<Run> {
    let reference = shared(Path::new("golden/more").join(name))?;
    let input = reference.join("../input");
    let files = [
        "p32.star",
        "p32.mrcs",
        "ref32.mrc",
        "ref32_c1.mrc",
        "localsym.star",
        "mask_su.mrc",
        "mask_ball.mrc",
    ];
    // The second line of a command continues the run.
    let mut words = command(&reference);
    if let Some(second) = words.iter().position(|word| word == "mpirun") {
        words.truncate(second);
    }
    let (folder, root) = work_folder(&files.map(|file| input.join(file)), &words);
    succeeded(&program(&words, folder.path()));
    Some(Run {
        folder,
        root,
        reference,
    })
}

/// Runs our program in a folder, with a script as the external one.
fn program(words: impl IntoIterator<Item = impl AsRef<OsStr>>, folder: &Path) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/reconstruct.py");
    Command::new(env!("CARGO_BIN_EXE_relion_refine"))
        .args(words)
        .current_dir(folder)
        .env(
            "RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE",
            format!("python3 {}", script.display()),
        )
        .output()
        .unwrap()
}

impl Run {
    fn reference_root(&self) -> String {
        self.reference.join("run").to_string_lossy().into_owned()
    }

    /// ‖a − b‖ / ‖b‖ of a map of the run and of a file.
    fn difference(&self, ending: &str, other: &str) -> f64 {
        let [a, b] = [format!("{}{ending}", self.root), other.to_owned()]
            .map(|file| read_map(Path::new(&file)).unwrap().data.mapv(f64::from));
        assert_eq!(a.dim(), b.dim());
        let norm = |map: &ndarray::Array3<f64>| map.iter().map(|v| v * v).sum::<f64>().sqrt();
        norm(&(&a - &b)) / norm(&b)
    }

    /// Particles by the multiple of 90° about z by which their best pose after an iteration is turned from that of the input.
    fn wedges(&self, root: &str, iteration: usize) -> [usize; 4] {
        let rots = |file: &str| {
            let document = Document::read(Path::new(file)).unwrap();
            let particles = document.require("particles").unwrap();
            let names = particles.texts("rlnImageName").unwrap();
            let rots = particles.real_column("rlnAngleRot").unwrap();
            let mut rots: Vec<(String, f64)> = names.map(String::from).zip(rots).collect();
            rots.sort_by(|a, b| a.0.cmp(&b.0));
            rots
        };
        let input = self.reference.join("../input/p32.star");
        let before = rots(&input.to_string_lossy());
        let after = rots(&format!("{root}_it{iteration:03}_data.star"));
        let mut wedges = [0; 4];
        for ((name, before), (other, after)) in before.into_iter().zip(after) {
            assert_eq!(name, other);
            let turn = ((after - before) / 90.0).round().rem_euclid(4.0);
            wedges[turn as usize] += 1;
        }
        wedges
    }
}

/// The same best poses, and so the same share of each wedge.
fn check_relaxed(name: &str, wedges: [usize; 4]) {
    let Some(run) = rerun(name) else { return };
    let found = compare(&run.reference, &run.root, 1, "C1");
    println!("{name}\n{found}");
    check(&found, &FIRST, 1);
    let [theirs, ours] = [run.reference_root(), run.root.clone()].map(|root| run.wedges(&root, 1));
    println!("{name}: wedges {ours:?}, reference {theirs:?}");
    assert_eq!(
        theirs, wedges,
        "as the page about the reference runs has them"
    );
    let moved: usize = (0..4).map(|i| ours[i].abs_diff(theirs[i])).sum();
    assert!(moved <= 2, "{ours:?} {theirs:?}");
    let directions = |root: &str| {
        let document = Document::read(Path::new(&format!("{root}_it001_model.star"))).unwrap();
        let table = document.require("model_pdf_orient_class_1").unwrap();
        table.real_column("rlnOrientationDistribution").unwrap()
    };
    let [theirs, ours] = [run.reference_root(), run.root.clone()].map(|root| directions(&root));
    assert_eq!((theirs.len(), ours.len()), (768, 768));
    let difference: f64 = theirs.iter().zip(&ours).map(|(a, b)| (a - b).abs()).sum();
    println!("{name}: Σ of differences of the distribution of directions {difference:.2e}");
    assert!(difference < 0.02, "{difference}");
}

#[test]
fn relaxed_symmetry_of_the_default_width() {
    check_relaxed("relax_c4_default", [58, 43, 54, 45]);
}

#[test]
fn relaxed_symmetry_of_three_degrees() {
    check_relaxed("relax_c4_sigma3", [60, 45, 51, 44]);
}

/// Two iterations on perturbed grids: the second goes around the poses that the first has found, in the wedges that it has found.
#[test]
fn relaxed_symmetry_on_perturbed_grids() {
    let Some(run) = rerun("relax_c4_perturb") else {
        return;
    };
    for (iteration, bounds) in [(1, &FIRST), (2, &LATER)] {
        let found = compare(&run.reference, &run.root, iteration, "C1");
        println!("iteration {iteration}\n{found}");
        check(&found, bounds, iteration);
        let [theirs, ours] =
            [run.reference_root(), run.root.clone()].map(|root| run.wedges(&root, iteration));
        println!("wedges {ours:?}, reference {theirs:?}");
        let moved: usize = (0..4).map(|i| ours[i].abs_diff(theirs[i])).sum();
        assert!(moved <= 2 * iteration, "{ours:?} {theirs:?}");
    }
}

#[test]
fn local_searches_without_relaxation() {
    check_relaxed("norelax_sigma3", [200, 0, 0, 0]);
}

/// The external program gets RELION's arrays, and makes our own map of them.
#[test]
fn an_external_program_makes_our_own_map() {
    if !has_python(&["numpy"]) {
        return;
    }
    let Some(run) = rerun("external_plain") else {
        return;
    };
    let Some(own) = rerun("external_none") else {
        return;
    };
    let map = "_it001_class001.mrc";
    let same = run.difference(map, &format!("{}{map}", own.root));
    println!("map of the program and our own: {same:.2e}");
    assert!(same < 1e-6, "{same}");
    let reference = run.difference(map, &format!("{}{map}", run.reference_root()));
    println!("and RELION's: {reference:.2e}");
    assert!(reference < 1e-3, "{reference}");
    for array in ["data_real", "data_imag", "weight"] {
        let ending = format!("_it001_class001_external_reconstruct_{array}.mrc");
        let theirs = format!("{}{ending}", run.reference_root());
        let difference = run.difference(&ending, &theirs);
        println!("{array}: {difference:.2e}");
        assert!(difference < 1e-3, "{array}: {difference}");
    }
    check_table(
        &run,
        "run",
        "_it001_class001_external_reconstruct.star",
        1e-3,
    );
}

/// The STAR file for the program has RELION's labels, in its order, and its values within a relative `bound`.
fn check_table(run: &Run, name: &str, ending: &str, bound: f64) {
    let theirs = run.reference.join(name).to_string_lossy().into_owned();
    let [theirs, ours] = [theirs, run.root.clone()]
        .map(|root| Document::read(Path::new(&format!("{root}{ending}"))).unwrap());
    assert_eq!(theirs.tables.len(), ours.tables.len());
    for (theirs, ours) in theirs.tables.iter().zip(&ours.tables) {
        assert_eq!(
            (theirs.name(), theirs.labels()),
            (ours.name(), ours.labels())
        );
        assert_eq!(theirs.len(), ours.len());
        for label in theirs.labels() {
            for row in 0..theirs.len() {
                let (a, b) = (theirs.text(row, label), ours.text(row, label));
                let (a, b) = (a.unwrap(), b.unwrap());
                match (a.parse::<f64>(), b.parse::<f64>()) {
                    (Ok(a), Ok(b)) => assert!(
                        (a - b).abs() <= bound * a.abs().max(1e-7),
                        "{label} of row {row}: {b}, reference {a}"
                    ),
                    _ => assert_eq!(a, b, "{label}"),
                }
            }
        }
    }
}

/// Names, tables and maps of half-sets, and of the joined iteration that follows (`--force_converge`).
#[test]
fn half_sets_by_an_external_program() {
    if !has_python(&["numpy"]) {
        return;
    }
    let Some(run) = rerun("external_halves") else {
        return;
    };
    let folder = run.folder.path().to_owned();
    for half in ["half1", "half2"] {
        let ending = format!("_it001_{half}_class001_external_reconstruct.star");
        check_table(&run, "run", &ending, 0.02);
        let map = format!("_it001_{half}_class001_external_reconstruct.mrc");
        let theirs = format!("{}{map}", run.reference_root());
        let difference = run.difference(&map, &theirs);
        println!("{half}: {difference:.2e}");
        assert!(difference < 0.01, "{difference}");
    }
    let words = "--o external_halves/fin --continue external_halves/run_it001_optimiser.star --force_converge --external_reconstruct --j 1";
    succeeded(&program(words.split_whitespace(), &folder));
    let map = "fin_it002_class001_external_reconstruct.mrc";
    let last = Run {
        root: folder
            .join("external_halves/fin")
            .to_string_lossy()
            .into_owned(),
        ..run
    };
    check_table(
        &last,
        "fin",
        "_it002_class001_external_reconstruct.star",
        0.05,
    );
    let difference = last.difference("_class001.mrc", &last.reference.join(map).to_string_lossy());
    println!("joined: {difference:.2e}");
    assert!(difference < 0.05, "{difference}");
    // The final map is what the program made.
    let own = folder.join("external_halves").join(map);
    assert!(last.difference("_class001.mrc", &own.to_string_lossy()) < 1e-6);
}

/// Maps with and without local symmetry are RELION's.
#[test]
fn local_symmetry_as_in_the_reference_runs() {
    let (Some(off), Some(on)) = (rerun("localsym_off"), rerun("localsym_on")) else {
        return;
    };
    let map = "_it001_class001.mrc";
    for run in [&off, &on] {
        let difference = run.difference(map, &format!("{}{map}", run.reference_root()));
        println!("difference to the reference {difference:.2e}");
        assert!(difference < 1e-3, "{difference}");
    }
    let changed = on.difference(map, &format!("{}{map}", off.root));
    println!("changed by the average: {changed:.3}");
    assert!(changed > 0.1, "{changed}");
}
