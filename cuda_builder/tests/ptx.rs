//! Assembles every kernel with `ptxas` for every architecture and reads what it reports: no GPU is needed, nor the host
//! program.
//!
//! `scripts/setup-kernels.sh` installs ptxas of CUDA 12 (sm_70 and up) and 13 (sm_75 and up); without them this test says
//! that it skips.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use cuda_builder::{BuildError, CudaBuilder, NvvmArch, PtxModule};
use gpu::launch::KERNELS;
use material::Need;

/// Figures of ptxas for one kernel.
#[derive(Debug, Default, Clone)]
struct Usage {
    registers: u32,
    /// Bytes of local memory: arrays that did not fit registers or are indexed at run time.
    stack: u32,
    spills: u32,
    barriers: u32,
}

/// Builds the modules as the build script of the program does.
fn modules() -> Result<(CudaBuilder, Vec<PtxModule>), BuildError> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let builder = CudaBuilder::new(root.join("gpu"))
        .target_of(&std::env::current_exe().unwrap())
        .source(root.join("cuda_std"))
        .arch(NvvmArch::Compute70)
        .arch(NvvmArch::Compute80)
        .arch(NvvmArch::Compute90);
    let modules = builder.modules()?;
    Ok((builder, modules))
}

/// Returns every ptxas below the folder of tools, else the one on PATH.
fn assemblers(tools: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for release in ["cuda-12", "cuda-13"] {
        search(&tools.join(release), &mut found);
    }
    if found.is_empty() {
        let on_path = std::env::var_os("PATH").unwrap_or_default();
        found.extend(
            std::env::split_paths(&on_path)
                .map(|p| p.join("ptxas"))
                .find(|p| p.is_file()),
        );
    }
    found
}

fn search(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            search(&path, found);
        } else if path.file_name().is_some_and(|f| f == "ptxas") {
            found.push(path);
        }
    }
}

/// Assembles a module and reads the report; None when this ptxas does not know the target.
fn assemble(ptxas: &Path, module: &PtxModule, target: u32) -> Option<BTreeMap<String, Usage>> {
    let cubin = tempfile::NamedTempFile::new().unwrap();
    let output = Command::new(ptxas)
        .args(["-v", &format!("-arch=sm_{target}"), "-o"])
        .arg(cubin.path())
        .arg(&module.path)
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stderr).into_owned();
    if report.contains(&format!("'sm_{target}' is not defined")) {
        return None;
    }
    assert!(
        output.status.success(),
        "{} for sm_{target}:\n{report}",
        ptxas.display()
    );
    Some(read(&report))
}

/// Usage per entry function. Properties of a function may be printed after the line that names the next entry.
fn read(report: &str) -> BTreeMap<String, Usage> {
    let number_before = |line: &str, words: &str| -> Option<u32> {
        line[..line.find(words)?]
            .split_whitespace()
            .last()?
            .parse()
            .ok()
    };
    let mut entries: BTreeMap<String, Usage> = BTreeMap::new();
    let (mut entry, mut function) = (String::new(), String::new());
    for line in report.lines() {
        if let Some(rest) = line.split("Compiling entry function '").nth(1) {
            entry = rest.split('\'').next().unwrap_or_default().to_string();
            entries.entry(entry.clone()).or_default();
        } else if let Some(name) = line.split("Function properties for ").nth(1) {
            function = name.trim().to_string();
        } else if let Some(stack) = number_before(line, " bytes stack frame") {
            if let Some(usage) = entries.get_mut(&function) {
                usage.stack = stack;
                usage.spills = number_before(line, " bytes spill stores").unwrap_or(0)
                    + number_before(line, " bytes spill loads").unwrap_or(0);
            }
        } else if let Some(registers) = number_before(line, " registers") {
            let usage = entries.get_mut(&entry).expect("an entry is being compiled");
            usage.registers = registers;
            usage.barriers = number_before(line, " barriers").unwrap_or(0);
        }
    }
    entries
}

