//! Jobs of several ranks: mpirun on this machine. Without mpirun the tests say that they are left out.

mod disturbed;
mod job;
mod nodes;
mod programs;
mod results;
#[path = "../runs/mod.rs"]
mod runs;
mod warnings;
