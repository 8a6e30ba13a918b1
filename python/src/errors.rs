//! The library's errors as Python's exceptions, which are defined in `anndata_shadow/_errors.py`.

use anndata_shadow::Error;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

/// Where the classes are.
const MODULE: &str = "anndata_shadow._errors";

/// The exception for an error.
pub(crate) fn raise(py: Python<'_>, error: Error) -> PyErr {
    if let Error::Io { at, source } = &error {
        return of_system(py, &at.file, source).unwrap_or_else(|failed| failed);
    }
    let made = py.import(MODULE).and_then(|module| module.getattr(class_of(&error))?.call1((message(&error),)));
    made.map_or_else(|failed| failed, PyErr::from_value)
}

/// Makes the classes known under the compiled module, too.
pub(crate) fn export(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let errors = module.py().import(MODULE)?;
    for name in errors.getattr("__all__")?.extract::<Vec<String>>()? {
        module.add(name.as_str(), errors.getattr(name.as_str())?)?;
    }
    Ok(())
}

fn class_of(error: &Error) -> &'static str {
    match error {
        Error::NotAnnData { .. } | Error::NotMuData { .. } => "NotAnnDataError",
        Error::NotFound { .. } => "NotFoundError",
        Error::Malformed { .. } => "DamagedError",
        Error::Unsupported { .. } => "NotSupportedError",
        Error::WrongType { .. } => "WrongTypeError",
        Error::Shape { .. } => "ShapeError",
        Error::Selection { .. } => "SelectionError",
        Error::UnknownName { .. } => "UnknownNameError",
        Error::BadName { .. } => "BadNameError",
        Error::ReadOnly { .. } => "ReadOnlyError",
        Error::Closed { .. } => "ClosedError",
        Error::Exists { .. } => "ExistsError",
        Error::View { .. } => "ViewError",
        Error::Busy { .. } => "BusyError",
        Error::StoreChanged { .. } => "StoreChangedError",
        Error::Cancelled { .. } => "CancelledError",
        Error::Backend { .. } => "BackendError",
        _ => "ShadowError",
    }
}

/// The message, with what to do in Python's spelling.
fn message(error: &Error) -> String {
    if let Error::ReadOnly { at, what } = error {
        return format!(
            "{at} is open in read-only mode: {what} needs mode 'r+'; call reopen('r+') first (pending changes are kept)"
        );
    }
    let spelt = [
        ("reopen(Mode::ReadWrite)", "reopen('r+')"),
        ("reopen(Mode::Read)", "reopen('r')"),
        ("reopen()", "reopen('r')"),
        ("`Locking::Off`", "`locking=False`"),
        ("Locking::Off", "locking=False"),
    ];
    spelt.iter().fold(error.to_string(), |text, (rust, python)| text.replace(rust, python))
}

/// What the system refuses: `FileNotFoundError` and its like, by the number.
fn of_system(py: Python<'_>, file: &str, source: &std::io::Error) -> PyResult<PyErr> {
    let class = py.get_type::<PyOSError>();
    let made = match source.raw_os_error() {
        Some(number) => {
            let text = source.to_string();
            let text = text.split(" (os error").next().unwrap_or_default();
            class.call1((number, text, file))?
        }
        None => class.call1((format!("`{file}`: {source}"),))?,
    };
    Ok(PyErr::from_value(made))
}
