//! Last words, marker file and last line of the log of a program that crashes: on a fault that the processor raises (SEGV, BUS, FPE, ILL), or by an
//! abort of its own (ABRT: a stack that overflowed, a heap that was overwritten).
//!
//! Nothing of a crashed program can be trusted: a lock may be held, the heap may be broken. So words and path are made before,
//! and the handler does nothing but write them, through calls that signal handlers may make. Afterwards the process ends by its
//! signal, as it would have without the handler: with the same exit status, and a core file where the system keeps one.

use crate::errors::{Code, Message};
use crate::refinement::cli::job_markers::Pipeline;
use libc::{c_int, c_void, sigaction, siginfo_t};
use serde_json::Value;
use std::ffi::CString;
use std::fs::File;
use std::mem;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// Signals of a crash and their names.
const CRASHES: [(c_int, &str); 5] = [
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGABRT, "SIGABRT"),
];

/// Words, marker and what else listens for a signal of a crash.
struct Prepared {
    marker: Option<CString>,
    /// In the order of [`CRASHES`].
    words: [String; CRASHES.len()],
    /// Handlers that were there before, in the same order: that of Rust names a stack that overflowed, that of MPI prints a trace.
    before: [Option<sigaction>; CRASHES.len()],
}

/// Null until [`leave_on_crash`] was called; never freed, since a handler may read it at any time.
static PREPARED: AtomicPtr<Prepared> = AtomicPtr::new(ptr::null_mut());
/// The words have been said: by another thread, or before an abort that follows on a fault.
static SAID: AtomicBool = AtomicBool::new(false);

/// Leaves a message, and the failure marker of `pipeline`, when the process crashes from now on. To be called again after a
/// library has put its own handlers in the place of these, which are then called after them.
pub fn leave_on_crash(pipeline: &Pipeline) {
    // SAFETY: what is swapped out is leaked, and nobody changes it any more.
    let earlier = unsafe { PREPARED.load(Ordering::Acquire).as_ref() };
    let before = std::array::from_fn(|i| match current(CRASHES[i].0) {
        Some(handler) if is_ours(&handler) => earlier.and_then(|earlier| earlier.before[i]),
        handler => handler,
    });
    let prepared = Prepared {
        marker: pipeline.failure_marker(),
        words: CRASHES.map(|(_, name)| words(name)),
        before,
    };
    PREPARED.store(Box::into_raw(Box::new(prepared)), Ordering::Release);
    for (signal, _) in CRASHES {
        // SAFETY: a zeroed struct is an empty one; the handler is of the type that SA_SIGINFO asks for. A failure costs the words
        // only. SA_ONSTACK: a stack that has overflowed has no room for a handler.
        unsafe {
            let mut action: sigaction = mem::zeroed();
            action.sa_sigaction = handler_address();
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(signal, &raw const action, ptr::null_mut());
        }
    }
}

/// The last line of a log, but for the times in it.
struct LastLine {
    /// The log, in a descriptor of its own, which is never closed.
    log: c_int,
    /// When the log was opened, ms of the monotonic clock.
    begun: i64,
    /// What follows the times, in the order of [`CRASHES`].
    ends: [String; CRASHES.len()],
    /// Room for the whole line: the stack that handlers run on is small.
    text: Text,
}

/// Null while there is no log, or its last line has been written. Never freed, as [`PREPARED`].
static LAST_LINE: AtomicPtr<LastLine> = AtomicPtr::new(ptr::null_mut());