/// Figures of one ptxas for one module: a table for the reader, and what must not be.
#[derive(Default)]
struct Report {
    table: String,
    wrong: String,
}

fn report(ptxas: &Path, module: &PtxModule) -> Report {
    let mut report = Report::default();
    let capability = module.arch.capability();
    // The module's own target, or the oldest that CUDA 13 still knows.
    let Some((target, usages)) = [capability, 75]
        .into_iter()
        .find_map(|t| Some((t, assemble(ptxas, module, t)?)))
    else {
        return report;
    };
    let Report { table, wrong } = &mut report;
    let assembler = ptxas.display();
    let _ = writeln!(
        table,
        "\nPTX sm_{capability} for sm_{target} by {assembler}"
    );
    let columns = ("kernel", "threads", "registers", "local", "spills");
    let (name, threads, registers, local, spills) = columns;
    let _ = writeln!(
        table,
        "{name:<28}{threads:>8}{registers:>10}{local:>8}{spills:>8}"
    );
    for kernel in KERNELS {
        if !usages.contains_key(kernel.name) {
            let _ = writeln!(
                wrong,
                "{} is not in the module for sm_{capability}",
                kernel.name
            );
        }
    }
    for (name, usage) in &usages {
        let Some(kernel) = KERNELS.iter().find(|k| k.name == name) else {
            let _ = writeln!(wrong, "{name} is no #[kernel]");
            continue;
        };
        let (threads, registers) = (kernel.block, usage.registers);
        let _ = writeln!(
            table,
            "{name:<28}{threads:>8}{registers:>10}{:>8}{:>8}",
            usage.stack, usage.spills
        );
        // Tensor-core kernels are stubs without tensor cores: the host does not launch them there.
        let launched = capability >= 80 || !name.contains("tf32");
        if launched && usage.stack + usage.spills > 0 {
            let _ = writeln!(wrong, "{name} (sm_{target}): {usage:?}");
        }
        // Registers are given out in steps of 8 per thread; a block has 65,536.
        if registers.next_multiple_of(8) * threads > 65_536 {
            let _ = writeln!(
                wrong,
                "{name} (sm_{target}): {usage:?} is too much for {threads} threads"
            );
        }
    }
    report
}

#[test]
fn every_kernel_assembles_without_spills_or_local_memory() {
    let (builder, modules) = match modules() {
        Ok(built) => built,
        Err(BuildError::NoCompiler(missing)) => {
            material::skip(Need::Kernels, missing);
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let assemblers = assemblers(&builder.tools_folder());
    if assemblers.is_empty() {
        material::skip(
            Need::Ptxas,
            "no ptxas (scripts/setup-kernels.sh installs it)",
        );
        return;
    }
    let reports: Vec<Report> = std::thread::scope(|scope| {
        let jobs: Vec<_> = assemblers
            .iter()
            .flat_map(|ptxas| modules.iter().map(move |module| (ptxas, module)))
            .map(|(ptxas, module)| scope.spawn(move || report(ptxas, module)))
            .collect();
        jobs.into_iter().map(|job| job.join().unwrap()).collect()
    });
    let table: String = reports.iter().map(|r| r.table.as_str()).collect();
    let wrong: String = reports.iter().map(|r| r.wrong.as_str()).collect();
    println!("{table}");
    assert!(!table.is_empty(), "no ptxas knows any of the architectures");
    assert!(wrong.is_empty(), "{wrong}\n{table}");
}

#[test]
fn reports_are_read() {
    let report = "\
ptxas info    : Compiling entry function 'axpy' for 'sm_90'
ptxas info    : Function properties for axpy
    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 10 registers, used 1 barriers
";
    let usage = &read(report)["axpy"];
    assert_eq!(
        (usage.registers, usage.stack, usage.spills, usage.barriers),
        (10, 8, 16, 1)
    );
}
