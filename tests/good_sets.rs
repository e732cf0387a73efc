//! Nothing is said against good input: the sets of the reference runs, the real set, tables as RELION 1.3 to 5 wrote them, images of
//! every usual kind. The last two give the same map as the set that they are made from.

mod runs;

use gerelion::formats::mrc::{StackMode, StackReader, StackWriter};
use gerelion::formats::star::Document;
use gerelion::formats::volume::read_map;
use gerelion::tools::subset::{self, Unit};
use material::shared;
use runs::{command, fixture, small_set, succeeded};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Particles of a reference set that are taken: enough for spectra and half-sets, and quick.
const SOME: usize = 200;

/// A warning of runs of one iteration about themselves, not about their input.
const SHORT_RUN: &str = "auto-refinement did not converge within 1 iterations";
/// The warning about tables without optics groups: they are taken, and written anew.
const OLD_TABLE: &str =
    "has no optics table (RELION 3.0 or older): it is converted to the present layout";

/// Runs these words and asserts that no warning is given.
fn without_a_word(folder: &Path, words: &[String]) {
    let output = Command::new(env!("CARGO_BIN_EXE_relion_refine"))
        .args(words)
        .current_dir(folder)
        .output()
        .unwrap();
    succeeded(&output);
    let errors = String::from_utf8(output.stderr).unwrap();
    let said: Vec<&str> = errors
        .lines()
        .filter(|line| line.contains("WARNING"))
        .filter(|line| !line.contains(SHORT_RUN) && !line.contains(OLD_TABLE))
        .collect();
    assert!(said.is_empty(), "{words:?}: {said:#?}");
}

/// Sets the value of an option, whether it was given or not.
fn set_option(words: &mut Vec<String>, option: &str, value: &str) {
    match words.iter().position(|word| word == option) {
        Some(at) => value.clone_into(&mut words[at + 1]),
        None => words.extend([option, value].map(String::from)),
    }
}

fn value<'a>(words: &'a [String], option: &str) -> Option<&'a str> {
    let at = words.iter().position(|word| word == option)?;
    words.get(at + 1).map(String::as_str)
}

/// Runs one iteration of a reference run on some particles of its set, whose files lie in `inputs`.
fn one_iteration(run: &str, inputs: &[&Path], further: &str) {
    let Some(reference) = runs::golden(run) else {
        return;
    };
    let mut words = command(&reference);
    if let Some(at) = words.iter().position(|word| word == "--gpu") {
        let has_value = words
            .get(at + 1)
            .is_some_and(|word| !word.starts_with("--"));
        words.drain(at..at + 1 + usize::from(has_value));
    }
    let folder = tempfile::tempdir().unwrap();
    for file in inputs.iter().flat_map(|input| fs::read_dir(input).unwrap()) {
        let file = file.unwrap();
        // The same name in two folders is the same set.
        let _ = std::os::unix::fs::symlink(file.path(), folder.path().join(file.file_name()));
    }
    let particles = value(&words, "--i").unwrap().to_owned();
    let document = Document::read(&folder.path().join(&particles)).unwrap();
    let table = subset::particle_table(&document).unwrap();
    let rows = subset::choose(table, SOME, 1, Unit::Particle).unwrap();
    let some = subset::take(&document, &rows).unwrap();
    some.write(&folder.path().join("some.star")).unwrap();
    for pair in further.split_whitespace().collect::<Vec<_>>().chunks(2) {
        set_option(&mut words, pair[0], pair[1]);
    }
    set_option(&mut words, "--i", "some.star");
    set_option(&mut words, "--j", "1");
    let root = folder.path().join(value(&words, "--o").unwrap());
    fs::create_dir_all(root.parent().unwrap()).unwrap();
    without_a_word(folder.path(), &words);
}

