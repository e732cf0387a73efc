//! Name of the machine in the names of folders of measurements.

use std::fs;

/// A short name for folder names of what a run was done on: its cards, or processor and number of cores.
pub fn name(cards: &[(usize, String)]) -> String {
    match cards {
        [] => processor_and_cores(),
        [(_, card)] => slug(card),
        [(_, card), ..] => format!("{}-x{}", slug(card), cards.len()),
    }
}

fn processor_and_cores() -> String {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    format!("{}-{cores}cores", slug(&processor_name()))
}

/// Returns what the processor calls itself.
pub fn processor_name() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    processor(&info).to_owned()
}

fn processor(cpuinfo: &str) -> &str {
    cpuinfo
        .lines()
        .find_map(|l| l.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown processor", |(_, name)| name.trim())
}

/// Lower-case letters and digits, everything else single hyphens.
fn slug(text: &str) -> String {
    text.replace("(R)", "")
        .replace("(TM)", "")
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|part| !part.is_empty())
        .map(str::to_ascii_lowercase)
        .collect::<Vec<_>>()
        .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_get_plain_names() {
        let info = "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) CPU @ 2.20GHz\n";
        assert_eq!(slug(processor(info)), "intel-xeon-cpu-2-20ghz");
        assert!(!name(&[]).contains(' '));
        let card = |n: usize| (n, "NVIDIA H200".to_string());
        assert_eq!(name(&[card(3)]), "nvidia-h200");
        assert_eq!(name(&[card(0), card(1)]), "nvidia-h200-x2");
    }
}
