//! Processes, threads, memory, disks. All must be repeated on `--continue`.

use super::super::entry::{Group, OnContinue, OptionEntry};
use super::super::range::Range;
use OnContinue::{FromCommandLine, FromFile, MustBeRepeated};

const NO_SYCL: &str = "there is no SYCL engine; the run goes on with the CPU engine";

/// Computing options.
pub(super) const COMPUTATION: &[OptionEntry] = &OptionEntry::under(
    Group::Computation,
    [
        OptionEntry::integer("--j", "0", "", "Number of threads; 0 means all cores (RELION's default is 1)").within(Range::NOT_NEGATIVE)
        .usual("Threads [all cores]")
            .on_continue(FromCommandLine),
        OptionEntry::integer(
            "--pool",
            "1",
            "",
            "Particles per thread and batch",
        ).within(Range::at_least(1.0))
        .on_continue(FromCommandLine).without_effect("batches are chosen from the free memory; the result does not depend on them"),
        OptionEntry::flag(
            "--dont_combine_weights_via_disc",
            "Sum over processes through MPI instead of files",
        )
        .on_continue(FromCommandLine)
        .without_effect("sums never go through files here"),
        OptionEntry::flag(
            "--onthefly_shifts",
            "Compute shifted images when needed instead of keeping them",
        )
        .on_continue(FromCommandLine)
        .without_effect("concerns memory only; the engine decides itself"),
        OptionEntry::flag("--no_parallel_disc_io", "Only the first process reads images")
            .on_continue(FromCommandLine)
            .without_effect("concerns reading only; images are read in large blocks in stack order"),
        OptionEntry::flag("--preread_images", "Keep all images in memory")
        .usual("Keep all images in memory")
            .on_continue(FromCommandLine),
        OptionEntry::text("--scratch_dir", "", "Folder on a fast disk of each machine to copy the image stacks to; without effect with --preread_images")
        .usual("Folder on a fast disk to copy the images to")
            .on_continue(FromCommandLine),
        OptionEntry::real(
            "--keep_free_scratch",
            "10",
            "GB",
            "Space to leave free in --scratch_dir",
        ).with("--scratch_dir").within(Range::NOT_NEGATIVE)
        .on_continue(FromCommandLine),
        OptionEntry::flag("--reuse_scratch", "Use the copies left in --scratch_dir by an earlier run, and make none").with("--scratch_dir")
            .on_continue(FromCommandLine),
        OptionEntry::flag("--keep_scratch", "Leave the copies in --scratch_dir at the end").with("--scratch_dir")
            .on_continue(FromCommandLine),
        OptionEntry::real(
            "--stall_limit",
            "1800",
            "s",
            "Job of several processes: when one makes no progress for this long, the job ends and names it (not a RELION option)",
        ).within(Range::at_least(1.0))
        .on_continue(FromCommandLine),
        OptionEntry::real(
            "--silence_limit",
            "20",
            "s",
            "Job of several processes: when one sends no message for this long, the job ends and names it (not a RELION option)",
        ).within(Range::at_least(1.0))
        .on_continue(FromCommandLine),
        OptionEntry::flag(
            "--fast_subsets",
            "Use growing subsets of the particles in the first iterations of a classification of 20 or more iterations",
        )
        .on_continue(FromFile),
        OptionEntry::flag("--cpu", "Use the vectorised CPU code")
            .on_continue(FromCommandLine)
            .without_effect("the CPU engine is always the vectorised one"),
        OptionEntry::optional_text(
            "--gpu",
            "Expectation and maximisation on GPUs; the optional value lists device numbers, with : between processes and , between threads",
        )
        .usual("Use GPUs: all, or those listed, such as 0:1")
        .on_continue(FromCommandLine),
        OptionEntry::bytes("--gpu_memory", "Most device memory to take, such as 20G; 9/10 of what is free if not given (not a RELION option)")
            .on_continue(FromCommandLine),
        OptionEntry::text(
            "--gpu_precision",
            "single",
            "Rounding of the first pass's matrix products on a GPU: single, tf32x3 or tf32; docs/numerics.md says what it changes (not a RELION option)",
        )
        .on_continue(FromCommandLine),
        OptionEntry::integer(
            "--free_gpu_memory",
            "0",
            "MB",
            "Device memory to leave free",
        ).within(Range::NOT_NEGATIVE)
        .on_continue(FromCommandLine),
        OptionEntry::flag("--no_nccl", "Sum over the cards of a machine through the host and MPI, not with NCCL (not a RELION option)")
            .on_continue(FromCommandLine),
        OptionEntry::flag("--deterministic", "Equal shares for all processes whatever their speed, so that the same job gives the same files to the last bit; CPU only (not a RELION option)")
            .on_continue(MustBeRepeated),
        OptionEntry::integer(
            "--mode",
            "0",
            "",
            "GeRelion's choice of engine: 0 is the CPU, 1 the GPU, as a bare --gpu",
        ).within(Range::between(0.0, 1.0))
        .on_continue(FromCommandLine),
        OptionEntry::flag("--sycl", "SYCL engine")
            .on_continue(FromCommandLine)
            .without_effect(NO_SYCL),
        OptionEntry::flag("--sycl-levelzero", "SYCL engine over Level Zero")
            .on_continue(FromCommandLine)
            .without_effect(NO_SYCL),
        OptionEntry::flag("--sycl-cuda", "SYCL engine over CUDA")
            .on_continue(FromCommandLine)
            .without_effect(NO_SYCL),
        OptionEntry::flag("--sycl-hip", "SYCL engine over HIP")
            .on_continue(FromCommandLine)
            .without_effect(NO_SYCL),
        OptionEntry::flag("--sycl-opencl", "SYCL engine over OpenCL")
            .on_continue(FromCommandLine)
            .without_effect(NO_SYCL),
        OptionEntry::flag("--sycl-cpu", "SYCL engine on the CPU")
            .on_continue(FromCommandLine)
            .without_effect(NO_SYCL),
        OptionEntry::integer(
            "--failsafe_threshold",
            "40",
            "",
            "Particles whose weights all underflow before RELION's GPU code gives up",
        )
        .on_continue(FromCommandLine)
        .without_effect("weights are summed relative to the best one, so they cannot all underflow"),
        OptionEntry::integer(
            "--halt_all_followers_except",
            "-1",
            "",
            "MPI debugging: the only process to go on",
        )
        .without_effect("a debugging aid of RELION's MPI program"),
        OptionEntry::flag(
            "--keep_debug_reconstruct_files",
            "Keep the files that RELION reconstructs the final map from",
        )
        .without_effect("no such files are written"),
        OptionEntry::flag(
            "--sequential_halves_recons",
            "Reconstruct the halves one after the other to save memory",
        )
        .on_continue(FromCommandLine)
        .without_effect("concerns memory only; the result is the same"),
    ],
);
