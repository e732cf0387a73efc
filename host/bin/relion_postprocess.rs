//! `relion_postprocess`: `gerelion postprocess` under the name that RELION's PostProcess and LocalRes jobs call.

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
    thin::main(postprocess::about(false), |arguments| {
        postprocess::run(arguments, false)
    })
}
