//! Parts of the method, each on small simulated sets of which the right answer is known: what a microscope does to the
//! images is undone by the columns and options that describe it; known poses give back the known map; searches find
//! the poses that were put in.

mod alignment;
mod images;
mod microscope;
mod optics_groups;
mod reconstruction;
mod symmetry;
