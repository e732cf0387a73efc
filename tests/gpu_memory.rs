//! Whatever the memory plan of a device lets start ends, with the same maps: whole runs on the emulated device
//! (`tests/emulated_cuda`) at limits from the smallest that is accepted upward. `GERELION_LIMIT_STEP` sets the step between
//! limits in per cent (10).

use gerelion::device::kernels::{PTX_AVAILABLE, WHY_NO_PTX};
use gerelion::formats::mrc;
use gerelion::formats::volume::read_map;
use material::{Need, skip};
use ndarray::Array3;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output};

/// Options of every run. Few particles in few orientations, since the emulator runs every thread of every kernel.
const OPTIONS: &str = "--ctf --particle_diameter 170 --flatten_solvent --zero_mask --norm --healpix_order 0 --offset_range 0 \
                       --offset_step 1 --oversampling 0 --random_seed 1 --j 2";
const AUTO_REFINE: &str =
    "--auto_refine --split_random_halves --auto_local_healpix_order 1 --low_resol_join_halves 60";

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", text_of(output));
}

fn text_of(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .concat()
}

/// A folder with a small particle set, its reference and a mask.
struct Set(tempfile::TempDir);

impl Set {
    fn new(particles: usize) -> Self {
        let set = Self(tempfile::tempdir().unwrap());
        // The stand-in for CUDA, which cargo builds beside this test, under the names that the program loads.
        let library = std::env::current_exe().unwrap();
        let library = library.with_file_name("libemulated_cuda.so");
        fs::create_dir(set.path("libraries")).unwrap();
        for name in ["libcuda.so", "libcufft.so", "libcublas.so"] {
            symlink(&library, set.path("libraries").join(name)).unwrap();
        }
        let simulated = Command::new(env!("CARGO_BIN_EXE_gerelion"))
            .args("simulate --preset mini --box 24 --angpix 8 --snr 1 --o s --n".split(' '))
            .arg(particles.to_string())
            .current_dir(set.0.path())
            .output()
            .unwrap();
        succeeded(&simulated);
        set
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, words: &str, limit: Option<usize>) -> Output {
        self.command(words, limit).output().unwrap()
    }

    fn command(&self, words: &str, limit: Option<usize>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relion_refine"));
        command
            .args(words.split_whitespace())
            .env("LD_LIBRARY_PATH", self.path("libraries"))
            .current_dir(self.0.path());
        if let Some(bytes) = limit {
            command.args(["--gpu", "0", "--gpu_memory", &format!("{}K", bytes >> 10)]);
        }
        command
    }

