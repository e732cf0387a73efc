//! `relion_localres`: `gerelion localres`, which is `relion_postprocess --locres`.

#[path = "gerelion/postprocess.rs"]
mod postprocess;
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
    thin::main(postprocess::about(true), |arguments| {
        postprocess::run(arguments, true)
    })
}
