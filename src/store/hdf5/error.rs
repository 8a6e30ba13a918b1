//! From HDF5's messages to this crate's errors: who holds the file, what is damaged, what the system refused.

use std::io;
use std::path::Path;

use super::ffi::Failure;
use super::root_of;
use crate::error::{Error, Place};
use crate::store::holder::holders;

/// The lock is somebody else's; for `write` readers suffice to exclude us.
pub(super) fn busy(path: &Path, write: bool) -> Error {
    held_by(path, write, holders(path).as_deref().unwrap_or("another process (or another shadow in this one)"))
}

/// This process has the file open itself.
pub(super) fn claimed(path: &Path, write: bool) -> Error {
    held_by(path, write, "this process")
}

fn held_by(path: &Path, write: bool, who: &str) -> Error {
    let (wanted, has) =
        if write { ("writing (`r+`)", "has it open") } else { ("reading (`r`)", "has it open for writing") };
    Error::Busy {
        at: root_of(path),
        why: format!("it cannot be opened for {wanted}: {who} {has}; close it there first"),
    }
}

/// The system has refused.
pub(super) fn system(path: &Path) -> impl Fn(io::Error) -> Error {
    let at = root_of(path);
    move |source| Error::Io { at: at.clone(), source }
}

/// A failure to read what should be there.
pub(super) fn reading(at: Place, failure: &Failure) -> Error {
    if failure.mentions("truncated file") {
        return Error::Malformed { at, what: format!("the file is truncated ({})", failure.text()) };
    }
    match failure.system() {
        Some(source) => Error::Io { at, source },
        None => Error::Malformed { at, what: failure.text() },
    }
}

/// A failure to write, for which the file's content is not to blame.
pub(super) fn writing(at: Place, failure: &Failure) -> Error {
    match failure.system() {
        Some(source) => Error::Io { at, source },
        None => Error::Backend { at, what: failure.text() },
    }
}

impl Failure {
    fn mentions(&self, text: &str) -> bool {
        self.0.iter().any(|message| message.contains(text))
    }

    /// The outermost message and the innermost, which name the operation and the cause.
    fn text(&self) -> String {
        match &self.0[..] {
            [] => "HDF5 gave no reason".to_owned(),
            [only] => only.clone(),
            [first, .., last] if first == last => first.clone(),
            [first, .., last] => format!("{first}: {last}"),
        }
    }

    /// The system's error that HDF5 reports in its messages as `errno = 28`.
    fn system(&self) -> Option<io::Error> {
        self.0.iter().find_map(|message| {
            let (_, rest) = message.split_once("errno = ")?;
            let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
            number.parse().ok().filter(|&n| n != 0).map(io::Error::from_raw_os_error)
        })
    }
}
