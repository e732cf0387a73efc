//! Write the page again whenever the run has written more.

use super::{ReportError, Wanted, Written, files, write};
use std::time::{Duration, SystemTime};

/// Files whose change shows that a run has written more: the last file of each set, and the marks for the job scheduler.
type Traces = Vec<Option<(SystemTime, u64)>>;

/// Write the page, look every `seconds` for new files, and write it again for new ones, until the run has ended.
///
/// `tell` gets every outcome. Once the first page is written, an error does not end the watch (a file may be half-written or
/// a network file system away for a moment); it is told once, and the page is tried again.
///
/// # Errors
/// The first page cannot be written; see [`write`].
pub fn watch(
    wanted: Wanted,
    seconds: u64,
    mut tell: impl FnMut(Result<&Written, &ReportError>),
) -> Result<(), ReportError> {
    let prefix = wanted.prefix;
    let mut seen = traces(prefix);
    let mut written = write(wanted, Some(seconds))?;
    tell(Ok(&written));
    let mut complaint = String::new();
    while !written.ended {
        std::thread::sleep(Duration::from_secs(seconds.max(1)));
        let traces = traces(prefix);
        if traces == seen && complaint.is_empty() {
            continue;
        }
        match write(wanted, Some(seconds)) {
            Ok(now) => {
                written = now;
                seen = traces;
                complaint.clear();
                tell(Ok(&written));
            }
            Err(error) if error.to_string() != complaint => {
                complaint = error.to_string();
                tell(Err(&error));
            }
            Err(_) => {}
        }
    }
    Ok(())
}

/// Times and sizes of the files that say how far a run is.
fn traces(prefix: &str) -> Traces {
    let marks = ["SUCCESS", "FAILURE", "ABORTED"]
        .map(|mark| files::folder(prefix).join(format!("RELION_JOB_EXIT_{mark}")));
    let optimisers = files::sets(prefix)
        .unwrap_or_default()
        .into_iter()
        .map(|set| set.file(prefix, "_optimiser.star"));
    optimisers
        .chain(marks)
        .map(|path| {
            let found = path.metadata().ok()?;
            Some((found.modified().ok()?, found.len()))
        })
        .collect()
}