#[test]
fn sets_of_the_reference_runs_in_3d() {
    let Some(inputs) = shared("golden/input") else {
        return;
    };
    one_iteration(
        "class3d_k1_noperturb",
        &[&inputs],
        "--iter 1 --healpix_order 1",
    );
    one_iteration("class3d_k2_c4", &[&inputs], "--iter 1");
    one_iteration("refine3d_c4", &[&inputs], "--auto_iter_max 1");
}

#[test]
fn sets_of_the_reference_runs_in_2d_and_from_nothing() {
    let Some(inputs) = shared("golden/input") else {
        return;
    };
    let gradient = "--iter 1 --grad_ini_subset 60 --grad_fin_subset 100";
    for (run, further) in [
        ("class2d_em", "--iter 1"),
        ("class2d_vdam", gradient),
        ("inimodel_vdam", gradient),
    ] {
        // The table of the set lies beside one of the runs, its stack with those of all.
        if let (Some(own), Some(em)) = (runs::golden(run), runs::golden("class2d_em")) {
            one_iteration(run, &[&inputs, &own, &em], further);
        }
    }
}

#[test]
fn the_real_set() {
    if let Some(inputs) = shared("data/bgal") {
        one_iteration("refine3d_bgal_real", &[&inputs], "--auto_iter_max 1");
    }
}

/// The small set of this repository, the table or the stack of which a test writes anew.
struct Job(TempDir);

impl Job {
    fn new() -> Self {
        Job(small_set(&["c"]))
    }

    /// Runs one iteration, without a warning, and returns the map.
    fn map(&self, further: &[&str]) -> ndarray::Array3<f32> {
        let mut words = command(&fixture().join("class3d_c4"));
        set_option(&mut words, "--iter", "1");
        set_option(&mut words, "--j", "1");
        words.extend(further.iter().map(|word| (*word).to_owned()));
        without_a_word(self.0.path(), &words);
        let map = self.0.path().join("c/run_it001_class001.mrc");
        read_map(&map).unwrap().data
    }

    fn write_table(&self, text: &str) {
        fs::write(self.0.path().join("bundle.star"), text).unwrap();
    }
}

/// A label of an old table, and its value: a word, or #n for word n of the fixture's rows.
type Column<'a> = (&'a str, &'a str);

/// Columns of the microscope since RELION 1.
const OLD_COLUMNS: [Column; 10] = [
    ("rlnImageName", "#0"),
    ("rlnMicrographName", "#1"),
    ("rlnDefocusU", "#3"),
    ("rlnDefocusV", "#4"),
    ("rlnDefocusAngle", "#5"),
    ("rlnVoltage", "300.000000"),
    ("rlnSphericalAberration", "2.000000"),
    ("rlnAmplitudeContrast", "0.100000"),
    ("rlnCoordinateX", "#6"),
    ("rlnCoordinateY", "#7"),
];

/// The particles of the fixture as a table without optics groups, with further columns.
fn old_table(name: &str, further: &[Column]) -> String {
    let columns: Vec<&Column> = OLD_COLUMNS.iter().chain(further).collect();
    let text = fs::read_to_string(fixture().join("bundle.star")).unwrap();
    let mut table = format!("\n{name}\n\nloop_\n");
    for (number, (label, _)) in columns.iter().enumerate() {
        table += &format!("_{label} #{}\n", number + 1);
    }
    for line in text.lines().filter(|line| line.contains('@')) {
        let row: Vec<&str> = line.split_whitespace().collect();
        let words = columns
            .iter()
            .map(|(_, value)| match value.strip_prefix('#') {
                Some(at) => row[at.parse::<usize>().unwrap()],
                None => value,
            });
        table += &format!("{}\n", words.collect::<Vec<_>>().join(" "));
    }
    table + "\n"
}

