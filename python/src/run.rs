//! How calls run: without the GIL, so that Ctrl-C ends waiting for them, and so that the process may fork.
//!
//! Python looks at signals on its main thread alone, and only between its own instructions. So a call from there that takes long
//! runs on another thread, and the main thread waits and looks at signals meanwhile. Calls from other threads, and short ones, run
//! in place.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use anndata_shadow::{Progress, Result, fork};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::errors;

/// How often signals are looked at.
const TICK: Duration = Duration::from_millis(50);

/// Runs what is short, or must not be left half-way (writing), in place: a Ctrl-C counts when it is done.
pub(crate) fn quick<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T> + Send) -> PyResult<T> {
    py.detach(|| fork::during(work)).map_err(|error| errors::raise(py, error))
}

/// As [`quick`], for what a value is set by.
pub(crate) fn set<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T> + Send) -> PyResult<T> {
    py.detach(|| fork::during(work)).map_err(|error| errors::raise_of_value(py, error))
}

/// Runs a reading. On Ctrl-C nobody waits for it any longer, and what it finds is dropped.
pub(crate) fn read<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> PyResult<T> {
    if !takes_signals(py)? {
        return quick(py, work);
    }
    let mut waiting = Waiting::begin(move || fork::during(work))?;
    loop {
        match waiting.look(py)? {
            Some(done) => return done.map_err(|error| errors::raise(py, error)),
            None => py.check_signals()?,
        }
    }
}

/// Runs what takes long and tells `progress` how far it is. On Ctrl-C it is told to end; on a second one, nobody waits for that.
pub(crate) fn long<T: Send + 'static>(
    py: Python<'_>,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce(Progress<'_>) -> Result<T> + Send + 'static,
) -> PyResult<T> {
    let teller = Arc::new(Teller { progress, ended: AtomicBool::new(false), raised: Mutex::default() });
    let told = teller.clone();
    let work = move || fork::during(|| work(&|done, all| told.tell(done, all)));
    if !takes_signals(py)? {
        let done = py.detach(work);
        return teller.outcome(py, done);
    }
    let mut waiting = Waiting::begin(work)?;
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

/// Work on another thread.
struct Waiting<T>(Option<Receiver<T>>);

impl<T: Send + 'static> Waiting<T> {
    fn begin(work: impl FnOnce() -> T + Send + 'static) -> PyResult<Self> {
        let (sender, receiver) = channel();
        let work = move || {
            // Nobody may be waiting any longer.
            let _ = sender.send(work());
        };
        Builder::new().name("adshadow-call".into()).spawn(work)?;
        Ok(Self(Some(receiver)))
    }

    /// Waits a moment: what has come of it, or nothing yet.
    fn look(&mut self, py: Python<'_>) -> PyResult<Option<T>> {
        let Some(receiver) = self.0.take() else { return Ok(None) };
        let (receiver, answer) = py.detach(move || {
            let answer = receiver.recv_timeout(TICK);
            (receiver, answer)
        });
        match answer {
            Ok(done) => Ok(Some(done)),
            Err(RecvTimeoutError::Timeout) => {
                self.0 = Some(receiver);
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
}

impl Teller {
    fn tell(&self, done: u64, all: u64) -> ControlFlow<()> {
        if self.ended.load(Relaxed) {
            return ControlFlow::Break(());
        }
        let Some(progress) = &self.progress else { return ControlFlow::Continue(()) };
        let goes_on = Python::attach(|py| match progress.bind(py).call1((done, all)) {
            Ok(answer) => answer.is_none() || answer.is_truthy().unwrap_or(true),
            Err(raised) => {
                *self.raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(raised);
                false
            }
        });
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
