//! 09xx: the program itself.

super::super::entry::entries! {
    /// The program noticed a mistake of its own. Your data are not to blame, though unusual data may have brought it to light.
    INTERNAL = 900, "Internal error";
    causes: "A mistake in the program.";
    remedies: "Report it with the command line and the text of the message.",
              "Go on from the last finished iteration with --continue; other options (--pad, --j, without --gpu) may avoid it.";

    /// The program crashed: the system ended it in the middle of what it did (SIGSEGV, SIGBUS, SIGFPE, SIGILL, or SIGABRT that it raised
    /// itself). It could say no more than that.
    CRASHED = 901, "Crash";
    causes: "A mistake in the program, or in a library or driver that it uses (MPI, CUDA).", "Faulty memory of the machine.",
            "A stack that is too small (ulimit -s).";
    remedies: "Report it with the command line, the text of the message and what gerelion doctor prints.",
              "Go on from the last finished iteration with --continue; other options (--pad, --j, without --gpu), or another machine, may avoid it.";
}
