//! How a run starts: half-sets of the table, references of another size.

mod runs;

use gerelion::formats::mrc::{StackMode, StackReader, StackWriter, write_map};
use gerelion::formats::volume::read_map;
use ndarray::{Array3, s};
use runs::fixture;
use std::path::{Path, PathBuf};
use std::process::Command;

const SIDE: usize = 48;
const PARTICLES: usize = 20;

/// A folder with the first particles of the fixture and its reference.
struct Data {
    folder: tempfile::TempDir,
}

impl Data {
    fn new() -> Self {
        let data = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        data.write_stack();
        let text = std::fs::read_to_string(fixture().join("bundle.star")).unwrap();
        let next = format!("{:06}@", PARTICLES + 1);
        std::fs::write(
            data.path("particles.star"),
            text[..text.find(&next).unwrap()].replace("@bundle.", "@stack."),
        )
        .unwrap();
        std::fs::copy(fixture().join("bundle_truth1.mrc"), data.path("map.mrc")).unwrap();
        std::fs::create_dir(data.path("out")).unwrap();
        data
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_stack(&self) {
        let source = StackReader::open(&fixture().join("bundle.mrcs")).unwrap();
        let path = self.path("stack.mrcs");
        let mode = StackMode::Float32;
        let mut stack = StackWriter::create(&path, SIDE, PARTICLES, 4.5, mode).unwrap();
        let mut image = vec![0.0; SIDE * SIDE];
        for i in 0..PARTICLES {
            source.read_into(i, &mut image).unwrap();
            stack.push(&image).unwrap();
        }
        stack.finish().unwrap();
    }

    fn map(&self) -> Array3<f32> {
        read_map(&self.path("map.mrc")).unwrap().data
    }

    /// Text on standard error of a classification that must fail; `more` come after (and win over) the usual options.
    fn failure(&self, more: &str) -> String {
        let usual = "--i particles.star --ref map.mrc --o out/run --iter 1 --ctf --zero_mask --ini_high 40 \
                     --particle_diameter 160 --healpix_order 0 --offset_range 2 --pipeline_control out/";
        let output = Command::new(env!("CARGO_BIN_EXE_relion_refine"))
            .args(usual.split_whitespace().chain(more.split_whitespace()))
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("ERROR:"), "{text}");
        assert!(!self.path("out/run_it001_optimiser.star").exists());
        assert!(!self.path("out/RELION_JOB_EXIT_SUCCESS").exists());
        text
    }
}

fn assert_names(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "'{word}' is missing in:\n{text}");
    }
}

#[test]
fn half_a_division_into_half_sets_is_refused() {
    let data = Data::new();
    let text = std::fs::read_to_string(data.path("particles.star")).unwrap();
    let text = text.replace("_rlnCoordinateX ", "_rlnRandomSubset ");
    let mut lines: Vec<String> = text.lines().map(String::from).collect();
    for (row, line) in lines.iter_mut().filter(|l| l.contains('@')).enumerate() {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        words[6] = if row == 3 { "0" } else { "1" };
        *line = words.join(" ");
    }
    std::fs::write(data.path("particles.star"), lines.join("\n") + "\n").unwrap();
    let text = data.failure("--auto_refine --split_random_halves");
    assert_names(&text, &["rlnRandomSubset", "19 others"]);
}

/// With --trust_ref_size the same references are brought to the images instead, and the run ends well.
#[test]
fn references_of_another_size_are_resampled_where_that_is_asked_for() {
    let data = Data::new();
    let small = data.map().slice(s![4..44, 4..44, 4..44]).to_owned();
    write_map(&data.path("small.mrc"), small.view(), 4.6).unwrap();
    let words = "--i particles.star --ref small.mrc --trust_ref_size --o out/run --iter 1 --zero_mask --ini_high 40 \
                 --particle_diameter 160 --healpix_order 0 --offset_range 2 --firstiter_cc";
    let output = Command::new(env!("CARGO_BIN_EXE_relion_refine"))
        .args(words.split_whitespace())
        .current_dir(data.folder.path())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("resampled"), "{errors}");
    let map = read_map(Path::new(&data.path("out/run_it001_class001.mrc"))).unwrap();
    assert_eq!(map.data.dim(), (SIDE, SIDE, SIDE));
}
