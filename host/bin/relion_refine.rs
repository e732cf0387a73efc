//! `relion_refine`: 3D classification and auto-refinement with RELION's options and files.

use gerelion::allocator::HugePages;
use std::process::ExitCode;

#[global_allocator]
static MEMORY: HugePages = HugePages;

fn main() -> ExitCode {
    gerelion::refinement::cli::program::main(std::env::args_os().skip(1))
}
