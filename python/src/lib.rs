//! `anndata_shadow._core`, the compiled part of the Python package: shadows, and their values as plain Python objects. It knows
//! numpy, and neither pandas nor scipy; what becomes of the values is the Python layer's. `_core.pyi` beside that says what is here.
//!
//! ```text
//!  object.rs   what both kinds of shadows share: looking, reading, changing, writing; inside.rs: what is at a path
//!  shadow.rs, mudata.rs   the two kinds
//!  stream.rs, stats.rs    what is larger than memory
//!  report.rs   what the library tells: of elements, changes, writes, damage
//!  to_py.rs, from_py.rs, select.rs, arrow.rs, errors.rs   values, selections, columns, errors across the border
//!  run.rs      how calls run: without the GIL, interruptible
//!  digest.rs   hashes, by which changes in place are noticed
//! ```
// A test would be a program of its own, which this is not: nothing is left of it then.
#![cfg(not(test))]

mod arrow;
mod digest;
mod errors;
mod from_py;
mod inside;
mod mudata;
mod object;
mod report;
mod run;
mod select;
mod shadow;
mod stats;
mod stream;
mod to_py;

use std::cell::Cell;
use std::thread;

use anndata_shadow::fork;
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The compiled part of ``anndata_shadow``.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<object::Object>()?;
    module.add_class::<shadow::Shadow>()?;
    module.add_class::<mudata::MuShadow>()?;
    module.add_class::<report::Info>()?;
    module.add_class::<report::Change>()?;
    module.add_class::<report::Receipt>()?;
    module.add_class::<report::Report>()?;
    module.add_class::<stream::Stream>()?;
    module.add_function(wrap_pyfunction!(report::verify, module)?)?;
    module.add_function(wrap_pyfunction!(digest::digest, module)?)?;
    errors::export(module)?;
    tell_of_forks(module)
}

/// Has Python say when it forks.
fn tell_of_forks(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let os = module.py().import("os")?;
    if !os.hasattr("register_at_fork")? {
        return Ok(());
    }
    let hooks = PyDict::new(module.py());
    hooks.set_item("before", wrap_pyfunction!(before_fork, module)?)?;
    hooks.set_item("after_in_parent", wrap_pyfunction!(after_fork_in_parent, module)?)?;
    hooks.set_item("after_in_child", wrap_pyfunction!(after_fork_in_child, module)?)?;
    os.call_method("register_at_fork", (), Some(&hooks)).map(drop)
}

thread_local! {
    /// Whether the fork that is made on this thread goes ahead though work is under way.
    static UNAWAITED: Cell<bool> = const { Cell::new(false) };
}

/// Waits for work under way. Python forks whatever comes of that: who interrupts the waiting has a child that is refused shadows.
#[pyfunction]
fn before_fork(py: Python<'_>) {
    // What is waited for may have to tell Python how far it is.
    while !py.detach(|| fork::prepare_within(run::TICK)) {
        if let Err(signal) = py.check_signals() {
            if !signal.is_instance_of::<PyKeyboardInterrupt>(py) {
                // Python would drop it, too.
                signal.write_unraisable(py, None);
                continue;
            }
            fork::give_up();
            // Python drops what is raised here: it is raised once more when the fork is over.
            UNAWAITED.set(true);
            return;
        }
    }
}

#[pyfunction]
fn after_fork_in_parent() -> PyResult<()> {
    if !UNAWAITED.replace(false) {
        fork::done(false);
        return Ok(());
    }
    // Others have to do with the fork, too, such as to unlock what they have locked, and must not be interrupted in that.
    let interrupt = || {
        thread::sleep(run::TICK);
        Python::try_attach(|py| py.import("_thread")?.call_method0("interrupt_main").map(drop));
    };
    thread::Builder::new().spawn(interrupt)?;
    Ok(())
}

#[pyfunction]
fn after_fork_in_child() {
    fork::done(true);
    if UNAWAITED.replace(false) {
        run::torn();
    }
}
