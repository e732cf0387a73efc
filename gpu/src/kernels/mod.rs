//! Entry points of the device module. Each file is one stage; the arithmetic they share with the host lies beside this
//! folder.

pub mod project;
