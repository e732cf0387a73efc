//! Messages about machines, devices and ranks that not every machine brings forth: made here, and compared like the others.

use super::snapshot;
use gerelion::comm::Fault;
use gerelion::device::DeviceError;
use gerelion::errors::{Code, Coded, Message};
use gerelion::maximization::MaximizationError;
use gerelion::refinement::cli::launcher::LaunchError;

fn check(code: &str, error: &impl Coded) {
    snapshot::check(code, &Message::of(error).line());
}

#[test]
fn no_kernels() {
    let reason = "llvm-tools are not installed".to_owned();
    check("GR-0501", &DeviceError::NoKernels(reason));
}

#[test]
fn no_driver() {
    check("GR-0502", &DeviceError::NoDriver);
}

#[test]
fn no_device() {
    let reason = "CUDA_ERROR_UNKNOWN".to_owned();
    check("GR-0502", &DeviceError::NoDevice(reason));
}

#[test]
fn device_beyond_the_last() {
    let error = DeviceError::OutOfRange {
        asked: 4,
        available: 2,
    };
    check("GR-0503", &error);
}

#[test]
fn old_driver() {
    let error = DeviceError::DriverTooOld {
        driver: "10.2".into(),
        needed: "11.0".into(),
    };
    check("GR-0504", &error);
}

#[test]
fn old_card() {
    let error = DeviceError::Unsupported {
        ordinal: 0,
        name: "GeForce GTX 1080".into(),
        major: 6,
        minor: 1,
    };
    check("GR-0505", &error);
}

#[test]
fn missing_library() {
    let error = DeviceError::NoLibrary {
        library: "cuFFT",
        package: "nvidia-cufft-cu12",
    };
    check("GR-0506", &error);
}

#[test]
fn full_device() {
    let error = DeviceError::Full {
        ordinal: 1,
        asked_mib: 9000,
        free_mib: 800,
        total_mib: 24_000,
    };
    check("GR-0507", &error);
}

#[test]
fn devices_in_no_form_that_is_known() {
    let error = DeviceError::Map {
        text: "0;1".into(),
        part: "0;1".into(),
    };
    check("GR-0103", &error);
}

#[test]
fn nccl() {
    let error = DeviceError::Nccl {
        doing: "adding sums",
        message: "unhandled system error".into(),
    };
    check("GR-0508", &error);
}

#[test]
fn failed_call() {
    let error = DeviceError::Call {
        ordinal: 2,
        doing: "fine differences".into(),
        code: "CUDA_ERROR_ECC_UNCORRECTABLE".into(),
    };
    check("GR-0509", &error);
}

#[test]
fn failed_kernel() {
    let error = DeviceError::Call {
        ordinal: 2,
        doing: "fine differences".into(),
        code: "CUDA_ERROR_ILLEGAL_ADDRESS".into(),
    };
    check("GR-0509", &error);
}

#[test]
fn processes_without_mpi() {
    let error = LaunchError::WithoutMpi {
        processes: 5,
        variable: "OMPI_COMM_WORLD_SIZE",
    };
    check("GR-0601", &error);
}

#[test]
fn processes_of_another_mpi() {
    let error = LaunchError::Strangers {
        processes: 5,
        variable: "SLURM_STEP_NUM_TASKS",
        found: 1,
    };
    check("GR-0601", &error);
}

/// The code is that of what the other rank found.
#[test]
fn fault_of_another_rank() {
    let error = Fault {
        name: "rank 1 of 3 (node07)".into(),
        message: Code::BAD_IMAGE.says("particle 000004@stack.mrcs: all pixels of the image are 0"),
    };
    check("GR-0305", &error);
}

#[test]
fn vanishing_weights() {
    let error = MaximizationError::TinyWeight {
        shell: 12,
        sum: 3e-12,
    };
    check("GR-0804", &error);
}
