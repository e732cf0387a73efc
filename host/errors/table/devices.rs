//! 05xx: memory, GPUs and threads.

super::super::entry::entries! {
    /// This program was built without code for GPUs.
    NO_KERNELS = 501, "Built without GPU kernels";
    causes: "The compiler for kernels was not installed when the program was built.";
    remedies: "Run without --gpu.", "Run make setup and build again.";

    /// No GPU can be used on this machine.
    NO_GPU = 502, "No GPU found";
    causes: "A machine without NVIDIA GPUs, such as a login node.", "A missing or broken driver.",
            "A container that was not given the GPUs.", "A batch job that did not ask for them.";
    remedies: "Look at nvidia-smi on this machine.", "Ask the batch system for GPUs (--gres=gpu:N in Slurm).",
              "Start the container with --gpus all (Docker) or --nv (Apptainer).", "Run without --gpu.";

    /// --gpu names a device that this process does not see.
    NO_SUCH_DEVICE = 503, "GPU number beyond the last";
    causes: "The batch system or CUDA_VISIBLE_DEVICES gives fewer GPUs; they are numbered anew, from 0.";
    remedies: "Give --gpu without a list: the ranks share the GPUs that are there.", "Ask for more GPUs.";

    /// The driver cannot load the kernels of this program.
    DRIVER_TOO_OLD = 504, "NVIDIA driver that is too old";
    causes: "A driver from before the oldest CUDA version that this program needs.";
    remedies: "Have the driver updated.", "Run without --gpu.";

    /// The card is older than Volta (compute capability 7.0).
    DEVICE_TOO_OLD = 505, "GPU that is too old";
    causes: "A Pascal, Maxwell or Kepler card.";
    remedies: "Choose another card with --gpu.", "Run without --gpu.";

    /// A library that comes with CUDA cannot be loaded.
    NO_LIBRARY = 506, "CUDA library not found";
    causes: "The CUDA toolkit is not installed, or its module is not loaded.";
    remedies: "Load the module, or set LD_LIBRARY_PATH or CUDA_HOME.", "Install the package that the message names with pip.",
              "gerelion doctor says what is found.";

    /// The work does not fit into the memory of the GPU.
    DEVICE_FULL = 507, "GPU out of memory";
    causes: "Another program on the same card.", "A large box with --pad 2, or a very fine sampling.", "Two ranks on one card.";
    remedies: "Look at nvidia-smi and stop other programs, or choose another card with --gpu.", "Use one rank for each card.",
              "Lower --pad to 1, or coarsen the sampling.", "Crop or rescale the images.";

    /// NCCL, which adds up what several GPUs have computed, reports an error.
    NCCL = 508, "NCCL failed";
    causes: "A network interface or peer connection that does not work.", "Different versions of NCCL on the machines.";
    remedies: "Run with --no_nccl: sums then go through the host.", "Set NCCL_DEBUG=INFO to see what NCCL does.";

    /// A call of the GPU's driver or libraries failed.
    DEVICE_FAILED = 509, "GPU that reports an error";
    causes: "A hardware fault, or a card that has fallen off the bus.", "Another program that holds the card for itself.",
            "A mistake in a kernel of this program.";
    remedies: "Look at dmesg and nvidia-smi -q.", "Choose another card with --gpu.",
              "Report it with the command line when it happens again on another card.",
              "Go on from the last finished iteration with --continue.";

    /// The operating system refuses threads or other resources.
    SYSTEM_LIMIT = 510, "Limit of the operating system";
    causes: "More threads than the limit of processes (ulimit -u) or of the container allows.", "Too little memory for their stacks.";
    remedies: "Give a smaller number with --j.", "Have the limit raised.";

    /// The machine, or the limit of this job, has no memory left for the program.
    OUT_OF_MEMORY = 511, "Out of memory on the host";
    causes: "A limit of the batch system or the shell (ulimit -v) that is too low for box, classes and threads.",
            "Too many ranks on one machine.", "A number of classes or a sampling that was not meant, such as --K 1000000.";
    remedies: "Ask the batch system for more memory.", "Start fewer ranks on each machine, and give a smaller number with --j.",
              "Give a smaller --K or --pad, or coarser sampling.", "Leave out --preread_images.",
              "Continue the run from its last optimiser file.";
}
