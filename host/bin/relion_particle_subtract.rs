//! `relion_particle_subtract`: `gerelion subtract` under RELION's name.

#[path = "gerelion/relion_tool.rs"]
mod relion_tool;
#[path = "gerelion/subtract.rs"]
mod subtract;
#[path = "gerelion/thin.rs"]
mod thin;
#[path = "gerelion/usage.rs"]
mod usage;

use gerelion::allocator::HugePages;
use std::process::ExitCode;

#[global_allocator]
static MEMORY: HugePages = HugePages;

fn main() -> ExitCode {
    thin::main(subtract::ABOUT, subtract::run)
}