    fn map(&self, name: &str) -> Array3<f64> {
        let path = self.path(name);
        let map = read_map(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        map.data.mapv(f64::from)
    }
}

/// |a − b| / |b|.
fn difference(a: &Array3<f64>, b: &Array3<f64>) -> f64 {
    let power = |map: &Array3<f64>| map.iter().map(|v| v * v).sum::<f64>();
    assert!(power(b) > 0.0);
    (power(&(a - b)) / power(b)).sqrt()
}

/// Runs `words` (which have `OUT` in place of the output) within limits from `least` bytes upward until nothing is given
/// up. Limits are refused before the first iteration, or the run ends with `maps` as without a limit; once a limit
/// was accepted, all larger ones are. Returns the texts of the runs that ended.
fn end_at_every_limit(set: &Set, words: &str, maps: &[&str], least: usize) -> Vec<String> {
    if !PTX_AVAILABLE {
        skip(Need::Kernels, WHY_NO_PTX);
        return Vec::new();
    }
    let step: usize = std::env::var("GERELION_LIMIT_STEP").map_or(10, |step| step.parse().unwrap());
    let whole = set.run(&words.replace("OUT", "whole"), Some(1 << 30));
    succeeded(&whole);
    assert!(
        !text_of(&whole).contains("on the host."),
        "{}",
        text_of(&whole)
    );
    let (mut limit, mut texts) = (least, Vec::new());
    let mut refused = 0;
    while limit < 4 * least {
        let root = format!("limit{limit}");
        let output = set.run(&words.replace("OUT", &root), Some(limit));
        let text = text_of(&output);
        if output.status.success() {
            for map in maps {
                let [found, expected] =
                    [&root, "whole"].map(|root| set.map(&format!("{root}{map}")));
                let error = difference(&found, &expected);
                println!("{limit} bytes: {map} differs by {error:.1e}");
                assert!(
                    error < 1e-4,
                    "{limit} bytes: {map} differs by {error:e}\n{text}"
                );
            }
            texts.push(text);
        } else {
            assert!(text.contains("GR-0507"), "{limit} bytes\n{text}");
            assert!(
                !text.contains("Expectation iteration"),
                "{limit} bytes: refused too late\n{text}"
            );
            assert!(
                texts.is_empty(),
                "{limit} bytes are refused, less was enough\n{text}"
            );
            refused += 1;
        }
        limit += limit * step / 100;
    }
    println!("{refused} limits refused, {} accepted", texts.len());
    assert!(refused > 0 && texts.len() > 2);
    texts
}

fn any_says(texts: &[String], words: &str) -> bool {
    texts.is_empty() || texts.iter().any(|text| text.contains(words))
}

/// Three iterations on the host, after which the tests go on with the last one on the device.
fn begun(set: &Set, further: &str) {
    let words = format!(
        "--i s.star --ref s_truth1.mrc --ini_high 60 --o begun --auto_iter_max 1 {AUTO_REFINE} {OPTIONS} {further}"
    );
    succeeded(&set.run(&words, None));
}

const LAST: &str = "--continue begun_it001_optimiser.star --force_converge --o OUT";
const FINAL_MAPS: [&str; 3] = [
    "_class001.mrc",
    "_half1_class001_unfil.mrc",
    "_half2_class001_unfil.mrc",
];

#[test]
fn the_joined_last_iteration_ends_at_every_limit() {
    let set = Set::new(4);
    begun(&set, "--sym C4");
    let texts = end_at_every_limit(&set, LAST, &FINAL_MAPS, 1_000_000);
    assert!(any_says(&texts, "symmetry. It was done on the host"));
}

#[test]
fn masks_and_gridding_end_at_every_limit() {
    let set = Set::new(4);
    // All that is above a twentieth of the largest value.
    let reference = set.map("s_truth1.mrc");
    let largest = reference.iter().fold(0.0f64, |m, v| m.max(*v));
    let mask = reference.mapv(|v| f32::from(u8::from(v > 0.05 * largest)));
    mrc::write_map(&set.path("mask.mrc"), mask.view(), 8.0).unwrap();
    begun(
        &set,
        "--sym D2 --solvent_mask mask.mrc --solvent_correct_fsc --dont_skip_gridding",
    );
    end_at_every_limit(&set, LAST, &FINAL_MAPS, 1_000_000);
}

#[test]
fn classes_end_at_every_limit() {
    let set = Set::new(4);
    let words = format!(
        "--i s.star --ref s_truth1.mrc --ini_high 20 --K 2 --iter 2 --sym C2 --tau2_fudge 4 --o OUT {OPTIONS}"
    );
    let maps = ["_it002_class001.mrc", "_it002_class002.mrc"];
    end_at_every_limit(&set, &words, &maps, 1_500_000);
}

/// All iterations within a limit that leaves the symmetry to the host.
#[test]
fn a_whole_refinement_ends_within_little_memory() {
    if !PTX_AVAILABLE {
        skip(Need::Kernels, WHY_NO_PTX);
        return;
    }
    let set = Set::new(4);
    let words = format!(
        "--i s.star --ref s_truth1.mrc --ini_high 100 --sym C4 {AUTO_REFINE} {OPTIONS} --o OUT"
    );
    succeeded(&set.run(&words.replace("OUT", "host"), None));
    let little = set.run(&words.replace("OUT", "little"), Some(1_900_000));
    succeeded(&little);
    let text = text_of(&little);
    assert!(text.contains("converged"), "{text}");
    assert!(
        text.contains("this iteration is done on the host"),
        "{text}"
    );
    for map in FINAL_MAPS {
        let [found, expected] = ["little", "host"].map(|root| set.map(&format!("{root}{map}")));
        let error = difference(&found, &expected);
        println!("{map} differs by {error:.1e}");
        assert!(error < 1e-3, "{map} differs by {error:e}\n{text}");
    }
}

/// From the second batch on there is never room for the transforms of one particle: the host aligns it, and the maps are the
/// same.
#[test]
fn particles_that_find_no_room_are_aligned_on_the_host() {
    if !PTX_AVAILABLE {
        skip(Need::Kernels, WHY_NO_PTX);
        return;
    }
    let set = Set::new(4);
    let words = format!(
        "--i s.star --ref s_truth1.mrc --ini_high 20 --iter 2 --sym C2 --scale {OPTIONS} --o OUT"
    );
    succeeded(&set.run(&words.replace("OUT", "host"), None));
    let full = set
        .command(&words.replace("OUT", "full"), Some(1 << 30))
        .env("EMULATED_FULL", "prepare_images:2+")
        .output()
        .unwrap();
    succeeded(&full);
    let text = text_of(&full);
    let told = "4 particles of this iteration were aligned on the host";
    assert_eq!(text.matches(told).count(), 1, "{text}");
    let map = "_it002_class001.mrc";
    let [found, expected] = ["full", "host"].map(|root| set.map(&format!("{root}{map}")));
    let error = difference(&found, &expected);
    println!("{map} differs by {error:.1e}");
    assert!(error < 1e-4, "{map} differs by {error:e}\n{text}");
}
