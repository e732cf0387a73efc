//! Time by stages, told by marks in the device's queue, so that the host need not wait between stages.

use super::StageTimes;
use crate::device::meter::Mark;
use crate::device::{Device, DeviceError};
use std::time::Instant;

/// A stage of the expectation step, by the names of [`StageTimes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Images, transforms, CTF.
    GetImg,
    /// Projections and squared differences.
    GetDiff,
    /// Differences to weights.
    Convert,
    /// Weighted sums.
    Store,
}

impl Stage {
    fn of(self, times: &mut StageTimes) -> &mut f64 {
        match self {
            Stage::GetImg => &mut times.get_img,
            Stage::GetDiff => &mut times.get_diff,
            Stage::Convert => &mut times.convert,
            Stage::Store => &mut times.store,
        }
    }
}

/// The clock of one batch. All time between its making and its end is some stage's, also while the device waits for the
/// host.
pub(super) struct Clock<'a> {
    device: &'a Device,
    /// When the batch began, or the stage where marks tell no time.
    since: Instant,
    /// The beginning and the end of each stage so far; None where the driver cannot tell the time between marks.
    marks: Option<(Mark, Vec<(Stage, Mark)>)>,
    times: StageTimes,
}

impl<'a> Clock<'a> {
    /// Begins, with nothing queued.
    pub(super) fn new(device: &'a Device) -> Result<Self, DeviceError> {
        let marks = match device.tells_time() {
            true => Some((device.mark()?, Vec::new())),
            false => None,
        };
        Ok(Self {
            device,
            since: Instant::now(),
            marks,
            times: StageTimes::default(),
        })
    }

    /// Assigns the work queued since the last call to `stage`. Where the driver cannot tell the time between marks this waits for
    /// the device, or a stage would be charged with the work of another.
    pub(super) fn end_of(&mut self, stage: Stage) -> Result<(), DeviceError> {
        if let Some((_, ends)) = &mut self.marks {
            ends.push((stage, self.device.mark()?));
            return Ok(());
        }
        self.device.synchronise()?;
        *stage.of(&mut self.times) += self.since.elapsed().as_secs_f64();
        self.since = Instant::now();
        Ok(())
    }

    /// The times, when everything that was queued is done. What the host did after the last stage is charged to the
    /// sums, of which it adds up the last part.
    pub(super) fn finish(mut self) -> Result<StageTimes, DeviceError> {
        let mut rest = self.since.elapsed().as_secs_f64();
        if let Some((begin, ends)) = &self.marks {
            let mut begin = begin;
            for (stage, end) in ends {
                let seconds = self.device.seconds_between(begin, end)?;
                *stage.of(&mut self.times) += seconds;
                rest -= seconds;
                begin = end;
            }
        }
        self.times.store += rest;
        Ok(self.times)
    }
}