#[test]
fn tables_of_all_versions() {
    let new = fs::read_to_string(fixture().join("bundle.star")).unwrap();
    let map = Job::new().map(&[]);
    let check = |version: &str, table: &str, further: &[&str]| {
        let job = Job::new();
        job.write_table(table);
        assert!(
            job.map(further) == map,
            "the map of a table of {version} differs"
        );
    };
    let without_pixel_size = old_table("data_", &[]);
    check("RELION 1.0", &without_pixel_size, &["--angpix", "4.5"]);
    // The pixel size of 4.5 Å is 10⁴ · detector / magnification.
    let scanner = [
        ("rlnDetectorPixelSize", "14.000000"),
        ("rlnMagnification", "31111.111111"),
    ];
    check("RELION 1.3", &old_table("data_images", &scanner), &[]);
    goes_on_without_a_word(&old_table("data_images", &scanner));
    let plain = [
        ("rlnMagnification", "10000.000000"),
        ("rlnDetectorPixelSize", "4.500000"),
    ];
    check("RELION 2.0", &old_table("data_", &plain), &[]);
    // Particles picked by hand, of which nothing is known: placeholders.
    let unknown = ["rlnAutopickFigureOfMerit", "rlnClassNumber", "rlnAnglePsi"];
    let by_hand: Vec<Column> = plain
        .into_iter()
        .chain(unknown.map(|label| (label, "-999.00000")))
        .collect();
    check("RELION 3.0", &old_table("data_", &by_hand), &[]);
    check("RELION 5.0", &new.replace("30001", "50001"), &[]);
    let premultiplied = new
        .replace(
            "_rlnImageDimensionality #8\n",
            "_rlnImageDimensionality #8\n_rlnCtfDataAreCtfPremultiplied #9\n",
        )
        .replace(" 4.5 48 2\n", " 4.5 48 2 0\n");
    assert_eq!(premultiplied.lines().count(), new.lines().count() + 1);
    check("RELION 4.0", &premultiplied, &[]);
    check("classic Mac OS", &new.replace('\n', "\r"), &[]);
    check("Windows", &new.replace('\n', "\r\n"), &[]);
}

/// Asserts that a run of this table is continued without a warning: its numbers are written with fewer digits than are read.
fn goes_on_without_a_word(table: &str) {
    let job = Job::new();
    let precise = table
        .replace(" 123.546 ", " 123.546123456 ")
        .replace(" 0.100000 ", " 0.0701234567 ");
    assert_ne!(precise, table);
    job.write_table(&precise);
    job.map(&[]);
    let words = "--continue c/run_it001_optimiser.star --iter 2 --j 1";
    let words: Vec<String> = words.split_whitespace().map(String::from).collect();
    without_a_word(job.0.path(), &words);
}

/// The bytes of an MRC file of words of this many bytes, in the other byte order.
fn swapped(mut bytes: Vec<u8>, word: usize) -> Vec<u8> {
    let (header, data) = bytes.split_at_mut(1024);
    for (index, four) in header[..224].chunks_exact_mut(4).enumerate() {
        // The identifier is text.
        if index != 52 {
            four.reverse();
        }
    }
    header[212..216].copy_from_slice(&[0x11, 0x11, 0, 0]);
    data.chunks_exact_mut(word).for_each(<[u8]>::reverse);
    bytes
}

#[test]
fn images_of_all_kinds() {
    let map = Job::new().map(&[]);
    let source = StackReader::open(&fixture().join("bundle.mrcs")).unwrap();
    let (n, _) = source.shape();
    for (mode, word) in [(StackMode::Float32, 4), (StackMode::Float16, 2)] {
        let job = Job::new();
        let path = job.0.path().join("bundle.mrcs");
        let mut stack = StackWriter::create(&path, n, source.len(), 4.5, mode).unwrap();
        let mut image = vec![0.0; n * n];
        for i in 0..source.len() {
            source.read_into(i, &mut image).unwrap();
            stack.push(&image).unwrap();
        }
        stack.finish().unwrap();
        assert!(job.map(&[]) == map, "{word} bytes, this byte order");
        fs::write(&path, swapped(fs::read(&path).unwrap(), word)).unwrap();
        assert!(job.map(&[]) == map, "{word} bytes, the other byte order");
    }
}
