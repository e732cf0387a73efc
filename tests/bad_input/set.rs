//! A small set that refines well, as files on disk that a test may spoil.

use super::snapshot;
use gerelion::formats::mrc::{StackMode, StackWriter, write_map};
use ndarray::Array3;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

pub const BOX: usize = 24;
pub const PIXEL: f64 = 4.0;
pub const PARTICLES: usize = 6;

/// A blob and noise of a fixed generator: images that refine without complaint.
pub fn image(seed: usize) -> Vec<f32> {
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

pub fn blob(shape: (usize, usize, usize)) -> Array3<f32> {
    Array3::from_shape_fn(shape, |(z, y, x)| {
        let d = |i: usize, n: usize| i as f64 - n as f64 / 2.0;
        let (x, y, z) = (d(x, shape.2), d(y, shape.1), d(z, shape.0));
        (-(x * x + 2.0 * y * y + z * z) / 18.0).exp() as f32
    })
}

/// A folder with a small set, as files on disk that a test may spoil.
pub struct Set {
    pub folder: TempDir,
    pub options: Vec<String>,
    /// Variables of the environment of the run.
    pub environment: Vec<(&'static str, String)>,
}

impl Set {
    pub fn new() -> Self {
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
            environment: Vec::new(),
        };
        let images: Vec<Vec<f32>> = (0..PARTICLES).map(image).collect();
        set.write_stack(&images);
        set.write_star(&star());
        write_map(&set.path("ref.mrc"), blob((BOX, BOX, BOX)).view(), PIXEL).unwrap();
        set
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write_stack(&self, images: &[Vec<f32>]) {
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

    pub fn write_star(&self, text: &str) {
        fs::write(self.path("particles.star"), text).unwrap();
    }

    /// Give an option another value.
    pub fn option(mut self, name: &str, value: &str) -> Self {
        let at = self.options.iter().position(|word| word == name);
        match at {
            Some(at) => self.options[at + 1] = value.to_owned(),
            None => self.options.extend([name.to_owned(), value.to_owned()]),
        }
        self
    }

    pub fn run(&self) -> Output {
        Command::new(env!("CARGO_BIN_EXE_relion_refine"))
            .args(&self.options)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }

    /// Run, and check that it ends as bad input must, with this code and the message in `messages.txt`.
    pub fn refuse(&self, code: &str) {
        let message = self.message();
        snapshot::check(code, &self.neutral(&message));
    }

    /// The message without what differs from run to run: folders.
    pub fn neutral(&self, message: &str) -> String {
        let folder = fs::canonicalize(self.folder.path()).unwrap();
        message.replace(&folder.display().to_string(), "/project")
    }

    /// Run, and check that it ends as bad input must. Returns the message.
    pub fn message(&self) -> String {
        let message = failure(&self.run());
        assert!(!message.contains("internal error"), "{message}");
        let out = self.path("out");
        assert!(!out.join("RELION_JOB_EXIT_SUCCESS").exists());
        let finished: Vec<String> = files(&out)
            .into_iter()
            .filter(|name| {
                // What a program got is left for the user to look at.
                (name.contains("_it001") && !name.contains("_external_reconstruct"))
                    || *name == "run_model.star"
                    || name.starts_with("run_class")
            })
            .collect();
        assert!(finished.is_empty(), "{finished:?} look finished");
        message
    }
}

/// The message that a program ended with: one paragraph after "ERROR:", and where to read more.
pub fn failure(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    let (_, message) = errors
        .split_once("ERROR:\n")
        .unwrap_or_else(|| panic!("no ERROR: in {errors}"));
    let lines: Vec<&str> = message.trim_end().lines().collect();
    let [message, more] = lines.as_slice() else {
        panic!("one paragraph: {message}");
    };
    let code = &message[..7];
    assert_eq!(*more, format!("More about it: gerelion explain {code}"));
    message.to_string()
}

pub fn files(folder: &Path) -> Vec<String> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

pub const OPTICS: &str = "\n# version 50001\n\ndata_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnOpticsGroupName #2\n_rlnImagePixelSize #3\n\
                      _rlnImageSize #4\n_rlnImageDimensionality #5\n_rlnVoltage #6\n_rlnSphericalAberration #7\n\
                      _rlnAmplitudeContrast #8\n1 group1 4.0 24 2 300 2.7 0.1\n\n";

pub const PARTICLE_COLUMNS: &str = "\n# version 50001\n\ndata_particles\n\nloop_\n_rlnImageName #1\n_rlnMicrographName #2\n\
                                _rlnOpticsGroup #3\n_rlnDefocusU #4\n_rlnDefocusV #5\n_rlnDefocusAngle #6\n";

pub fn star() -> String {
    let rows: String = (1..=PARTICLES)
        .map(|i| format!("{i:06}@stack.mrcs mic{}.mrc 1 15000 15200 30\n", i % 2))
        .collect();
    format!("{OPTICS}{PARTICLE_COLUMNS}{rows}\n")
}
