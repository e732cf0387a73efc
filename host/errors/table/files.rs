//! 02xx: files that cannot be read or written.

super::super::entry::entries! {
    /// A file that was named is not there.
    FILE_MISSING = 201, "File not found";
    causes: "A typing error, or a file that was moved or not yet made.",
            "The program was not started in the project folder, to which names are relative.";
    remedies: "Check the name with ls, from the folder in which the program is started.", "Start it in the project folder.";

    /// A file is there but cannot be read.
    FILE_UNREADABLE = 202, "File that cannot be read";
    causes: "No permission.", "A folder where a file is expected.", "A failing disk or network file system.";
    remedies: "Check its owner and permissions with ls -l.", "Try to copy it: when that fails too, the disk is to blame.";

    /// An image stack or map is shorter than its header says: the end is missing.
    FILE_CUT_OFF = 203, "Image file that is cut off";
    causes: "A copy or transfer that was interrupted.", "A disk that was full when the file was written.",
            "A job that is still writing it.";
    remedies: "Copy the file again and compare the sizes.", "Make it again: extract the particles, or compute the map.";

    /// The content of an image file is not what its name says, or of a kind that is not read.
    IMAGE_FORMAT = 204, "Image file of an unknown or damaged format";
    causes: "A name with the wrong ending.", "A compressed, complex or TIFF image.", "A damaged header, or an empty file.";
    remedies: "Look at the header (header of IMOD, or mrcfile of Python).", "Convert the file to MRC.",
              "Write the format after the name when the ending misleads, as in name.dat:mrc.";

    /// A STAR file breaks the rules of its format at the place that the message names.
    STAR_SYNTAX = 205, "Broken STAR file";
    causes: "A row with more or fewer values than the table has labels, as a script or editor leaves it.",
            "A name with blanks that is not in quotes.", "A file that is no STAR file.", "A copy that was interrupted.";
    remedies: "Look at the line that the message names.", "Write the file again with the program that made it.";

    /// A STAR file lacks a table or column that is needed.
    STAR_CONTENT = 206, "STAR file without a needed table or column";
    causes: "A STAR file of another kind: of micrographs, of a job, or of a model.", "A script that removed the column.";
    remedies: "Give the file that the option asks for.", "Add the column, or use the file from before it was removed.";

    /// A cell of a STAR file is not what its column needs, such as a word where a number belongs.
    STAR_VALUE = 207, "Wrong value in a STAR file";
    causes: "Columns that have moved against their labels.", "An editor or script that wrote something else.";
    remedies: "Look at the row and column that the message names.", "Write the file again with the program that made it.";

    /// The folder for the output is not there.
    OUTPUT_FOLDER = 208, "Output folder not found";
    causes: "It was not made; RELION's GUI makes it, a script has to.", "The program was not started in the project folder.";
    remedies: "Make it with mkdir -p before the run.";

    /// A file cannot be written.
    CANNOT_WRITE = 209, "Output that cannot be written";
    causes: "A full disk, or a quota that is used up.", "No permission.", "A folder that was removed during the run.",
            "A file of another kind has the name: images or a particle table, which a map or another table would replace.";
    remedies: "Look at df -h and quota, and make room.", "Check the permissions of the folder with ls -ld.",
              "Go on from the last finished iteration with --continue.", "Give the output another name.";

    /// The folder of --scratch_dir cannot be used, or copying to it failed.
    SCRATCH = 210, "Trouble with the scratch folder";
    causes: "The folder is not there on one of the machines.", "No permission.", "A failing local disk.",
            "An image stack that was changed while it was copied.", "A copy that something else was written to since.",
            "What has the name of your folder of copies there belongs to another user, is open to others, or is a link.";
    remedies: "Give a folder on a local disk that exists on every machine.",
              "Remove the folder that the message names, or have its owner remove it.", "Leave out --scratch_dir: images are read from where they are.";

    /// An atomic model (gerelion simulate) cannot be read.
    ATOMIC_MODEL = 211, "Atomic model that cannot be read";
    causes: "A file that is neither PDB nor mmCIF.", "An atom without a known element (columns 77-78 of its record).";
    remedies: "Give a .pdb, .cif or .mmcif file, as the Protein Data Bank has it.", "Fill in the elements.";

    /// Another run writes files with the same --o.
    OUTPUT_IN_USE = 212, "Output of another run";
    causes: "The same command was started twice.", "A run that was believed dead goes on.";
    remedies: "Wait for the other run, or stop it: the message names its process and machine.", "Give another --o.";
}
