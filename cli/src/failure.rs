//! [`Failure`]: why a command did not do what it was asked for.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use anndata_shadow::Error;

/// Result of the commands and of what they are made of.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// Why a command failed. Shown after `adshadow: error: `.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The library's own error; its message names file and path.
    Library(Error),
    /// A value from a file did not fit where it was to go.
    Refused {
        /// The file that the value came from.
        from: PathBuf,
        /// What the value is.
        what: String,
        /// The library's error.
        error: Box<Error>,
    },
    /// Something is wrong with an input or output file.
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// An element cannot be had in the way asked for.
    Element {
        /// The AnnData file.
        file: PathBuf,
        /// Path inside it.
        path: String,
        /// Why not, and what to do.
        why: String,
    },
    /// One of several changes cannot be made.
    Edit {
        /// The change.
        edit: String,
        /// Why not.
        failure: Box<Failure>,
    },
    /// The user did not agree.
    Declined(String),
    /// The terminal or pipe cannot be written to.
    Output(io::Error),
}

impl Failure {
    /// Something is wrong with the file at `path`.
    pub(crate) fn file(path: &Path, why: impl fmt::Display) -> Self {
        Self::File { path: path.to_owned(), why: why.to_string() }
    }

    /// The element `path` of `file` cannot be had in the way asked for.
    pub(crate) fn element(file: &Path, path: &str, why: impl fmt::Display) -> Self {
        Self::Element { file: file.to_owned(), path: path.to_owned(), why: why.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The library's advice is for programs.
            Self::Library(Error::StoreChanged { at }) => {
                write!(f, "{at} was changed by another program meanwhile: run the command again")
            }
            Self::Library(error) => error.fmt(f),
            Self::Refused { from, what, error } => write!(f, "{error} (from `{}`, {what})", from.display()),
            Self::File { path, why } => write!(f, "`{}`: {why}", path.display()),
            Self::Element { file, path, why } => write!(f, "`{path}` in `{}`: {why}", file.display()),
            Self::Edit { edit, failure } => write!(f, "`{edit}`: {failure}; nothing was written"),
            Self::Declined(why) => f.write_str(why),
            Self::Output(error) => write!(f, "standard output: {error}"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Library(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}
