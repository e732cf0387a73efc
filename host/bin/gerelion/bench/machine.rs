//! Date and machine: what a folder of measurements is named after.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `2026-11-20` of a moment, in UTC.
pub fn date(moment: SystemTime) -> String {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let mut days = since.as_secs() / 86_400;
    let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    format!("{year:04}-{:02}-{:02}", month + 1, days + 1)
}

/// A short name for folder names of what a run was done on: its cards, or processor and number of cores.
pub fn name(cards: &[(usize, String)]) -> String {
    match cards {
        [] => processor_and_cores(),
        [(_, card)] => slug(card),
        [(_, card), ..] => format!("{}-x{}", slug(card), cards.len()),
    }
}

fn processor_and_cores() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    format!("{}-{cores}cores", slug(processor(&info)))
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
    fn dates_know_leap_years() {
        let at = |days: u64| date(UNIX_EPOCH + Duration::from_secs(days * 86_400));
        assert_eq!(at(0), "1970-01-01");
        assert_eq!(at(59), "1970-03-01");
        assert_eq!(at(11_016), "2000-02-29");
        assert_eq!(at(20_777), "2026-11-20");
    }

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
