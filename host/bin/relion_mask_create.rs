//! `relion_mask_create`: `gerelion mask` under the name that RELION's MaskCreate job calls.

#[path = "gerelion/mask.rs"]
mod mask;
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
    thin::main(mask::ABOUT, mask::run)
}
