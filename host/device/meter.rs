//! What the main kernels take and do: seconds by events in the stream, operations and bytes from the sizes of the problem
//! (`benches/BENCHMARKING.md` has the model).

use std::ops::AddAssign;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use cudarc::driver::{result::event, sys};

use super::driver::{driver_version, failed};
use super::{Device, DeviceError};

/// Spans that wait to be read; events are made anew for each, so that there must not be too many.
const WAITING: usize = 256;

/// A kernel, or a group of them, that is metered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Matrix products of the first pass.
    CoarseProducts,
    /// Differences of the second pass.
    FineDifferences,
    /// Weighted sums.
    Store,
}

/// Number of parts.
pub const PARTS: usize = 3;

impl Part {
    /// All parts, in the order of [`Work`].
    pub const ALL: [Part; PARTS] = [Part::CoarseProducts, Part::FineDifferences, Part::Store];

    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Part::CoarseProducts => "coarse products",
            Part::FineDifferences => "fine differences",
            Part::Store => "store",
        }
    }
}

/// What a part took and did.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Work {
    /// On the device.
    pub seconds: f64,
    /// Floating-point operations.
    pub operations: f64,
    /// Bytes that have to pass between the memory and the processors.
    pub bytes: f64,
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.seconds += other.seconds;
        self.operations += other.operations;
        self.bytes += other.bytes;
    }
}

/// Two events around a launch.
struct Span {
    part: Part,
    begin: sys::CUevent,
    end: sys::CUevent,
}

/// Counts of one device.
#[derive(Default)]
pub(super) struct Meter {
    /// The driver can tell the time between events.
    available: OnceLock<bool>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: Vec<Span>,
    totals: [Work; PARTS],
}

// SAFETY: events may be used from any thread; the lock gives them to one at a time.
unsafe impl Send for State {}

impl Meter {
    /// Drivers before CUDA 12.8 lack the call by which this program asks for the time between events: no seconds there.
    fn available(&self) -> bool {
        *self.available.get_or_init(|| driver_version() >= 12_080)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Reads and destroys all events. Waits for them.
    fn settle(&mut self, device: &Device) -> Result<(), DeviceError> {
        let mut result = Ok(());
        for span in self.waiting.drain(..) {
            // SAFETY: both events were made and recorded on the device's stream, and are destroyed here only.
            let seconds = unsafe {
                let milliseconds = event::synchronize(span.end)
                    .and_then(|()| event::elapsed(span.begin, span.end));
                let destroyed = event::destroy(span.begin).and(event::destroy(span.end));
                milliseconds.and_then(|ms| destroyed.map(|()| f64::from(ms) / 1000.0))
            };
            match seconds {
                Ok(seconds) => self.totals[span.part as usize].seconds += seconds,
                Err(e) => result = Err(failed(device.ordinal(), "timing kernels", e)),
            }
        }
        result
    }
}

impl Device {
    /// Does `launch`, which queues kernels of `part`, between two events.
    pub fn metered<R, E: From<DeviceError>>(
        &self,
        part: Part,
        launch: impl FnOnce() -> Result<R, E>,
    ) -> Result<R, E> {
        if !self.meter().available() {
            return launch();
        }
        let begin = self.mark()?;
        let result = launch();
        let end = self.mark()?;
        let mut state = self.meter().state();
        state.waiting.push(Span { part, begin, end });
        if state.waiting.len() >= WAITING {
            state.settle(self)?;
        }
        result
    }

    /// Enters what kernels of `part` do.
    pub fn count_work(&self, part: Part, operations: f64, bytes: f64) {
        self.meter().state().totals[part as usize] += Work {
            seconds: 0.0,
            operations,
            bytes,
        };
    }

    /// What every part took and did since the last call. Waits for the queued work.
    pub fn take_work(&self) -> Result<[Work; PARTS], DeviceError> {
        let mut state = self.meter().state();
        self.make_current()?;
        state.settle(self)?;
        Ok(std::mem::take(&mut state.totals))
    }

    fn mark(&self) -> Result<sys::CUevent, DeviceError> {
        self.make_current()?;
        let error = |e| failed(self.ordinal(), "timing kernels", e);
        let event = event::create(sys::CUevent_flags::CU_EVENT_DEFAULT).map_err(error)?;
        // SAFETY: the event was just made, the stream is alive.
        unsafe { event::record(event, self.stream().cu_stream()) }.map_err(error)?;
        Ok(event)
    }
}
