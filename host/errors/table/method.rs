//! 08xx: the method and its numbers.

super::super::entry::entries! {
    /// The limits leave no orientation to search.
    NO_ORIENTATIONS = 801, "No orientation is left";
    causes: "--limit_tilt together with the symmetry excludes all directions.";
    remedies: "Widen or leave out --limit_tilt.";

    /// No orientation could be compared with a particle: all differences are infinite or not numbers.
    NOT_COMPARABLE = 802, "Particle that cannot be compared with the reference";
    causes: "A corrupt image.", "An absurd normalisation or scale.", "A reference that is empty.";
    remedies: "Look at the image and the reference.", "Remove the particle.", "Extract the particles again with normalisation.";

    /// The noise spectrum of an optics group is zero or not a number in some shell.
    NOISE_SPECTRUM = 803, "Noise spectrum that cannot be used";
    causes: "Too few particles in the optics group.", "Images that were low-pass filtered or are constant.", "A wrong pixel size.";
    remedies: "Merge small optics groups.", "Use images that were not filtered.";

    /// The weights of a shell of the reconstruction are tiny, yet not zero.
    TINY_WEIGHT = 804, "Reconstruction with vanishing weights";
    causes: "Images that are not normalised: the grey scale is wrong.", "A wrong noise spectrum.";
    remedies: "Normalise the particles (background mean 0, standard deviation 1) and start again.";

    /// The sharpening of the map (gerelion postprocess) does not work out.
    SHARPENING = 805, "Sharpening that cannot be estimated";
    causes: "Half maps that are equal, or filtered.", "A resolution too low to fit a B-factor.";
    remedies: "Give the unfiltered half maps of an auto-refinement.", "Give --adhoc_bfac or --randomize_at_A.";

    /// Two runs cannot be compared.
    RUNS_DIFFER = 806, "Runs that cannot be compared";
    causes: "Runs of different particles or boxes.", "A run that has not written its maps.";
    remedies: "Compare runs of the same particle file.";

    /// The self-check found results that depend on the machine's threads or GPUs.
    SELFCHECK = 807, "This machine computes different results";
    causes: "A faulty GPU or memory.", "An unusual driver or library.", "A mistake in the program.";
    remedies: "Run gerelion selfcheck again, on each GPU by itself (--gpu N).", "Report it with the output of gerelion doctor.";

    /// The program that makes the maps (--blush, --external_reconstruct) is missing or failed.
    EXTERNAL_PROGRAM = 811, "Program that makes the maps failed";
    causes: "The program is not installed, or its folder is not in PATH on every machine of the job.",
            "A mistake in the program or its Python environment; its last lines are in the message.", "A GPU without free memory (Blush).";
    remedies: "Call the program by hand with the line of the message; its input files are kept.",
              "Look at the .err and .out files beside them.", "Then go on from the last finished iteration with --continue.";

    /// The program that makes the maps (--blush, --external_reconstruct) did not end.
    EXTERNAL_TIME = 812, "Program that makes the maps did not end";
    causes: "It hangs: it waits for input, for a lock, or for a file system.", "The map is large, and the program runs on few cores.";
    remedies: "Give more time with --external_time_limit.", "Call the program by hand with the line of the message.",
              "For Blush, remove files device_lock_id* that a killed job has left in the job folder.";

    /// The map or spectrum that another program has made cannot be used.
    EXTERNAL_RESULT = 813, "Answer of the program that makes the maps cannot be used";
    causes: "The program writes to another name than rlnExtReconsResult.", "It writes a map of another box, such as the padded one.",
            "It divides by zero, so that voxels are not numbers.";
    remedies: "Call the program by hand with the line of the message, and look at its result.";
}
