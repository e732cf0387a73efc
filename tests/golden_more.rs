//! Symmetry relaxation, external programs and local symmetry against RELION's runs (`../shared/golden/more`).

mod runs;

use gerelion::formats::star::Document;
use gerelion::formats::volume::read_map;
use material::{has_python, shared};
use runs::{Bounds, check, command, compare, succeeded, work_folder};
use std::ffi::OsStr;
use std::ops::Range;
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

/// Shells 0 to N/2 of the set's images.
const SHELLS: usize = 17;

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

/// Whether a voxel of the sums of a run at full size (half of a transform with the origin at (0, 0, 0)) has no share of pixels
/// with x² + y² = (N/2)² exactly. Rounding decides which of these RELION keeps, about 60 % (spec 06 §12). That shows in the weight
/// and, because shifts by half a pixel turn (N/2, 0) and (0, N/2) by ±90°, in the imaginary part.
fn within_the_circle(voxel: [usize; 3], [side, height, width]: [usize; 3]) -> bool {
    assert_eq!((side, height), (2 * (width - 1), side));
    let signed = |i: usize| i as f64 - if i > side / 2 { side as f64 } else { 0.0 };
    let radius = voxel.map(|i| signed(i).powi(2)).iter().sum::<f64>().sqrt();
    // A pixel is shared among the eight voxels around it.
    radius <= side as f64 / 2.0 - 3.0_f64.sqrt()
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
        self.difference_where(ending, other, |_, _| true)
    }

    /// The same over the voxels, indices (z, y, x) of an array of this size, that are asked for.
    fn difference_where(
        &self,
        ending: &str,
        other: &str,
        compared: fn([usize; 3], [usize; 3]) -> bool,
    ) -> f64 {
        let [a, b] = [format!("{}{ending}", self.root), other.to_owned()]
            .map(|file| read_map(Path::new(&file)).unwrap().data);
        assert_eq!(a.dim(), b.dim());
        let (depth, height, width) = a.dim();
        let (mut difference, mut power) = (0.0, 0.0);
        for (((z, y, x), &a), &b) in a.indexed_iter().zip(&b) {
            if compared([z, y, x], [depth, height, width]) {
                difference += f64::from(a - b).powi(2);
                power += f64::from(b).powi(2);
            }
        }
        (difference / power).sqrt()
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
        let difference = run.difference_where(&ending, &theirs, within_the_circle);
        println!("{array}: {difference:.2e}");
        assert!(difference < 1e-3, "{array}: {difference}");
    }
    check_table(
        &run,
        "run",
        "_it001_class001_external_reconstruct.star",
        1e-3,
        0..SHELLS,
    );
}

/// The STAR file for the program has RELION's labels, in its order, and its values within a relative `bound` in these shells.
fn check_table(run: &Run, name: &str, ending: &str, bound: f64, shells: Range<usize>) {
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
        let rows = match theirs.len() {
            SHELLS => shells.clone(),
            rows => 0..rows,
        };
        for label in theirs.labels() {
            for row in rows.clone() {
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

/// Names, tables and maps of half-sets.
#[test]
fn half_sets_by_an_external_program() {
    if !has_python(&["numpy"]) {
        return;
    }
    let Some(run) = rerun("external_halves") else {
        return;
    };
    for half in ["half1", "half2"] {
        let ending = format!("_it001_{half}_class001_external_reconstruct.star");
        // The pixels on the circle are those of the last shell.
        check_table(&run, "run", &ending, 2e-3, 0..SHELLS - 1);
        let map = format!("_it001_{half}_class001_external_reconstruct.mrc");
        let theirs = format!("{}{map}", run.reference_root());
        let difference = run.difference(&map, &theirs);
        println!("{half}: {difference:.2e}");
        assert!(difference < 0.01, "{difference}");
    }
}

/// The joined iteration that follows (`--force_converge`), from RELION's own files: names, tables, poses and map.
///
/// RELION then aligns half 2 with the noise spectrum of half 1, so that is what its model file is given here. With its own
/// spectrum 199 of 200 poses are the same, and the spectrum of τ² is 6.6 % higher in shell 0, where W depends on the noise alone.
#[test]
fn joined_halves_by_an_external_program() {
    if !has_python(&["numpy"]) {
        return;
    }
    let Some(reference) = shared(Path::new("golden/more/external_halves")) else {
        return;
    };
    let inputs = ["p32.star", "p32.mrcs"].map(|file| reference.join("../input").join(file));
    let words = "--o external_halves/fin --continue external_halves/run_it001_optimiser.star --force_converge --external_reconstruct";
    let words: Vec<String> = words.split_whitespace().map(String::from).collect();
    let (folder, root) = work_folder(&inputs, &words);
    let output = folder.path().join("external_halves");
    let copy = |from: &str, to: &str| {
        std::fs::copy(reference.join(from), output.join(to)).unwrap();
    };
    for ending in [
        "data",
        "optimiser",
        "sampling",
        "half1_model",
        "half2_model",
    ] {
        let name = format!("run_it001_{ending}.star");
        copy(&name, &name);
    }
    for half in ["half1", "half2"] {
        let name = format!("run_it001_{half}_class001");
        copy(
            &format!("{name}_external_reconstruct.mrc"),
            &format!("{name}.mrc"),
        );
    }
    let [one, two] =
        ["half1", "half2"].map(|half| output.join(format!("run_it001_{half}_model.star")));
    let noise = Document::read(&one).unwrap();
    let noise = noise.require("model_optics_group_1").unwrap();
    let mut model = Document::read(&two).unwrap();
    let of_two = model
        .tables
        .iter_mut()
        .find(|table| table.name() == noise.name());
    *of_two.unwrap() = noise.clone();
    model.write(&two).unwrap();
    succeeded(&program(&words, folder.path()));
    let run = Run {
        folder,
        root,
        reference,
    };

    check_table(
        &run,
        "fin",
        "_it002_class001_external_reconstruct.star",
        6e-3,
        0..SHELLS - 1,
    );
    let angles = |file: &Path| {
        let document = Document::read(file).unwrap();
        let particles = document.require("particles").unwrap();
        let labels = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"];
        let columns = labels.map(|label| particles.real_column(label).unwrap());
        let names = particles.texts("rlnImageName").unwrap().map(String::from);
        let mut rows: Vec<(String, [f64; 3])> = names
            .enumerate()
            .map(|(row, name)| (name, [0, 1, 2].map(|i| columns[i][row])))
            .collect();
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        rows
    };
    let theirs = angles(&run.reference.join("fin_data.star"));
    for (theirs, ours) in theirs
        .iter()
        .zip(angles(Path::new(&format!("{}_data.star", run.root))))
    {
        assert_eq!(theirs.0, ours.0);
        let equal = theirs
            .1
            .iter()
            .zip(ours.1)
            .all(|(a, b)| (a - b).abs() < 1e-3);
        assert!(equal, "{}: {:?}, reference {:?}", ours.0, ours.1, theirs.1);
    }
    let map = "fin_it002_class001_external_reconstruct.mrc";
    let difference = run.difference("_class001.mrc", &run.reference.join(map).to_string_lossy());
    println!("joined: {difference:.2e}");
    assert!(difference < 2e-3, "{difference}");
    // The final map is what the program made.
    let own = run.folder.path().join("external_halves").join(map);
    assert!(run.difference("_class001.mrc", &own.to_string_lossy()) < 1e-6);
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
