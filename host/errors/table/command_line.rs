//! 01xx: words of the command line.

super::super::entry::entries! {
    /// A word of the command line begins with a dash and is no option of the program, or is no command of `gerelion`.
    UNKNOWN_OPTION = 101, "Unknown option";
    causes: "A typing error.", "An option of another program, or of a newer version of RELION.";
    remedies: "Take the name that the message suggests.",
              "Look the option up: relion_refine --help, gerelion --help, or docs/options.md.";

    /// An option that needs a value stands before another option.
    MISSING_VALUE = 102, "An option lacks its value";
    causes: "The value was forgotten, or the variable of a script that should hold it is empty.";
    remedies: "Write the value after the option.", "In scripts, print the command line before it is run.";

    /// The value of an option is not of its kind (a number, a whole number, a list of devices, a code) or cannot work.
    BAD_VALUE = 103, "The value of an option is not possible";
    causes: "A typing error, such as a comma for a decimal point.", "A unit written after the number.",
            "Two options of which one was given the other's value.";
    remedies: "Give a value of the kind that the message names.", "docs/options.md says what the option takes, and in which unit.";

    /// RELION has the option, this program does not do what it asks for.
    UNSUPPORTED_OPTION = 104, "Option that this program does not support";
    causes: "A job of another kind: helices, subtomograms, multi-body refinement, self-organising maps.",
            "A command line taken over from RELION with an option that is not needed.";
    remedies: "Leave the option out, or take what the message names instead.", "Run jobs of that kind with RELION.";

    /// Without this option the program does not know what to do.
    MISSING_OPTION = 105, "A needed option is missing";
    causes: "A new run without --i, --o or --ref.", "A line break in a script that lacks its backslash.";
    remedies: "Add the option.", "For a run that is to go on, give --continue and its _optimiser.star file.";

    /// Each of the options would do, but not together.
    CONFLICTING_OPTIONS = 106, "Options that cannot be combined";
    causes: "Options of classification and of auto-refinement on one command line.",
            "An option that needs another one, which is missing.";
    remedies: "Do as the message says: leave one of the options out, or add the one that it needs.";

    /// The point group is not one that the program knows.
    POINT_GROUP = 107, "Unknown point group";
    causes: "A typing error in --sym.", "Another convention for the name (the setting of icosahedral groups has a number: I1 to I4).",
            "The name of a symmetry description file that is not there.";
    remedies: "Give one of the names in the message, such as C1, C4, D2, O or I1.",
              "relion_refine --sym NAME --print_symmetry_ops prints the operators of a group.";

    /// A symmetry description file (--sym with the name of a file) cannot be used.
    SYMMETRY_FILE = 108, "Symmetry description file that cannot be used";
    causes: "A line that is none of rot_axis, mirror_plane and inversion.",
            "Axes whose angles have too few digits, so that they make no group.";
    remedies: "Correct the line that the message names.", "Write the axes with five digits or more, or use the name of a point group.";
}
