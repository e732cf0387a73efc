//! An opened device: context, stream, loaded kernels, memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use cudarc::driver::{
    CudaContext, CudaFunction, CudaModule, CudaSlice, CudaStream, DriverError, sys,
};
use cudarc::nvrtc::Ptx;

use super::driver::{self, failed};
use super::kernels::{self, PTX_AVAILABLE, WHY_NO_PTX};
use super::ledger::Ledger;
use super::meter::Meter;
use super::spare::Spares;
use super::transit::{self, Transit};
use super::{Buffer, DeviceError, Element, View};

/// A device ready for kernels. Their work is queued on one stream, in order.
pub struct Device {
    ordinal: usize,
    name: String,
    capability: u32,
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    module: Arc<CudaModule>,
    functions: RwLock<HashMap<&'static str, CudaFunction>>,
    ledger: Arc<Ledger>,
    spares: Spares,
    meter: Meter,
    /// How often the host has waited for the queued work.
    waits: AtomicUsize,
    transit: Transit,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "device {} ({})", self.ordinal, self.name)
    }
}

impl Device {
    /// Opens device `ordinal` and loads the best embedded module it takes.
    pub fn open(ordinal: usize) -> Result<Self, DeviceError> {
        if !PTX_AVAILABLE {
            return Err(DeviceError::NoKernels(WHY_NO_PTX.to_string()));
        }
        let devices = driver::devices()?;
        let info = devices.get(ordinal).ok_or(DeviceError::OutOfRange {
            asked: ordinal,
            available: devices.len(),
        })?;
        let (major, minor) = info.capability;
        let capability = (10 * major + minor) as u32;
        if kernels::variants_for(capability, i32::MAX).next().is_none() {
            return Err(DeviceError::Unsupported {
                ordinal,
                name: info.name.clone(),
                major,
                minor,
            });
        }
        let context =
            CudaContext::new(ordinal).map_err(|e| failed(ordinal, "opening the device", e))?;
        // SAFETY: all buffers of a device are used on its one stream, so no events are needed between them; those that
        // an `Uploader` fills on a stream of its own are waited for, by the host or by the stream.
        unsafe { context.disable_event_tracking() };
        keep_freed_memory(&context);
        let stream = context
            .new_stream()
            .map_err(|e| failed(ordinal, "making a stream", e))?;
        let module = Self::load(&context, ordinal, capability)?;
        Ok(Self {
            ordinal,
            name: info.name.clone(),
            capability,
            context,
            stream,
            module,
            functions: RwLock::default(),
            ledger: Arc::default(),
            spares: Spares::default(),
            meter: Meter::default(),
            waits: AtomicUsize::new(0),
            transit: Transit::default(),
        })
    }

    fn load(
        context: &Arc<CudaContext>,
        ordinal: usize,
        capability: u32,
    ) -> Result<Arc<CudaModule>, DeviceError> {
        let version = driver::driver_version();
        for variant in kernels::variants_for(capability, version) {
            match context.load_module(Ptx::from_src(variant.text)) {
                Ok(module) => return Ok(module),
                // The next lower variant asks less of the driver.
                Err(DriverError(sys::CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION)) => (),
                Err(e) => return Err(failed(ordinal, "loading the kernels", e)),
            }
        }
        let text = |v: i32| format!("{}.{}", v / 1000, v % 1000 / 10);
        let needed = kernels::variants_for(capability, i32::MAX)
            .map(|v| v.needs_driver())
            .min();
        Err(DeviceError::DriverTooOld {
            driver: text(version),
            needed: text(needed.unwrap_or(11000)),
        })
    }

    /// Number of the device.
    pub fn ordinal(&self) -> usize {
        self.ordinal
    }

    /// Name of the card.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// 10·major + minor of the compute capability.
    pub fn capability(&self) -> u32 {
        self.capability
    }

