//! Ranks, engines and threads of a job: who aligns which particles, and how results become those of all.

pub(crate) mod broadcast;
pub mod card_sums;
pub(crate) mod engine_shares;
pub(crate) mod engines;
pub mod load_balance;
pub mod reduction;
pub(crate) mod threads;
pub mod workers;
