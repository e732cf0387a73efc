//! `relion_refine`: 3D classification and auto-refinement with RELION's options and files.

use std::process::ExitCode;

fn main() -> ExitCode {
    gerelion::refinement::program::main(std::env::args_os().skip(1))
}