    /// Returns the identifier that tells this card, or part of a card, from all others, in every process.
    pub fn identity(&self) -> Result<[u8; 16], DeviceError> {
        self.context
            .uuid()
            .map(|uuid| uuid.bytes.map(|byte| byte as u8))
            .map_err(|e| failed(self.ordinal, "asking for its identity", e))
    }

    /// Bytes of device memory (free, total).
    pub fn memory(&self) -> Result<(usize, usize), DeviceError> {
        self.context
            .mem_get_info()
            .map_err(|e| failed(self.ordinal, "asking for free memory", e))
    }

    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    pub(super) fn transit(&self) -> &Transit {
        &self.transit
    }

    pub(super) fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// Waits until all queued work is done; reports errors of kernels.
    pub fn synchronise(&self) -> Result<(), DeviceError> {
        self.count_wait();
        self.stream
            .synchronize()
            .map_err(|e| failed(self.ordinal, "running the queued kernels", e))
    }

    /// Counts that the host waits for the queued work.
    pub(super) fn count_wait(&self) {
        self.waits.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the host has waited for the queued work since the device was opened.
    pub fn waits(&self) -> usize {
        self.waits.load(Ordering::Relaxed)
    }

    /// Makes this device the current one of the calling thread.
    pub fn make_current(&self) -> Result<(), DeviceError> {
        self.context
            .bind_to_thread()
            .map_err(|e| failed(self.ordinal, "making the device current", e))
    }

    /// A buffer of `length` elements with any content.
    ///
    /// # Safety
    /// The content is read only after it was written.
    pub unsafe fn buffer<T: Element>(&self, length: usize) -> Result<Buffer<T>, DeviceError> {
        let bytes = self.enter::<T>(length)?;
        // SAFETY: passed on to the caller.
        let slice = unsafe { self.stream.alloc::<u8>(bytes) };
        self.entered(slice, bytes, length)
    }

    /// As [`Device::buffer`], taken and given back in the order of another stream of this device.
    ///
    /// # Safety
    /// As there; and neither the device's own stream works on the content before it was waited for that this one has
    /// written it, nor is the buffer dropped while the device's own stream works on it.
    pub(super) unsafe fn buffer_on<T: Element>(
        &self,
        stream: &Arc<CudaStream>,
        length: usize,
    ) -> Result<Buffer<T>, DeviceError> {
        let bytes = self.enter::<T>(length)?;
        // SAFETY: passed on to the caller.
        let slice = unsafe { stream.alloc::<u8>(bytes) };
        self.entered(slice, bytes, length)
    }

    /// A further stream, whose work is in no order with that of the device's own.
    pub(super) fn new_stream(&self) -> Result<Arc<CudaStream>, DeviceError> {
        self.context
            .new_stream()
            .map_err(|e| failed(self.ordinal, "making a stream", e))
    }

    /// A buffer of zeros.
    pub fn zeros<T: Element>(&self, length: usize) -> Result<Buffer<T>, DeviceError> {
        let bytes = self.enter::<T>(length)?;
        let slice = self.stream.alloc_zeros::<u8>(bytes);
        self.entered(slice, bytes, length)
    }

    /// Enters the bytes of `length` elements in the ledger; what is kept only to save time gives way.
    fn enter<T>(&self, length: usize) -> Result<usize, DeviceError> {
        let bytes = bytes_of::<T>(length);
        if self.ledger.take(bytes) || (self.spares.free() && self.ledger.take(bytes)) {
            return Ok(bytes);
        }
        let (room, limit) = self.ledger.room();
        Err(self.full(bytes, room, limit))
    }

    fn entered<T>(
        &self,
        slice: Result<CudaSlice<u8>, DriverError>,
        bytes: usize,
        length: usize,
    ) -> Result<Buffer<T>, DeviceError> {
        slice
            .map(|s| Buffer::new(s, length, self.ledger.clone()))
            .map_err(|e| {
                self.ledger.give_back(bytes);
                self.full_or(e, bytes)
            })
    }

    /// Returns the memory that may be freed before a buffer is refused.
    pub fn spares(&self) -> &Spares {
        &self.spares
    }

    /// Refuses buffers beyond `bytes` in all, those that exist included.
    pub fn limit_memory(&self, bytes: usize) {
        self.ledger.set_limit(bytes);
    }

    /// Bytes that buffers may still take.
    pub fn memory_room(&self) -> usize {
        self.ledger.room().0
    }

    /// Bytes that buffers took when they took most.
    pub fn peak_memory(&self) -> usize {
        self.ledger.peak()
    }

    /// A copy of `values` on the device.
    pub fn upload<T: Element>(&self, values: &[T]) -> Result<Buffer<T>, DeviceError> {
        // SAFETY: filled below.
        let mut buffer = unsafe { self.buffer(values.len())? };
        self.copy_to(values, &mut buffer)?;
        Ok(buffer)
    }

    /// Copies `values` to the beginning of `buffer`.
    pub fn copy_to<T: Element>(
        &self,
        values: &[T],
        buffer: &mut Buffer<T>,
    ) -> Result<(), DeviceError> {
        assert!(
            values.len() <= buffer.len(),
            "more values than the buffer holds"
        );
        if values.is_empty() {
            return Ok(());
        }
        // SAFETY: the buffer holds as many elements (checked above).
        unsafe { self.write_to(values, buffer.view()) }
    }

    /// Copies `values` to `to`.
    ///
    /// # Safety
    /// There is room for all of them.
    pub(super) unsafe fn write_to<T: Element>(
        &self,
        values: &[T],
        to: View<T>,
    ) -> Result<(), DeviceError> {
        if values.is_empty() {
            return Ok(());
        }
        if transit::is_large(size_of_val(values)) {
            // SAFETY: the caller guarantees the capacity.
            return unsafe { self.write_as(values, to, |value| *value) };
        }
        self.make_current()?;
        // SAFETY: the caller guarantees the capacity. From pageable memory the driver reads all of `values` before the call
        // returns.
        unsafe {
            sys::cuMemcpyHtoDAsync_v2(
                to.address(),
                values.as_ptr().cast(),
                size_of_val(values),
                self.stream.cu_stream(),
            )
        }
        .result()
        .map_err(|e| failed(self.ordinal, "copying to the device", e))
    }

    /// Copies `length` elements from `from` on device `source` to `to` on this one, after all work queued on either, and
    /// waits for it.
    ///
    /// # Safety
    /// Both ranges exist and do not overlap.
    pub(super) unsafe fn copy_between<T: Element>(
        &self,
        source: &Device,
        from: View<T>,
        to: View<T>,
        length: usize,
    ) -> Result<(), DeviceError> {
        source.synchronise()?;
        self.make_current()?;
        let bytes = length * size_of::<T>();
        let stream = self.stream.cu_stream();
        // SAFETY: the ranges exist by the caller's word.
        unsafe {
            if source.ordinal == self.ordinal {
                sys::cuMemcpyDtoDAsync_v2(to.address(), from.address(), bytes, stream)
            } else {
                sys::cuMemcpyPeerAsync(
                    to.address(),
                    self.context.cu_ctx(),
                    from.address(),
                    source.context.cu_ctx(),
                    bytes,
                    stream,
                )
            }
        }
        .result()
        .map_err(|e| failed(self.ordinal, "copying between devices", e))?;
        self.synchronise()
    }

    /// The first `length` elements of `buffer`. Waits for the queued work.
    pub fn download<T: Element>(
        &self,
        buffer: &Buffer<T>,
        length: usize,
    ) -> Result<Vec<T>, DeviceError> {
        assert!(length <= buffer.len(), "more values than the buffer holds");
        // SAFETY: the buffer holds as many elements (checked above).
        unsafe { self.read_from(buffer.view(), length) }
    }

    /// `length` elements from `from` on. Waits for the queued work.
    ///
    /// # Safety
    /// They exist.
    pub(super) unsafe fn read_from<T: Element>(
        &self,
        from: View<T>,
        length: usize,
    ) -> Result<Vec<T>, DeviceError> {
        if length == 0 {
            return Ok(Vec::new());
        }
        if transit::is_large(length * size_of::<T>()) {
            // SAFETY: the elements exist by the caller's word.
            return unsafe { self.read_as(from, length, |value| value) };
        }
        self.make_current()?;
        let mut values: Vec<T> = Vec::with_capacity(length);
        // SAFETY: both sides hold `length` elements, of which every pattern of bits is a value; they are there once
        // the stream has been waited for.
        unsafe {
            sys::cuMemcpyDtoHAsync_v2(
                values.as_mut_ptr().cast(),
                from.address(),
                length * size_of::<T>(),
                self.stream.cu_stream(),
            )
        }
        .result()
        .map_err(|e| failed(self.ordinal, "copying from the device", e))?;
        self.synchronise()?;
        // SAFETY: written by the copy above.
        unsafe { values.set_len(length) };
        Ok(values)
    }

    /// Sets all of `buffer` to zero.
    pub fn clear<T>(&self, buffer: &mut Buffer<T>) -> Result<(), DeviceError> {
        self.stream
            .memset_zeros(buffer.bytes_mut())
            .map_err(|e| failed(self.ordinal, "clearing a buffer", e))
    }

    /// Returns the error for an array of `length` elements, which is too long for any device.
    pub fn too_long<T>(&self, length: u64) -> DeviceError {
        let (room, limit) = self.ledger.room();
        let bytes = length.saturating_mul(size_of::<T>() as u64);
        self.full(bytes as usize, room, limit)
    }

    fn full_or(&self, error: DriverError, bytes: usize) -> DeviceError {
        if error.0 == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY {
            let (free, total) = self.memory().unwrap_or((0, 0));
            return self.full(bytes, free, total);
        }
        failed(self.ordinal, "allocating memory", error)
    }

    fn full(&self, bytes: usize, free: usize, total: usize) -> DeviceError {
        DeviceError::Full {
            ordinal: self.ordinal,
            asked_mib: bytes >> 20,
            free_mib: free >> 20,
            total_mib: total >> 20,
        }
    }

    /// The entry point `name`, looked up once.
    pub(super) fn function(&self, name: &'static str) -> Result<CudaFunction, DeviceError> {
        if let Some(function) = self
            .functions
            .read()
            .expect("no thread panics here")
            .get(name)
        {
            return Ok(function.clone());
        }
        let function = self
            .module
            .load_function(name)
            .map_err(|e| failed(self.ordinal, &format!("finding the kernel {name}"), e))?;
        self.functions
            .write()
            .expect("no thread panics here")
            .insert(name, function.clone());
        Ok(function)
    }
}

/// Makes the driver keep memory that buffers free, for the next batch: by default it goes back to the system at every
/// synchronisation, and taking it again costs more than most kernels. Without memory pools nothing changes.
fn keep_freed_memory(context: &CudaContext) {
    if !context.has_async_alloc() {
        return;
    }
    let mut pool = std::ptr::null_mut();
    let mut threshold = u64::MAX;
    // SAFETY: the device exists; the attribute is a 64-bit number.
    unsafe {
        let got = sys::cuDeviceGetDefaultMemPool(&mut pool, context.cu_device());
        if got == sys::CUresult::CUDA_SUCCESS {
            let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
            // Only speed is lost when this fails.
            let _ = sys::cuMemPoolSetAttribute(pool, attribute, (&raw mut threshold).cast());
        }
    }
}

/// Bytes of a buffer; never 0, which the driver refuses.
fn bytes_of<T>(length: usize) -> usize {
    (length * size_of::<T>()).max(16)
}
