//! Assembles the embedded kernels with `ptxas` for every architecture and reads what it reports: no GPU is needed.
//!
//! `scripts/setup-kernels.sh` installs ptxas of CUDA 12 (sm_70 and up) and 13 (sm_75 and up); without them this test says
//! that it skips.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use gerelion::device::kernels::{PTX_AVAILABLE, PtxVariant, VARIANTS, WHY_NO_PTX};
use gerelion::device::launch::KERNELS;
use material::{Need, skip};

/// What ptxas says of one kernel.
#[derive(Debug, Default, Clone)]
struct Usage {
    registers: u32,
    /// Bytes of local memory: arrays that did not fit registers or are indexed at run time.
    stack: u32,
    spills: u32,
    barriers: u32,
}

/// Every ptxas below the tool folder and on PATH.
fn assemblers() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target"),
        PathBuf::from,
    );
    for tools in ["cuda-12", "cuda-13"] {
        search(&target.join("kernel-tools").join(tools), &mut found);
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

/// Assembles a variant and reads the report; None when this ptxas does not know the target.
fn assemble(ptxas: &Path, variant: &PtxVariant, target: u32) -> Option<BTreeMap<String, Usage>> {
    let folder = tempfile::tempdir().unwrap();
    let ptx = folder.path().join("kernels.ptx");
    std::fs::write(&ptx, variant.text).unwrap();
    let output = Command::new(ptxas)
        .args(["-v", &format!("-arch=sm_{target}"), "-o"])
        .arg(folder.path().join("kernels.cubin"))
        .arg(&ptx)
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

#[test]
fn every_kernel_assembles_without_spills_or_local_memory() {
    if !PTX_AVAILABLE {
        skip(
            Need::Kernels,
            format_args!("built without kernels ({WHY_NO_PTX})"),
        );
        return;
    }
    let assemblers = assemblers();
    if assemblers.is_empty() {
        skip(
            Need::Ptxas,
            "there is no ptxas (scripts/setup-kernels.sh installs it)",
        );
        return;
    }
    let mut table = String::new();
    let mut wrong = String::new();
    for ptxas in &assemblers {
        for variant in VARIANTS {
            // The variant's own target, or the oldest that CUDA 13 still knows.
            let Some((target, usages)) = [variant.capability, 75]
                .into_iter()
                .find_map(|t| Some((t, assemble(ptxas, variant, t)?)))
            else {
                continue;
            };
            let _ = writeln!(
                table,
                "\nPTX sm_{} for sm_{target} by {}",
                variant.capability,
                ptxas.display()
            );
            let _ = writeln!(
                table,
                "{:<24}{:>8}{:>10}{:>8}{:>8}",
                "kernel", "threads", "registers", "local", "spills"
            );
            for (name, threads) in KERNELS {
                let Some(usage) = usages.get(*name) else {
                    let _ = writeln!(
                        wrong,
                        "{name} is not in the module for sm_{}",
                        variant.capability
                    );
                    continue;
                };
                let _ = writeln!(
                    table,
                    "{name:<24}{threads:>8}{:>10}{:>8}{:>8}",
                    usage.registers, usage.stack, usage.spills
                );
                // Tensor-core kernels are stubs without tensor cores: the host does not launch them there.
                let launched = variant.capability >= 80 || !name.contains("tf32");
                if launched && usage.stack + usage.spills > 0 {
                    let _ = writeln!(wrong, "{name} (sm_{target}): {usage:?}");
                }
                // Registers are given out in steps of 8 a thread; a block has 65,536.
                if usage.registers.next_multiple_of(8) * threads > 65_536 {
                    let _ = writeln!(
                        wrong,
                        "{name} (sm_{target}): {usage:?} is too much for {threads} threads"
                    );
                }
            }
            assert_eq!(
                usages.len(),
                KERNELS.len(),
                "kernels without a launch: {:?}",
                usages.keys()
            );
        }
    }
    println!("{table}");
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
