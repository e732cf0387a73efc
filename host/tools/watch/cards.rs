//! How busy the GPUs of this machine are, as `nvidia-smi` tells it.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A driver that hangs must not stop the watch.
const LONGEST: Duration = Duration::from_secs(3);

const QUERY: [&str; 2] = [
    "--query-gpu=index,name,utilization.gpu,memory.used,memory.total",
    "--format=csv,noheader,nounits",
];

/// One GPU.
#[derive(Debug, Clone, PartialEq)]
pub struct Card {
    /// Number, and the maker's name.
    pub name: String,
    /// Share of the last second in which a kernel ran, per cent; None where the driver does not tell.
    pub busy: Option<f64>,
    /// Memory in use and in all, MiB.
    pub memory: Option<[f64; 2]>,
}

/// Reads the state of all GPUs; None without any.
pub fn read() -> Option<Vec<Card>> {
    let mut child = Command::new("nvidia-smi")
        .args(QUERY)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let begin = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if begin.elapsed() < LONGEST => std::thread::sleep(Duration::from_millis(20)),
            _ => {
                // It is not needed any more; that it cannot be ended changes nothing.
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    };
    let mut text = String::new();
    child.stdout.take()?.read_to_string(&mut text).ok()?;
    status
        .success()
        .then(|| parse(&text))
        .filter(|cards| !cards.is_empty())
}

fn parse(text: &str) -> Vec<Card> {
    let card = |line: &str| {
        let mut cells = line.split(',').map(str::trim);
        let (index, name) = (cells.next()?, cells.next()?);
        let mut number = || cells.next()?.parse::<f64>().ok();
        let (busy, used, total) = (number(), number(), number());
        Some(Card {
            name: format!("{index} {name}"),
            busy,
            memory: used.zip(total).map(|(used, total)| [used, total]),
        })
    };
    text.lines().filter_map(card).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_read_from_what_the_driver_prints() {
        let found = parse(
            "0, NVIDIA H100 80GB HBM3, 97, 41233, 81559\n1, NVIDIA A2, [N/A], [N/A], [N/A]\n",
        );
        assert_eq!(
            found,
            [
                Card {
                    name: "0 NVIDIA H100 80GB HBM3".into(),
                    busy: Some(97.0),
                    memory: Some([41233.0, 81559.0]),
                },
                Card {
                    name: "1 NVIDIA A2".into(),
                    busy: None,
                    memory: None,
                },
            ]
        );
        assert_eq!(parse("No devices were found\n"), []);
    }
}
