//! Times and work of the main kernels: seconds by events in the stream, operations and bytes from the sizes of the problem
//! (`benches/BENCHMARKING.md` has the model).

use std::ops::AddAssign;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use cudarc::driver::{CudaEvent, result::event, sys};

use super::driver::{driver_version, failed};
use super::{Device, DeviceError};

/// A point in a device's queue, of which the time can be told when the work before it is done.
pub struct Mark(CudaEvent);

/// A kernel, a group of them, or work of the host, that is metered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Matrix products of the first pass.
    CoarseProducts,
    /// Differences of the first pass of local searches, projection included.
    LocalDifferences,
    /// Differences of the second pass, pair by pair (of image and orientation), and of fixed orientations.
    FineDifferences,
    /// Differences of the second pass in batches of which many samples share an orientation.
    WideDifferences,
    /// Slices for the two above.
    Slices,
    /// Weighted sums.
    Store,
    /// Orientations of local searches and their slices' axes, which the host works out while the device waits.
    Orientations,
}

/// Number of parts.
pub const PARTS: usize = 7;

impl Part {
    /// All parts, in the order of [`Work`].
    pub const ALL: [Part; PARTS] = [
        Part::CoarseProducts,
        Part::LocalDifferences,
        Part::FineDifferences,
        Part::WideDifferences,
        Part::Slices,
        Part::Store,
        Part::Orientations,
    ];

    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Part::CoarseProducts => "coarse products",
            Part::LocalDifferences => "local differences",
            Part::FineDifferences => "fine differences",
            Part::WideDifferences => "wide differences",
            Part::Slices => "slices",
            Part::Store => "store",
            Part::Orientations => "orientations",
        }
    }
}

/// Time and work of a part.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Work {
    /// On the device, or of the host.
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

/// Marks around a launch.
struct Span {
    part: Part,
    begin: Mark,
    end: Mark,
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

impl Meter {
    /// Drivers before CUDA 12.8 lack the call by which this program asks for the time between events: no seconds there.
    fn available(&self) -> bool {
        *self.available.get_or_init(|| driver_version() >= 12_080)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Device {
    /// Whether this driver can tell the time between marks.
    pub fn tells_time(&self) -> bool {
        self.meter().available()
    }

    /// A mark behind what was queued so far.
    pub fn mark(&self) -> Result<Mark, DeviceError> {
        self.stream()
            .record_event(Some(sys::CUevent_flags::CU_EVENT_DEFAULT))
            .map(Mark)
            .map_err(|e| failed(self.ordinal(), "timing kernels", e))
    }

    /// Seconds from one mark to a later one. Does not wait: an error, while the device has not come to the later one.
    pub fn seconds_between(&self, begin: &Mark, end: &Mark) -> Result<f64, DeviceError> {
        self.make_current()?;
        // SAFETY: both events were made and recorded on the device's stream.
        unsafe { event::elapsed(begin.0.cu_event(), end.0.cu_event()) }
            .map(|milliseconds| f64::from(milliseconds) / 1000.0)
            .map_err(|e| failed(self.ordinal(), "timing kernels", e))
    }

    /// Does `launch`, which queues kernels of `part`, between two marks.
    pub fn metered<R, E: From<DeviceError>>(
        &self,
        part: Part,
        launch: impl FnOnce() -> Result<R, E>,
    ) -> Result<R, E> {
        if !self.tells_time() {
            return launch();
        }
        let begin = self.mark()?;
        let result = launch();
        let end = self.mark()?;
        let span = Span { part, begin, end };
        self.meter().state().waiting.push(span);
        result
    }

    /// Does `work` of the host, for which the device waits, and enters its time.
    pub fn metered_on_host<R>(&self, part: Part, work: impl FnOnce() -> R) -> R {
        let begin = Instant::now();
        let result = work();
        self.meter().state().totals[part as usize].seconds += begin.elapsed().as_secs_f64();
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

    /// Reads the times of the metered launches, all of which must be done: after the queued work was waited for.
    pub fn read_meter(&self) -> Result<(), DeviceError> {
        let state = &mut *self.meter().state();
        for span in state.waiting.drain(..) {
            let seconds = self.seconds_between(&span.begin, &span.end)?;
            state.totals[span.part as usize].seconds += seconds;
        }
        Ok(())
    }

    /// Returns the time and work of every part since the last call. Waits for the queued work.
    pub fn take_work(&self) -> Result<[Work; PARTS], DeviceError> {
        self.synchronise()?;
        self.read_meter()?;
        Ok(std::mem::take(&mut self.meter().state().totals))
    }
}
