//! How calls run: without the GIL, so that Ctrl-C ends waiting for them, and so that the process may fork.
//!
//! Python looks at signals on its main thread alone, and only between its own instructions. So a call from there that takes long
//! runs on another thread, and the main thread waits and looks at signals meanwhile. Calls from other threads, and short ones, run
//! in place.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use anndata_shadow::{Progress, Result, fork};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::errors;

/// How often signals are looked at.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// Whether this process was forked while work was under way, of which anything may be left half done here.
static TORN: AtomicBool = AtomicBool::new(false);

/// In a child that was forked while work was under way.
pub(crate) fn torn() {
    TORN.store(true, Relaxed);
}

fn check_whole() -> PyResult<()> {
    if !TORN.load(Relaxed) {
        return Ok(());
    }
    Err(PyRuntimeError::new_err(
        "this process was forked in the middle of work, by a fork that was interrupted while it waited for that to end: use \
         shadows in another process",
    ))
}

/// Runs what is short, or must not be left half-way (writing), in place: a Ctrl-C counts when it is done.
pub(crate) fn quick<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T> + Send) -> PyResult<T> {
    check_whole()?;
    py.detach(|| fork::during(work)).map_err(|error| errors::raise(py, error))
}

/// Runs a reading. On Ctrl-C nobody waits for it any longer, and what it finds is dropped.
pub(crate) fn read<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> PyResult<T> {
    check_whole()?;
    let Some(helper) = Helper::if_needed(py)? else { return quick(py, work) };
    let mut waiting = Waiting::begin(helper, work);
    loop {
        match waiting.look(py)? {
            Some(done) => return done.map_err(|error| errors::raise(py, error)),
            None => py.check_signals()?,
        }
    }
}

/// Runs what takes long and tells `progress` how far it is. On Ctrl-C it is told to end; on a second one, nobody waits for that.
/// It gives way to forks whenever it tells: it must hold nothing then that other work waits for.
pub(crate) fn long<T: Send + 'static>(
    py: Python<'_>,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce(Progress<'_>) -> Result<T> + Send + 'static,
) -> PyResult<T> {
    told(py, Teller::new(progress, true), work)
}

/// As [`long`], for work that holds a lock all the time, as writing does: forks wait for all of it.
pub(crate) fn long_write<T: Send + 'static>(
    py: Python<'_>,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce(Progress<'_>) -> Result<T> + Send + 'static,
) -> PyResult<T> {
    told(py, Teller::new(progress, false), work)
}

fn told<T: Send + 'static>(
    py: Python<'_>,
    teller: Arc<Teller>,
    work: impl FnOnce(Progress<'_>) -> Result<T> + Send + 'static,
) -> PyResult<T> {
    check_whole()?;
    let told = teller.clone();
    let work = move || work(&|done, all| told.tell(done, all));
    let Some(helper) = Helper::if_needed(py)? else {
        let done = py.detach(|| fork::during(work));
        return teller.outcome(py, done);
    };
    let mut waiting = Waiting::begin(helper, work);
    let mut interrupt = None;
    loop {
        if let Some(done) = waiting.look(py)? {
            return interrupt.map_or_else(|| teller.outcome(py, done), Err);
        }
        if let Err(signal) = py.check_signals() {
            teller.ended.store(true, Relaxed);
            if interrupt.replace(signal).is_some() {
                return interrupt.map_or_else(|| Err(PyRuntimeError::new_err("interrupted")), Err);
            }
        }
    }
}

/// Whether this is the thread on which Python looks at signals.
fn takes_signals(py: Python<'_>) -> PyResult<bool> {
    static MAIN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static HERE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let main = MAIN.import(py, "threading", "main_thread")?.call0()?.getattr("ident")?;
    main.eq(HERE.import(py, "threading", "get_ident")?.call0()?)
}

/// A thread that works for the one which waits and looks at signals. It lasts, for starting one takes longer than most reads.
struct Helper {
    jobs: Sender<Box<dyn FnOnce() + Send>>,
    /// In which process, counted by forks, it is.
    process: u32,
}

/// The helper that has nothing to do.
static IDLE: Mutex<Option<Helper>> = Mutex::new(None);

