//! Memory of the host and of the devices: what a run will take, and what it may keep.

pub(crate) mod device_plan;
pub mod host_memory;
pub(crate) mod host_plan;
