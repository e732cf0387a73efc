//! 04xx: references, masks and maps.

super::super::entry::entries! {
    /// A reference or mask must be a cube with an even number of voxels on each side.
    MAP_SHAPE = 401, "Map that is not a cube with an even side";
    causes: "A map that was cropped, or a stack of 2D images.", "A box with an odd number of voxels.";
    remedies: "Crop or pad the map to an even cube, for example with relion_image_handler --new_box.";

    /// The reference has another box or pixel size than the particles.
    REFERENCE_SCALE = 402, "Reference that does not fit the particles";
    causes: "A reference from another data set or binning.", "A header with a wrong pixel size.";
    remedies: "Add --trust_ref_size to have it rescaled.", "Give the true pixel size with --ref_angpix when only the header is wrong.",
              "Rescale it, for example with relion_image_handler --rescale_angpix and --new_box.";

    /// Nothing says how large a voxel of the map is.
    MAP_PIXEL_SIZE = 403, "Map without a pixel size";
    causes: "A program that left the cell in the header empty.";
    remedies: "Give it: --ref_angpix for a reference, --angpix for gerelion postprocess.", "Set it in the header of the map.";

    /// A map holds values that are not numbers.
    MAP_VALUES = 404, "Map with impossible values";
    causes: "A failed reconstruction, or a division by 0.", "A run whose mask removed everything, so that its map is 0.", "A mask whose values do not lie between 0 and 1.";
    remedies: "Look at the map, and make it again.";

    /// The file of --ref names no references, or references that do not belong together.
    REFERENCE_LIST = 405, "Table of references that cannot be used";
    causes: "A STAR file without the column rlnReferenceImage.", "Maps with different pixel sizes or boxes.";
    remedies: "Give one map, or the _model.star file of a run.", "Rescale the maps to one size.";

    /// The particle or the edge of its mask does not fit into the box.
    DIAMETER = 406, "Particle diameter or mask edge that does not fit the box";
    causes: "A diameter in pixels where Å are meant.", "A wrong pixel size.", "A box that is too small for the particle.";
    remedies: "Give --particle_diameter in Å, smaller than the box.", "Extract larger images.", "Give a smaller --maskedge.";

    /// Two maps, or a map and a mask, cannot be compared.
    MAPS_DIFFER = 407, "Maps that cannot be compared";
    causes: "Different boxes or pixel sizes.", "Files of two different runs.", "A half map whose other half was not found.", "One map given as both half maps.";
    remedies: "Resample one of the maps.", "Give half maps of one run, and a mask made for it.";

    /// No voxel of a mask is above 0, so that nothing would be left of a map.
    EMPTY_MASK = 408, "Mask without an inside";
    causes: "A threshold above the density that the mask was made from.", "A mask of unsigned bytes written as signed ones, 0 as −128.";
    remedies: "Make the mask again with a lower threshold.", "Convert it to 32-bit floats with values from 0 to 1.";
}
