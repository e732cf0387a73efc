//! Cards of a run and what its main kernels reached of their ceilings, from the lines that the run printed.

use gerelion::device::ceilings::Ceilings;
use gerelion::device::meter::{PARTS, Part, Work};

/// Cards of a run: number and name of each.
pub fn cards(output: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let ranks = output.lines().filter(|l| l.starts_with(" + Rank "));
    for words in ranks.flat_map(|l| l.split("; GPU ").skip(1)) {
        let card = words
            .split_once(" (")
            .and_then(|(number, rest)| Some((number.parse().ok()?, rest.split_once("): ")?.0)));
        if let Some((number, name)) = card
            && !found.iter().any(|(n, _)| *n == number)
        {
            found.push((number, name.to_string()));
        }
    }
    found
}

/// Work of the main kernels over a whole run.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct KernelTotals {
    /// In the order of [`Part::ALL`].
    pub work: [Work; PARTS],
    /// MiB that buffers took at most.
    pub device_memory: u64,
}

impl KernelTotals {
    /// Sum over the lines of a run; None without such lines.
    pub fn of(output: &str) -> Option<Self> {
        let mut sum: Option<Self> = None;
        for line in output.lines().filter_map(parse) {
            let sum = sum.get_or_insert_default();
            for (a, b) in sum.work.iter_mut().zip(line.work) {
                *a += b;
            }
            sum.device_memory = sum.device_memory.max(line.device_memory);
        }
        sum
    }

    /// Per part: seconds, per cent of the ceiling of operations, per cent of that of bytes; "-" where not known.
    pub fn cells(&self, ceilings: Option<Ceilings>) -> Vec<String> {
        let share = |done: f64, seconds: f64, ceiling: Option<f64>| match ceiling {
            Some(ceiling) if seconds > 0.0 => format!("{:.1}", 100.0 * done / seconds / ceiling),
            _ => "-".to_string(),
        };
        self.work
            .iter()
            .flat_map(|w| {
                [
                    format!("{:.2}", w.seconds),
                    share(w.operations, w.seconds, ceilings.map(|c| c.operations)),
                    share(w.bytes, w.seconds, ceilings.map(|c| c.bytes)),
                ]
            })
            .collect()
    }
}

/// Headings of [`KernelTotals::cells`].
pub fn headings() -> Vec<String> {
    Part::ALL
        .iter()
        .flat_map(|part| ["s", "% flop", "% byte"].map(|unit| format!("{} {unit}", part.name())))
        .collect()
}

/// A line ` Kernels: coarse products 0.25 s 3.0 TFLOP 5.0 GB, …, device memory 700 MiB`.
fn parse(line: &str) -> Option<KernelTotals> {
    let mut totals = KernelTotals::default();
    for item in line.trim().strip_prefix("Kernels: ")?.split(", ") {
        if let Some(memory) = item.strip_prefix("device memory ") {
            totals.device_memory = memory.strip_suffix(" MiB")?.parse().ok()?;
            continue;
        }
        let part = Part::ALL.iter().find(|p| item.starts_with(p.name()))?;
        let words: Vec<&str> = item[part.name().len()..].split_whitespace().collect();
        let [seconds, "s", operations, "TFLOP", bytes, "GB"] = words[..] else {
            return None;
        };
        totals.work[*part as usize] = Work {
            seconds: seconds.parse().ok()?,
            operations: operations.parse::<f64>().ok()? * 1e12,
            bytes: bytes.parse::<f64>().ok()? * 1e9,
        };
    }
    Some(totals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gerelion::refinement::cli::kernel_report::KernelReport;

    /// The lines are made by the very functions that a run uses.
    #[test]
    fn lines_of_a_run_are_added_and_set_against_ceilings() {
        let line = |seconds: f64, device_memory: usize| {
            let work = Work {
                seconds,
                operations: 3e12,
                bytes: 5e9,
            };
            let report = KernelReport {
                work: [work; PARTS],
                device_memory,
            };
            report.to_string()
        };
        let output = format!(
            " start\n{}\n\n{}\n",
            line(0.5, 700 << 20),
            line(1.5, 600 << 20)
        );
        let totals = KernelTotals::of(&output).unwrap();
        assert_eq!(totals.device_memory, 700);
        let ceilings = Ceilings {
            operations: 30e12,
            bytes: 1e12,
        };
        assert_eq!(totals.cells(Some(ceilings))[..3], ["2.00", "10.0", "0.5"]);
        assert_eq!(totals.cells(None)[3 * PARTS - 3..], ["2.00", "-", "-"]);
        assert_eq!(headings().len(), totals.cells(None).len());
        assert_eq!(KernelTotals::of(" Iteration 1 took 2 s: x"), None);
    }

    #[test]
    fn cards_are_named_once() {
        let output = " + Rank 0 on a: 4 threads on 4 cores; GPU 0 (NVIDIA H200): 1 of 2 MiB; GPU 1 (NVIDIA H200): 1 of 2 \
                      MiB\n + Rank 1 on a: 4 threads on 4 cores; GPU 1 (NVIDIA H200): 1 of 2 MiB, shared by 2 ranks\n";
        let h200 = "NVIDIA H200".to_string();
        assert_eq!(cards(output), [(0, h200.clone()), (1, h200)]);
        assert!(cards(" + Rank 0 on a: 4 threads on 4 cores\n").is_empty());
    }
}
