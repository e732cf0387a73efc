//! The expectation step on the host: blocked matrix products over packed pixel lists.
