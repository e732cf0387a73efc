//! File formats: STAR tables, MRC maps and stacks, SPIDER volumes, atomic models.

pub mod atoms;
pub mod mrc;
pub mod star;
pub mod volume;
