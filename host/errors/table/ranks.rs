//! 06xx: ranks of a job, signals and requests to stop.

super::super::entry::entries! {
    /// A launcher started several processes, but they do not belong together.
    NOT_ONE_JOB = 601, "Several processes that are not one job";
    causes: "The program was built without MPI, or with another MPI than that of the launcher.", "srun without --mpi=pmix.";
    remedies: "Use the mpirun of the MPI that the program was built with.", "Build it with --features mpi.",
              "Start it once, without mpirun: one process uses all threads (--j) and GPUs (--gpu).";

    /// MPI cannot be started.
    MPI = 602, "MPI does not start";
    causes: "An MPI library that lets only one thread call it.";
    remedies: "Use a usual build of Open MPI or MPICH.";

    /// A rank is alive but has done nothing for a long time.
    RANK_STALLED = 603, "Rank without progress";
    causes: "A hanging network file system.", "A GPU that no longer answers.", "A machine that is overloaded, or much slower than the others.";
    remedies: "Look at dmesg and nvidia-smi on the machine that the message names.", "Allow more time with --stall_limit.",
              "Go on from the last finished iteration with --continue.";

    /// Nothing has been heard of a rank for a while.
    RANK_LOST = 604, "Rank that has gone";
    causes: "Its process was killed, often for lack of memory.", "Its machine or the network to it is down.";
    remedies: "Look at dmesg on that machine for 'Out of memory', and at the log of the batch system.",
              "Ask for more memory, or use fewer ranks on a machine.", "Wait longer for a network that comes back with --silence_limit.",
              "Go on from the last finished iteration with --continue.";

    /// All ranks wait for each other.
    RANKS_WAIT = 605, "Ranks that wait for each other";
    causes: "The network between the machines is down.";
    remedies: "Test the network with a small MPI program.", "Go on from the last finished iteration with --continue.";

    /// The run was ended from outside by a signal.
    TOLD_TO_END = 606, "Ended by a signal";
    causes: "Ctrl-C, kill or scancel.", "The time limit of a batch job.",
            "A launcher that ends all ranks when one has died: it names that rank.", "A launcher that was killed.";
    remedies: "Go on from the last finished iteration with --continue.", "Ask the batch system for more time.";

    /// The job scheduler asked the run to stop with its file RELION_JOB_ABORT_NOW. This is no error; the exit status is 2.
    ABORTED = 607, "Aborted on request";
    causes: "Abort in RELION's GUI, or a schedule.";
    remedies: "Go on from the last finished iteration with --continue.";

    /// This rank stopped since another one did.
    OTHER_RANK = 608, "Another rank has stopped";
    causes: "An error on another rank, which has a message of its own.";
    remedies: "Look for that rank's message.";

    /// A refinement that a tool of gerelion started did not succeed.
    REFINEMENT_FAILED = 609, "The refinement that was started has failed";
    causes: "What the end of its output says: its message has a code of its own.", "relion_refine is not beside gerelion.";
    remedies: "Look its code up.", "Name the program with --program (gerelion bench).";
}
