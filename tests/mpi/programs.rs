//! Programs that make the maps, called by the ranks that own them (`--external_reconstruct`).

use crate::job::{Job, errors};
use gerelion::formats::volume::read_map;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

const VARIABLE: &str = "RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE";

fn run(job: &Job, ranks: usize, program: &str) -> Option<Output> {
    Some(job.command(ranks)?.env(VARIABLE, program).output().unwrap())
}

/// ‖a − b‖ / ‖b‖ of a map of two jobs.
fn difference(a: &Job, b: &Job, file: &str) -> f64 {
    let [a, b] = [a, b].map(|job| read_map(&job.path(file)).unwrap().data);
    let norm = |map: &ndarray::Array3<f32>| map.iter().map(|v| v * v).sum::<f32>().sqrt();
    f64::from(norm(&(&a - &b)) / norm(&b))
}

/// Three ranks, of which two own a half-set each, make the maps that they make without the program.
#[test]
fn half_sets_by_a_program() {
    if !material::has_python(&["numpy"]) {
        return;
    }
    let options = "--auto_iter_max 1";
    let own = Job::of("refine3d_c4", options);
    if own.run(3).is_none() {
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/reconstruct.py");
    let job = Job::of("refine3d_c4", &format!("{options} --external_reconstruct"));
    let program = format!("python3 {}", script.display());
    let output = run(&job, 3, &program).unwrap();
    assert!(output.status.success(), "{}", errors(&output));
    for half in ["half1", "half2"] {
        let map = format!("_it001_{half}_class001.mrc");
        let found = difference(&job, &own, &map);
        println!("{half}: relative L2 {found:.2e}");
        assert!(found < 1e-4, "{half}: {found}");
        assert!(
            job.path(&format!("_it001_{half}_class001_external_reconstruct.star"))
                .is_file()
        );
    }
    // One rank prints.
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text.matches("Making system call").count(), 1, "{text}");
}

/// The program of one half-set fails on its rank: all ranks end with what it said.
#[test]
fn a_program_that_fails_on_one_rank() {
    let job = Job::of("refine3d_c4", "--auto_iter_max 1 --external_reconstruct");
    let script = job.folder.path().join("program.sh");
    let text = "#!/bin/sh\ncase $1 in *half2*) echo 'no memory on this card' >&2; exit 9;; esac\nsleep 100\n";
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let begin = std::time::Instant::now();
    let Some(output) = run(&job, 2, "./program.sh") else {
        return;
    };
    let errors = errors(&output);
    assert!(!output.status.success(), "{errors}");
    assert!(
        errors.contains("GR-0811") && errors.contains("no memory on this card"),
        "{errors}"
    );
    // The program of the other half-set is not waited for.
    assert!(begin.elapsed().as_secs() < 90, "{:?}", begin.elapsed());
    assert!(!job.path("_it001_optimiser.star").exists());
}