/// Writes the last line of a log (`--json_log`) when the process crashes from now on. The log has been opened just now.
pub(crate) fn end_log_on_crash(log: &File) {
    let end = |(_, name)| {
        let message = message(name);
        let [code, text] = [message.code.to_string(), message.line()].map(Value::from);
        format!(r#","status":"failed","code":{code},"message":{text}}}"#) + "\n"
    };
    let line = LastLine {
        // SAFETY: an open descriptor; where no other is left, -1 takes no line.
        log: unsafe { libc::dup(log.as_raw_fd()) },
        begun: now(libc::CLOCK_MONOTONIC),
        ends: CRASHES.map(end),
        text: Text {
            bytes: [0; 1024],
            length: 0,
        },
    };
    LAST_LINE.store(Box::into_raw(Box::new(line)), Ordering::Release);
}

/// Tells that the log has its last line.
pub(crate) fn log_has_ended() {
    LAST_LINE.store(ptr::null_mut(), Ordering::Release);
}

impl LastLine {
    /// Writes the line about a crash of [`CRASHES`]; calls that a handler may make.
    fn write(&mut self, kind: usize) {
        let text = &mut self.text;
        text.add(br#"{"event":"end","time":"#);
        text.add_seconds(now(libc::CLOCK_REALTIME));
        text.add(br#","elapsed_s":"#);
        text.add_seconds(now(libc::CLOCK_MONOTONIC) - self.begun);
        text.add(self.ends[kind].as_bytes());
        // SAFETY: no more than the bytes of the text.
        unsafe { libc::write(self.log, text.bytes.as_ptr().cast(), text.length) };
    }
}

/// Returns the time of a clock, ms. A handler may call it.
fn now(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: fills in the struct.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

/// Text that a handler puts together, which may not allocate. What is too long is left out.
struct Text {
    bytes: [u8; 1024],
    length: usize,
}

impl Text {
    fn add(&mut self, text: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(self.length).zip(text) {
            *to = *from;
        }
        self.length = (self.length + text.len()).min(self.bytes.len());
    }

    /// Adds a time in ms as seconds.
    fn add_seconds(&mut self, milliseconds: i64) {
        let mut power = 1_000_000_000_000_000;
        let mut begun = false;
        while power > 0 {
            let digit = milliseconds / power % 10;
            begun |= digit > 0 || power <= 1000;
            if begun {
                self.add(&[b'0' + digit as u8]);
            }
            if power == 1000 {
                self.add(b".");
            }
            power /= 10;
        }
    }
}

fn message(name: &str) -> Message {
    Code::CRASHED.says(format!(
        "the program crashed ({name}): a mistake in it, or in a library or driver that it uses, or a fault of the memory of this \
         machine. Nothing more can be told. What it was writing is not complete; a refinement can be continued from its last \
         optimiser file"
    ))
}

fn words(name: &str) -> String {
    format!("\n{}\n", message(name).printed())
}

fn handler_address() -> usize {
    let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = on_crash;
    handler as usize
}

fn is_ours(action: &sigaction) -> bool {
    action.sa_sigaction == handler_address()
}

/// Returns what is done on a signal now.
fn current(signal: c_int) -> Option<sigaction> {
    // SAFETY: a zeroed struct is an empty one, which the call fills in.
    unsafe {
        let mut action: sigaction = mem::zeroed();
        (libc::sigaction(signal, ptr::null(), &raw mut action) == 0).then_some(action)
    }
}

/// Writes words and marker, then leaves the signal to whoever listened for it before, and to the system.
extern "C" fn on_crash(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the system's description of the signal; what was prepared is complete and never freed. All calls are those that a
    // handler may make.
    unsafe {
        let Some(prepared) = PREPARED.load(Ordering::Acquire).as_ref() else {
            return end_by(signal);
        };
        let Some(kind) = CRASHES.iter().position(|(number, _)| *number == signal) else {
            return end_by(signal);
        };
        let before = prepared.before[kind];
        let is_fault = (*info).si_code > 0;
        let is_own = (*info).si_code == libc::SI_TKILL && (*info).si_pid() == libc::getpid();
        if signal == libc::SIGABRT && !is_own {
            // Somebody tells the program to end, which is no crash.
            return call(before, signal, info, context);
        }
        if !SAID.swap(true, Ordering::AcqRel) {
            say(prepared.marker.as_ref(), &prepared.words[kind]);
            // Nobody else has the line from now on.
            if let Some(line) = LAST_LINE.swap(ptr::null_mut(), Ordering::AcqRel).as_mut() {
                line.write(kind);
            }
        }
        match before {
            // What caused the fault is done again when this handler returns, and the handler of before meets it.
            Some(before) if is_fault => {
                libc::sigaction(signal, &raw const before, ptr::null_mut());
            }
            _ => end_by(signal),
        }
    }
}

/// Leaves the marker, then says the words.
///
/// # Safety
/// Nothing but that it is called by a handler, which may only make calls like these.
unsafe fn say(marker: Option<&CString>, words: &str) {
    // SAFETY: the path ends with a zero, and the text is as long as it says.
    unsafe {
        if let Some(marker) = marker {
            let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
            let file = libc::open(marker.as_ptr(), flags, 0o666);
            if file >= 0 {
                libc::close(file);
            }
        }
        libc::write(libc::STDERR_FILENO, words.as_ptr().cast(), words.len());
    }
}

/// Ends the process by a signal: as soon as the handler returns, while it is blocked.
///
/// # Safety
/// As for [`say`].
unsafe fn end_by(signal: c_int) {
    // SAFETY: calls that a handler may make.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

/// Does what was done on a signal before.
///
/// # Safety
/// `info` and `context` are those of the signal.
unsafe fn call(
    before: Option<sigaction>,
    signal: c_int,
    info: *mut siginfo_t,
    context: *mut c_void,
) {
    // SAFETY: the address is that of a handler, of the kind that its flags tell.
    unsafe {
        match before.map(|before| (before.sa_sigaction, before.sa_flags)) {
            Some((libc::SIG_IGN, _)) => {}
            None | Some((libc::SIG_DFL, _)) => end_by(signal),
            Some((address, flags)) if flags & libc::SA_SIGINFO != 0 => {
                let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
                    mem::transmute(address);
                handler(signal, info, context);
            }
            Some((address, _)) => {
                let handler: extern "C" fn(c_int) = mem::transmute(address);
                handler(signal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    /// Makes the test below crash in the way that it names.
    const WAY: &str = "GERELION_TEST_CRASH";

    fn crash(way: &str) {
        leave_on_crash(&Pipeline::new(Some("./".into())));
        // Once more, as after a library has had its chance.
        leave_on_crash(&Pipeline::new(Some("./".into())));
        let log = File::create("log.jsonl").unwrap();
        end_log_on_crash(&log);
        match way {
            "fault" => read_where_nothing_is(),
            "stack" => println!("{}", overflow(0)),
            _ => std::process::abort(),
        }
    }

    fn read_where_nothing_is() {
        // SAFETY: a new page; reading it is the fault that is wanted.
        unsafe {
            let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let page = libc::mmap(ptr::null_mut(), 4096, libc::PROT_NONE, anonymous, -1, 0);
            assert_ne!(page, libc::MAP_FAILED);
            println!("{}", page.cast::<u8>().read_volatile());
        }
    }

    #[expect(unconditional_recursion, reason = "the stack is to overflow")]
    fn overflow(n: u64) -> u64 {
        let block = std::hint::black_box([n; 512]);
        overflow(n + 1) + block[n as usize % 512]
    }

    /// Each crash ends a process by its signal, with words and marker, in a process of its own: this test again. Where the stack has
    /// overflowed, Rust's words follow and the signal is its.
    #[test]
    fn crashes_leave_words_and_a_marker() {
        if let Ok(way) = std::env::var(WAY) {
            return crash(&way);
        }
        let module = module_path!().split_once("::").unwrap().1;
        for (way, signal, words) in [
            ("fault", libc::SIGSEGV, ["(SIGSEGV)", ""]),
            (
                "stack",
                libc::SIGABRT,
                ["(SIGSEGV)", "overflowed its stack"],
            ),
            ("abort", libc::SIGABRT, ["(SIGABRT)", ""]),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "--nocapture"])
                .arg(format!("{module}::crashes_leave_words_and_a_marker"))
                .env(WAY, way)
                .current_dir(folder.path())
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.signal(), Some(signal), "{way}: {output:?}");
            for words in words
                .iter()
                .chain(&["ERROR:\nGR-0901: the program crashed"])
            {
                assert!(text.contains(words), "{way}: {text}");
            }
            assert_eq!(text.matches("ERROR:").count(), 1, "{way}: {text}");
            let marker = folder.path().join("RELION_JOB_EXIT_FAILURE");
            assert!(marker.exists(), "{way}");
            let log = std::fs::read_to_string(folder.path().join("log.jsonl")).unwrap();
            let end: Value = serde_json::from_str(log.strip_suffix('\n').unwrap()).unwrap();
            assert_eq!(
                [&end["event"], &end["code"]],
                ["end", "GR-0901"],
                "{way}: {log}"
            );
            assert!(end["time"].as_f64().unwrap() > 1.7e9, "{log}");
            assert!(
                (0.0..60.0).contains(&end["elapsed_s"].as_f64().unwrap()),
                "{log}"
            );
        }
    }
}
