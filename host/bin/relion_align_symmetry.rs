//! `relion_align_symmetry`: `gerelion align-symmetry` under the name that RELION's InitialModel job calls.

#[path = "gerelion/align_symmetry.rs"]
mod align_symmetry;
#[path = "gerelion/relion_tool.rs"]
mod relion_tool;
#[path = "gerelion/thin.rs"]
mod thin;
#[path = "gerelion/usage.rs"]
mod usage;

use gerelion::allocator::HugePages;
use std::process::ExitCode;

#[global_allocator]
static MEMORY: HugePages = HugePages;

fn main() -> ExitCode {
    thin::main(align_symmetry::ABOUT, align_symmetry::run)
}
