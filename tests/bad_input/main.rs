//! Bad input ends with one paragraph that names the file or particle, with a code that `gerelion explain` explains, a status
//! other than 0, and no files that look like a finished run. Every case spoils one thing of a set that runs well (first test).
//! The words of the programs are compared, to the letter, with `messages.txt`.

mod changed_run;
mod command_line;
mod continuation;
mod files;
mod gradient;
mod local_symmetry;
mod machine;
mod masks;
mod optics;
mod outputs;
mod particles;
mod programs;
mod references;
mod relion_tools;
mod set;
mod snapshot;
mod tools;

use set::{Set, files};
use std::fs;
use std::path::Path;

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
fn every_written_message_belongs_to_a_test() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad_input");
    let text = fs::read_to_string(folder.join("messages.txt")).unwrap();
    if std::env::var_os("UPDATE").is_some() {
        // The other tests are writing the file.
        return;
    }
    let sections = snapshot::sections(&text);
    assert!(sections.len() > 50, "{}", sections.len());
    for (name, _) in sections {
        let (module, test) = name.split_once("::").unwrap();
        let code = fs::read_to_string(folder.join(format!("{module}.rs"))).unwrap();
        assert!(code.contains(&format!("fn {test}()")), "{name}");
    }
}
