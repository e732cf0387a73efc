//! 07xx: continuation of a run from its files.

super::super::entry::entries! {
    /// A run cannot be continued from this file.
    CANNOT_CONTINUE = 701, "Run that cannot be continued from here";
    causes: "The file of iteration 0, which holds only the starting point.",
            "The final file of an auto-refinement that has converged: its half-sets are joined.";
    remedies: "Give the optimiser file of a numbered iteration (…_itNNN_optimiser.star).", "Start the run afresh.";

    /// The run is of a kind that this program does not do.
    UNSUPPORTED_RUN = 702, "Run of a kind that is not supported";
    causes: "Gradient descent of RELION 2 and 3, helices, multi-body refinement, subtomograms or local symmetry.";
    remedies: "Continue it with RELION.";

    /// A file that belongs to the run is not there.
    RUN_FILE_MISSING = 703, "File of the run not found";
    causes: "The program was not started in the folder in which the run was started.", "Files that were removed to save space.";
    remedies: "Start the program in the project folder.", "Put the file back, or continue from an iteration whose files are there.";

    /// The files of the run do not belong together, or lack something.
    RUN_FILES_DIFFER = 704, "Files of a run that do not fit together";
    causes: "Files of two runs under one name.", "A particle file or map that was changed since, or rows of it.",
            "A file of a RELION version before 3.0.", "A copy that was interrupted.";
    remedies: "Continue from an earlier iteration.", "Restore the files, or start the run afresh.";
}
