//! 03xx: particles, their images and optics groups.

super::super::entry::entries! {
    /// The particle file has no particles.
    NO_PARTICLES = 301, "No particles";
    causes: "A selection that kept nothing.", "The wrong file.";
    remedies: "Count its rows, and give the file with the particles that are to be refined.";

    /// The particles are of a kind that this program does not refine.
    PARTICLE_KIND = 302, "Particles of a kind that is not supported";
    causes: "Subtomograms or particles of tomograms.",
            "A column rlnReconstructImageName, which names other images for the last reconstruction.";
    remedies: "Give a set of single-particle images.", "Remove the column, or run the job with RELION.";

    /// An image file that the particle file names was not found.
    STACK_MISSING = 303, "Image stack not found";
    causes: "The program was not started in the project folder, to which the names are relative.",
            "The stacks were moved, or a disk is not mounted.", "A job that extracts the particles has not ended.";
    remedies: "Start the program in the project folder.", "Check the name in the message with ls.",
              "Move the stacks back, make a symbolic link, or correct rlnImageName.";

    /// A particle names an image that its stack does not have.
    NO_SUCH_IMAGE = 304, "Image that is not in its stack";
    causes: "A stack that was extracted anew with fewer particles than the STAR file knows.",
            "An image number of 0: they start at 1.", "An image name without a file.";
    remedies: "Use the STAR file that was written with the stack.", "Extract the particles again.";

    /// An image is empty or holds values that are not numbers.
    BAD_IMAGE = 305, "Image without usable pixels";
    causes: "A box that lies outside the micrograph.", "A damaged micrograph or stack.",
            "A failed normalisation: division by a standard deviation of 0.";
    remedies: "Remove this particle from the STAR file.", "Extract the particles again.",
              "Have a few such particles left out and listed: --reject_limit 1 allows 1 %.";

    /// The images have another size than the STAR file says, or a size that cannot be refined.
    IMAGE_SIZE = 306, "Images of a wrong size";
    causes: "rlnImageSize of the optics table was not changed when the images were rescaled or cropped.",
            "Images with an odd number of pixels, or that are not square.", "Two sets of particles under one optics group.";
    remedies: "Correct rlnImageSize of the optics group.", "Extract the particles again, with an even box.";

    /// The optics groups of the particle file do not fit its particles or each other.
    OPTICS_GROUPS = 307, "Optics groups that do not fit";
    causes: "Particle files that were joined without their optics tables.", "A number that was changed in one of the two tables only.";
    remedies: "Give every group that particles name one row in the optics table.", "Join particle files with RELION's JoinStar job.";

    /// The CTF cannot be computed: a parameter is missing or impossible.
    CTF_PARAMETERS = 308, "CTF parameters that are missing or impossible";
    causes: "The particles come from a program that did not estimate the CTF.", "Columns lost on conversion from another package.",
            "A value in another unit: voltage is in kV, spherical aberration in mm, defocus in Å.";
    remedies: "Estimate the CTF, or join the columns to the particle file.", "Add the microscope's values to the optics table.",
              "Run without --ctf when the images are corrected already.";

    /// The size of a pixel is not known, or not positive.
    PIXEL_SIZE = 309, "Pixel size that is missing or impossible";
    causes: "The optics table lacks rlnImagePixelSize.", "An old file without rlnDetectorPixelSize and rlnMagnification.";
    remedies: "Give it with --angpix, in Å.", "Correct the column that the message names.";

    /// A value of the particle table cannot be: not a finite number, or below 0.
    PARTICLE_VALUE = 310, "Impossible value of a particle";
    causes: "A script that divided by 0.", "A particle that an earlier run could not align.",
            "An origin far outside the image, often one in pixels where Å are meant.",
            "Images that are not normalised, so that rlnNormCorrection or the scale of a group is absurd.";
    remedies: "Remove the particle, or correct the value.", "Remove the column: its defaults are right for a new start.",
              "Extract the particles again with normalisation.";

    /// The particles are not divided into two half-sets.
    HALF_SETS = 311, "Half-sets that are incomplete or empty";
    causes: "Particle files with and without rlnRandomSubset that were joined.", "A selection of the particles of one half-set.";
    remedies: "Give every particle the half-set 1 or 2.", "Remove the column rlnRandomSubset to have half-sets drawn.";

    /// The transfer of the detector (MTF) is needed and cannot be used.
    MTF = 312, "MTF of the detector that cannot be used";
    causes: "A file of rlnMtfFileName or --mtf that is not there, or has not the columns rlnResolutionInversePixel and rlnMtfValue.",
            "Optics groups of which some name a file and some do not.";
    remedies: "Name the file of each optics group.", "Remove rlnMtfFileName from the optics table: images then stay as they are.";

    /// The file is not one of particles.
    PARTICLE_FILE = 313, "Not a particle file";
    causes: "A file of micrographs or coordinates, or of a model.", "A particle file without its optics table, as scripts leave it.";
    remedies: "Give the particle file: its table has the column rlnImageName.", "Copy the table data_optics from the original file.";

    /// More particles have images that cannot be used than --reject_limit allows.
    TOO_MANY_REJECTED = 314, "More images that cannot be used than allowed";
    causes: "Stacks that were not written or copied completely.", "A whole micrograph that is damaged.";
    remedies: "Look at the list `<o>_rejected.star`, which says what is wrong with each image.", "Extract these particles again.",
              "Allow more with --reject_limit, in per cent, when what is left is enough.";

    /// The options start from poses that the particle file does not have.
    MISSING_POSES = 315, "Poses that the particle file does not have";
    causes: "--skip_align, --skip_rotate or --sigma_ang with particles that have not been aligned yet.",
            "Columns of angles that a script or another program has left out.";
    remedies: "Give the _data.star file of a run that has aligned these particles.", "Leave the option out: all orientations are searched then.";
}
