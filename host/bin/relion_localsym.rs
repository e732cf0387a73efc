//! `relion_localsym`: `gerelion localsym` under RELION's name.

#[path = "gerelion/localsym.rs"]
mod localsym;
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
    thin::main(localsym::ABOUT, localsym::run)
}
