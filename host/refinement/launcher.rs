//! What mpirun or srun says about the number of processes.

use std::env;

/// The program was started several times by an MPI launcher, but cannot share work between processes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "started as {processes} processes by an MPI launcher ({variable}), but this program was built without MPI: each would \
     do the whole run and overwrite the others' files. Start it once, without mpirun or srun -n; one process also refines \
     both half-sets, and --j N uses N threads"
)]
pub struct ManyProcesses {
    processes: usize,
    variable: &'static str,
}

/// Refuse to be one of several independent copies.
///
/// # Errors
/// The environment says that more than one process was started.
pub fn refuse_many_processes() -> Result<(), ManyProcesses> {
    processes(|name| env::var(name).ok())
}

fn processes(variable: impl Fn(&str) -> Option<String>) -> Result<(), ManyProcesses> {
    let count = |name| variable(name).and_then(|text| text.trim().parse::<usize>().ok());
    // A batch script has SLURM_NTASKS too; only a task started by srun has a rank of the process manager.
    let slurm_task = variable("PMI_RANK").or(variable("PMIX_RANK")).is_some();
    for name in [
        "OMPI_COMM_WORLD_SIZE",
        "PMI_SIZE",
        "MV2_COMM_WORLD_SIZE",
        "SLURM_NTASKS",
    ] {
        if name == "SLURM_NTASKS" && !slurm_task {
            continue;
        }
        if let Some(processes) = count(name).filter(|count| *count > 1) {
            return Err(ManyProcesses {
                processes,
                variable: name,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(set: &[(&str, &str)]) -> Result<(), ManyProcesses> {
        processes(|name| {
            set.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn one_process_may_run() {
        assert_eq!(with(&[]), Ok(()));
        assert_eq!(with(&[("OMPI_COMM_WORLD_SIZE", "1")]), Ok(()));
        assert_eq!(
            with(&[("SLURM_NTASKS", "8")]),
            Ok(()),
            "a batch script, run once"
        );
    }

    #[test]
    fn several_processes_may_not() {
        for set in [
            &[("OMPI_COMM_WORLD_SIZE", "3")][..],
            &[("PMI_SIZE", "3")],
            &[("SLURM_NTASKS", "3"), ("PMIX_RANK", "0")],
        ] {
            let error = with(set).unwrap_err();
            assert_eq!(error.processes, 3);
        }
    }
}
