//! From HDF5's messages to this crate's errors: who holds the file, what is damaged, what the system refused.

use std::io;

use super::ffi::Failure;
use crate::error::{Error, Place};

const BUSY: &str = "another process (or another shadow in this one) has it open for writing; close it there first";
const BUSY_READERS: &str = "another process (or another shadow in this one) has it open; close it there first";

/// Somebody else has the file open; for `write` readers suffice to exclude us.
pub(super) fn busy(at: Place, write: bool) -> Error {
    Error::Busy { at, why: if write { BUSY_READERS } else { BUSY }.into() }
}

/// A failure to open the file, which the system itself did let us open.
pub(super) fn opening(at: Place, failure: &Failure, write: bool) -> Error {
    let held = ["unable to lock file", "already open", "close degree doesn't match"];
    if held.iter().any(|text| failure.mentions(text)) { busy(at, write) } else { reading(at, failure) }
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
