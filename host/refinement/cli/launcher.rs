//! Number of processes according to mpirun or srun, and the ranks of the job that follow from it.

use crate::comm::{FaultReport, Ranks};
use crate::errors::{Code, Coded};
use std::env;

/// A rank that makes no progress for so long is given up, unless `--stall_limit` says otherwise (seconds).
#[cfg(feature = "mpi")]
const STALL_LIMIT: f64 = 1800.0;
/// A rank of which nothing is heard for so long is taken for gone, unless `--silence_limit` says otherwise (seconds).
#[cfg(feature = "mpi")]
const SILENCE_LIMIT: f64 = 20.0;
/// After an error the other ranks have so long to end by themselves.
#[cfg(feature = "mpi")]
const GRACE: std::time::Duration = std::time::Duration::from_secs(15);

/// The launcher started several processes that cannot work together.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// Built without MPI.
    #[error(
        "started as {processes} processes by an MPI launcher ({variable}), but this program was built without MPI: each \
         would do the whole run and overwrite the others' files. Build it with --features mpi, or start it once, without \
         mpirun or srun -n; one process also refines both half-sets, --j N uses N threads, and --gpu all GPUs"
    )]
    WithoutMpi {
        /// As the launcher says.
        processes: usize,
        /// Where it says so.
        variable: &'static str,
    },
    /// The processes do not see each other.
    #[error(
        "started as {processes} processes by an MPI launcher ({variable}), but MPI sees {found}: each would do the whole run \
         and overwrite the others' files. The program was built with another MPI than that of the launcher, or srun needs \
         --mpi=pmix; try the mpirun of the MPI that it was built with"
    )]
    Strangers {
        /// As the launcher says.
        processes: usize,
        /// Where it says so.
        variable: &'static str,
        /// As MPI says.
        found: usize,
    },
    /// MPI does not start.
    #[cfg(feature = "mpi")]
    #[error(transparent)]
    Mpi(#[from] crate::comm::mpi::MpiError),
}

impl Coded for LaunchError {
    fn code(&self) -> Code {
        match self {
            Self::WithoutMpi { .. } | Self::Strangers { .. } => Code::NOT_ONE_JOB,
            #[cfg(feature = "mpi")]
            Self::Mpi(error) => error.code(),
        }
    }
}

/// The ranks of this job: all processes that the launcher started, or this one alone.
#[cfg(feature = "mpi")]
pub fn ranks(words: &[String], report: &FaultReport) -> Result<Ranks, LaunchError> {
    use crate::comm::{WatchRule, mpi::MpiRanks};
    if launched(|name| env::var(name).ok()).is_none() {
        return Ok(Ranks::single());
    }
    let rule = WatchRule {
        limit: seconds(words, "--stall_limit", STALL_LIMIT),
        silence: seconds(words, "--silence_limit", SILENCE_LIMIT),
        grace: GRACE,
        report: report.clone(),
    };
    Ok(Ranks::new(std::sync::Arc::new(MpiRanks::start()?), rule))
}

/// The ranks of this job: built without MPI it has one.
#[cfg(not(feature = "mpi"))]
pub fn ranks(_words: &[String], _report: &FaultReport) -> Result<Ranks, LaunchError> {
    Ok(Ranks::single())
}

/// The value of an option of the watch: needed before the command line is read on all ranks.
#[cfg(feature = "mpi")]
fn seconds(words: &[String], option: &str, default: f64) -> std::time::Duration {
    let at = words.iter().rposition(|word| word == option);
    let value = at.and_then(|at| words.get(at + 1)?.parse().ok());
    let value = value.filter(|v: &f64| *v >= 1.0 && v.is_finite());
    std::time::Duration::from_secs_f64(value.unwrap_or(default))
}

/// Whether a launcher started this process as one of several, as the environment says.
pub fn is_launched() -> bool {
    launched(|name| env::var(name).ok()).is_some()
}

/// Whether this process is the first that the launcher started, as the environment says; the only one is.
pub fn is_first() -> bool {
    first(|name| env::var(name).ok())
}

fn first(variable: impl Fn(&str) -> Option<String>) -> bool {
    let ranks = [
        "OMPI_COMM_WORLD_RANK",
        "PMIX_RANK",
        "PMI_RANK",
        "MV2_COMM_WORLD_RANK",
        "SLURM_PROCID",
    ];
    ranks
        .into_iter()
        .find_map(variable)
        .is_none_or(|rank| rank.trim() == "0")
}

/// Refuse to be one of several independent copies.
///
/// # Errors
/// The environment says that more processes were started than belong to the job.
pub fn refuse_strangers(ranks: &Ranks) -> Result<(), LaunchError> {
    match launched(|name| env::var(name).ok()) {
        Some((processes, variable)) if processes != ranks.size() => Err(if cfg!(feature = "mpi") {
            LaunchError::Strangers {
                processes,
                variable,
                found: ranks.size(),
            }
        } else {
            LaunchError::WithoutMpi {
                processes,
                variable,
            }
        }),
        _ => Ok(()),
    }
}

/// Number of processes when a launcher started more than one, and the variable that says so.
fn launched(variable: impl Fn(&str) -> Option<String>) -> Option<(usize, &'static str)> {
    let count = |name| variable(name).and_then(|text| text.trim().parse::<usize>().ok());
    // A batch script has SLURM_NTASKS too; only a task started by srun has a rank of the process manager.
    let slurm_task = variable("PMI_RANK").or(variable("PMIX_RANK")).is_some();
    [
        "OMPI_COMM_WORLD_SIZE",
        "PMI_SIZE",
        "MV2_COMM_WORLD_SIZE",
        "SLURM_STEP_NUM_TASKS",
        "SLURM_NTASKS",
    ]
    .into_iter()
    .filter(|name| *name != "SLURM_NTASKS" || slurm_task)
    .find_map(|name| count(name).map(|processes| (processes, name)))
    .filter(|(processes, _)| *processes > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(set: &[(&str, &str)]) -> Option<(usize, &'static str)> {
        launched(|name| {
            set.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn one_process_is_no_job_of_several() {
        assert_eq!(with(&[]), None);
        assert_eq!(with(&[("OMPI_COMM_WORLD_SIZE", "1")]), None);
        assert_eq!(
            with(&[("SLURM_NTASKS", "8")]),
            None,
            "a batch script, run once"
        );
        let mpirun_in_a_batch_step = [("OMPI_COMM_WORLD_SIZE", "1"), ("SLURM_STEP_NUM_TASKS", "4")];
        assert_eq!(with(&mpirun_in_a_batch_step), None);
    }

    #[test]
    fn one_process_of_several_is_the_first() {
        let rank = |number: &str| {
            let number = number.to_owned();
            first(move |name| (name == "PMIX_RANK").then(|| number.clone()))
        };
        assert!(rank("0") && !rank("1"));
        assert!(first(|_| None), "the only process");
    }

    #[test]
    fn several_processes_are_seen() {
        for set in [
            &[("OMPI_COMM_WORLD_SIZE", "3")][..],
            &[("PMI_SIZE", "3")],
            &[("SLURM_NTASKS", "3"), ("PMIX_RANK", "0")],
            &[("SLURM_STEP_NUM_TASKS", "3")],
        ] {
            let (processes, variable) = with(set).unwrap();
            assert_eq!(processes, 3);
            assert!(set.iter().any(|(name, _)| *name == variable));
        }
    }
}
