//! SIGINT and SIGTERM end the run at once, with a message and the scheduler's marker file.

use crate::comm::{FaultReport, Ranks};
use crate::errors::Code;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io;
use std::thread;
use std::time::Duration;

/// A rank that is told to end leaves it to the first rank to say so, and speaks itself when nothing has come of that.
const LEADER_FIRST: Duration = Duration::from_secs(25);

/// Listen from now on. `report` prints a fault and leaves the marker file, `leave_mark` leaves the file alone.
pub fn listen(
    ranks: &Ranks,
    report: FaultReport,
    leave_mark: impl Fn() + Send + 'static,
) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let view = ranks.watch().view();
    let (leads, size) = (ranks.leads(), ranks.size());
    let name = ranks.name(ranks.rank());
    thread::spawn(move || {
        // A launcher may end the last ranks when the first have left.
        let Some(signal) = signals.forever().next().filter(|_| !view.ending()) else {
            return;
        };
        let signal = if signal == SIGINT {
            "SIGINT"
        } else {
            "SIGTERM"
        };
        let others = match size {
            1 => "",
            _ => {
                " (by you, the batch system, or the launcher after another rank had died: it names that rank)"
            }
        };
        let fault = Code::TOLD_TO_END.says(format!(
            "told to end by {signal}{others} during: {}. {}",
            view.stage(),
            view.advice()
        ));
        if !leads {
            // The first rank may be the one that died.
            leave_mark();
            view.stop_all(Some(&fault));
            thread::sleep(LEADER_FIRST);
        }
        report(&fault.about(&name));
        signal_hook::low_level::exit(1);
    });
    Ok(())
}
