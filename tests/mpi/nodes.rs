//! Jobs over two machines, made of namespaces by `tests/two_nodes.sh`.

use material::{Need, skip};
use std::path::Path;
use std::process::Command;

#[test]
fn two_machines_give_what_one_process_gives_and_notice_when_they_lose_each_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let programs = Path::new(env!("CARGO_BIN_EXE_relion_refine_mpi"))
        .parent()
        .unwrap();
    let output = Command::new(root.join("tests/two_nodes.sh"))
        .arg(programs)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    if let Some((_, why)) = text.split_once("two_nodes.sh: left out, ") {
        skip(Need::Privileges, why.trim_end());
    }
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