impl Helper {
    /// On the main thread, a helper; `None` if the work is to be done in place, for want of threads, too.
    fn if_needed(py: Python<'_>) -> PyResult<Option<Self>> {
        if !takes_signals(py)? {
            return Ok(None);
        }
        let idle = idle().take();
        Ok(idle.and_then(Self::here).or_else(|| Self::start().ok()))
    }

    fn start() -> std::io::Result<Self> {
        let (jobs, todo) = channel::<Box<dyn FnOnce() + Send>>();
        let process = fork::forks();
        let work = move || {
            while let Ok(job) = todo.recv() {
                job();
                if fork::forks() != process {
                    // The job has forked, and this is the only thread of the child.
                    return;
                }
            }
        };
        Builder::new().name("adshadow-call".into()).spawn(work)?;
        Ok(Self { jobs, process })
    }

    /// Itself, if it is in this process. One that is not is left alone: what it holds, it holds for ever.
    fn here(self) -> Option<Self> {
        if self.process == fork::forks() {
            return Some(self);
        }
        std::mem::forget(self);
        None
    }

    /// Waits for the next call. If another one does so already, that ends.
    fn rest(self) {
        if let Some(helper) = self.here() {
            drop(idle().replace(helper).and_then(Self::here));
        }
    }
}

fn idle() -> MutexGuard<'static, Option<Helper>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Work on another thread, which ends with it if nobody waits until then.
struct Waiting<T>(Option<(Helper, Receiver<T>)>);

impl<T: Send + 'static> Waiting<T> {
    fn begin(helper: Helper, work: impl FnOnce() -> T + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        let work = move || {
            fork::during(|| {
                // Nobody may be waiting any longer; then what was found is dropped here, where forks wait for that.
                let _ = sender.send(work());
            });
        };
        // One that has ended takes the sender with it, which shows below.
        let _ = helper.jobs.send(Box::new(work));
        Self(Some((helper, receiver)))
    }

    /// Waits a moment: what has come of it, or nothing yet.
    fn look(&mut self, py: Python<'_>) -> PyResult<Option<T>> {
        let Some((helper, receiver)) = self.0.take() else { return Ok(None) };
        let (receiver, answer) = py.detach(move || {
            let answer = receiver.recv_timeout(TICK);
            (receiver, answer)
        });
        match answer {
            Ok(done) => {
                helper.rest();
                Ok(Some(done))
            }
            Err(RecvTimeoutError::Timeout) => {
                self.0 = Some((helper, receiver));
                Ok(None)
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(PyRuntimeError::new_err("the library has failed in a way that is a bug of it; see standard error"))
            }
        }
    }
}

/// Tells Python how far long work is, and the work when to end.
struct Teller {
    progress: Option<Py<PyAny>>,
    ended: AtomicBool,
    /// What `progress` has raised.
    raised: Mutex<Option<PyErr>>,
    gives_way: bool,
}

impl Teller {
    fn new(progress: Option<Py<PyAny>>, gives_way: bool) -> Arc<Self> {
        Arc::new(Self { progress, ended: AtomicBool::new(false), raised: Mutex::default(), gives_way })
    }

    fn tell(&self, done: u64, all: u64) -> ControlFlow<()> {
        if self.gives_way {
            fork::give_way();
        }
        if self.ended.load(Relaxed) {
            return ControlFlow::Break(());
        }
        let Some(progress) = &self.progress else { return ControlFlow::Continue(()) };
        let process = fork::forks();
        let call = |py: Python<'_>| match progress.bind(py).call1((done, all)) {
            Ok(answer) => answer.is_none() || answer.is_truthy().unwrap_or(true),
            Err(raised) => {
                *self.raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(raised);
                false
            }
        };
        // It may fork. Where it comes back in the child, the other threads of the work are not there.
        let goes_on = fork::outside(|| Python::attach(call)) && fork::forks() == process;
        self.ended.fetch_or(!goes_on, Relaxed);
        if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// The result of the work, or what `progress` has raised.
    fn outcome<T>(&self, py: Python<'_>, done: Result<T>) -> PyResult<T> {
        match self.raised.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(raised) => Err(raised),
            None => done.map_err(|error| errors::raise(py, error)),
        }
    }
}
