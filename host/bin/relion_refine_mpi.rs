//! `relion_refine_mpi`: the same program as `relion_refine`, under the name that scripts and the RELION GUI call.

use gerelion::allocator::HugePages;
use std::process::ExitCode;

#[global_allocator]
static MEMORY: HugePages = HugePages;

fn main() -> ExitCode {
    gerelion::refinement::cli::program::main(std::env::args_os().skip(1))
}
