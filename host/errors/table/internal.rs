//! 09xx: the program itself.

super::super::entry::entries! {
    /// The program noticed a mistake of its own. Your data are not to blame, though unusual data may have brought it to light.
    INTERNAL = 900, "Internal error";
    causes: "A mistake in the program.";
    remedies: "Report it with the command line and the text of the message.",
              "Go on from the last finished iteration with --continue; other options (--pad, --j, without --gpu) may avoid it.";
}
