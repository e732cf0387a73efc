//! Large files: a particle table of a million rows, and a simulated stack. Each is timed once, as a process of its own,
//! so that its peak of memory is seen as well.

use gerelion::dataset::{ParticleSet, ReadOptions};
use gerelion::tools::measure::{Measured, measure};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

const ROWS: usize = 1_000_000;
/// Names the table in the process that reads it.
const TABLE: &str = "GERELION_BENCH_TABLE";

fn main() {
    if let Some(table) = std::env::var_os(TABLE) {
        let set = ParticleSet::read(Path::new(&table), &ReadOptions::default()).unwrap();
        assert_eq!(set.particles.len(), ROWS);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("particles.star");
    write_table(&table).unwrap();
    let bytes = std::fs::metadata(&table).unwrap().len();
    let this = std::env::current_exe().unwrap();
    let read = measure(Command::new(this).env(TABLE, &table)).unwrap();
    println!(
        "{ROWS} particles, {} columns, {} MB of STAR file: {}",
        COLUMNS.len(),
        bytes / 1_000_000,
        shown(&read)
    );
    let simulated = measure(
        Command::new(env!("CARGO_BIN_EXE_gerelion"))
            .args("simulate --preset trpv1 --n 1000 --j 2 --o set/trpv1".split(' '))
            .current_dir(folder.path())
            .stdout(std::process::Stdio::null()),
    )
    .unwrap();
    println!(
        "1000 simulated images of 256² px, 2 threads: {}",
        shown(&simulated)
    );
}

fn shown(m: &Measured) -> String {
    assert!(m.status.success());
    format!(
        "{:.1} s ({:.1} s user), peak {} MB",
        m.wall,
        m.user,
        m.peak_memory / 1_000_000
    )
}

const COLUMNS: [&str; 20] = [
    "rlnImageName",
    "rlnMicrographName",
    "rlnOpticsGroup",
    "rlnGroupNumber",
    "rlnClassNumber",
    "rlnRandomSubset",
    "rlnCoordinateX",
    "rlnCoordinateY",
    "rlnDefocusU",
    "rlnDefocusV",
    "rlnDefocusAngle",
    "rlnAngleRot",
    "rlnAngleTilt",
    "rlnAnglePsi",
    "rlnOriginXAngst",
    "rlnOriginYAngst",
    "rlnNormCorrection",
    "rlnLogLikeliContribution",
    "rlnMaxValueProbDistribution",
    "rlnNrOfSignificantSamples",
];

fn write_table(path: &Path) -> std::io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    out.write_all(
        b"\n# version 50001\n\ndata_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnOpticsGroupName #2\n_rlnImagePixelSize #3\n\
          _rlnImageSize #4\n_rlnImageDimensionality #5\n1 opticsGroup1 1.2156 256 2\n\n# version 50001\n\ndata_particles\n\n\
          loop_\n",
    )?;
    for (i, label) in COLUMNS.iter().enumerate() {
        writeln!(out, "_{label} #{}", i + 1)?;
    }
    for i in 0..ROWS {
        let (micrograph, real) = (i / 300, (i * 7919 % 1_000_003) as f64 * 1e-3);
        write!(
            out,
            "{:06}@Extract/job020/micrographs/stack_{micrograph:05}.mrcs MotionCorr/job002/mic_{micrograph:05}.mrc 1 {} 1 {}",
            i % 300 + 1,
            micrograph + 1,
            1 + i % 2
        )?;
        for column in 0..13 {
            write!(out, " {:.6}", real - 10.0 * f64::from(column))?;
        }
        writeln!(out, " {}", 1 + i % 40)?;
    }
    out.flush()
}
