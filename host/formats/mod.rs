//! File formats: STAR tables, MRC maps and stacks, SPIDER volumes, atomic models.

pub mod angstrom;
pub mod atoms;
pub mod file_name;
pub mod mrc;
pub mod open;
pub mod replace;
mod spider;
pub mod star;
pub mod volume;
