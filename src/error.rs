//! The one public error. Every variant that concerns an element says which file and which path in it,
//! and, where there is one, what to do next.

use std::fmt;

/// Result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A place in a store: the file (or Zarr directory) and a path inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// File or directory, as the user named it.
    pub file: String,
    /// Path inside it, without a leading slash; empty for the root.
    pub path: String,
}

impl Place {
    /// The place `path` in `file`.
    pub fn new(file: impl fmt::Display, path: impl fmt::Display) -> Self {
        Self { file: file.to_string(), path: path.to_string() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(f, "`{}`", self.file)
        } else {
            write!(f, "`{}` in `{}`", self.path, self.file)
        }
    }
}

/// Everything that can go wrong. Its `Debug` form is the message too, since that is what a `main` that returns it prints.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file or directory is neither HDF5 nor Zarr, or holds no AnnData where one was expected.
    #[error("{at} is not an AnnData store: {why}")]
    NotAnnData {
        /// Where.
        at: Place,
        /// What was found instead, and what to try.
        why: String,
    },
    /// There is no MuData where one was expected.
    #[error("{at} is not a MuData store: {why}")]
    NotMuData {
        /// Where.
        at: Place,
        /// What was found instead, and what to try.
        why: String,
    },
    /// There is no such element. `nearest` holds similar names that exist.
    #[error("{at} does not exist{}", did_you_mean(.nearest))]
    NotFound {
        /// Where.
        at: Place,
        /// The nearest existing names, best first.
        nearest: Vec<String>,
    },
    /// What is on disk contradicts the format or is damaged: wrong shapes, truncated data, broken metadata.
    #[error("{at} is damaged or not as the format says: {what}")]
    Malformed {
        /// Where.
        at: Place,
        /// What is wrong.
        what: String,
    },
    /// Valid perhaps, but not (yet) understood by this crate. Everything else in the file still works.
    #[error("{at} cannot be handled: {what}")]
    Unsupported {
        /// Where.
        at: Place,
        /// What is not supported.
        what: String,
    },
    /// A value has another type than the one asked for.
    #[error("{at} holds {found}, not {wanted}")]
    WrongType {
        /// Where.
        at: Place,
        /// The type asked for.
        wanted: String,
        /// The type found.
        found: String,
    },
    /// A value does not fit the axes of its slot.
    #[error("{at} needs shape {expected}, got {got}")]
    Shape {
        /// Where.
        at: Place,
        /// The shape needed, free axes as `…`.
        expected: String,
        /// The shape offered.
        got: String,
    },
    /// A selection that does not fit its axis: a position outside it, a mask of another length.
    #[error("selection on the {axis} axis of {at}: {why}")]
    Selection {
        /// The object selected from.
        at: Place,
        /// `obs`, `var`, `raw var`, or the number of an axis without names.
        axis: String,
        /// What is wrong with it.
        why: String,
    },
    /// A selection by a name that is not on its axis, or stands there more than once.
    #[error("selection on the {axis} axis of {at}: {why}")]
    UnknownName {
        /// The object selected from.
        at: Place,
        /// `obs`, `var` or `raw var`.
        axis: String,
        /// Which name, and the nearest ones.
        why: String,
    },
    /// A name that may not be used for an element.
    #[error("`{name}` cannot name an element: {why}")]
    BadName {
        /// The name.
        name: String,
        /// Why not.
        why: String,
    },
    /// The shadow was opened for reading and the operation writes.
    #[error(
        "{at} is open in mode `r`: {what} needs `r+`; call reopen(Mode::ReadWrite) first (pending changes are kept)"
    )]
    ReadOnly {
        /// The store.
        at: Place,
        /// The operation that was refused.
        what: String,
    },
    /// The shadow is closed.
    #[error("{at} is closed: {what} needs the file; call reopen(Mode::Read) first (what the shadow holds is kept)")]
    Closed {
        /// The store.
        at: Place,
        /// The operation that was refused.
        what: String,
    },
    /// There is something at the place of what is to be new.
    #[error("{at} already exists: remove it first, choose another name, or set it anew to replace it")]
    Exists {
        /// Where.
        at: Place,
    },
    /// A view was asked for something that only its parent can do.
    #[error("{at} is a view: {what} must be done on the shadow it was cut from")]
    View {
        /// The store.
        at: Place,
        /// The operation that was refused.
        what: String,
    },
    /// Somebody else (this process or another one) holds the file in a mode that excludes ours.
    #[error("{at} is in use: {why}")]
    Busy {
        /// The store.
        at: Place,
        /// By whom, as far as the system tells, and what to do.
        why: String,
    },
    /// Somebody else has changed the file since it was opened, so that what is read now would not fit what was read
    /// before.
    #[error("{at} was changed by another program since it was opened: call reopen() (pending changes are kept)")]
    StoreChanged {
        /// The store.
        at: Place,
    },
    /// Whoever was told of the progress of long work said that it is to end. Nothing was changed.
    #[error("{at}: {what} was cancelled")]
    Cancelled {
        /// Where.
        at: Place,
        /// The work.
        what: String,
    },
    /// The operating system refused.
    #[error("{at}: {source}")]
    Io {
        /// Where.
        at: Place,
        /// The system's error.
        source: std::io::Error,
    },
    /// The HDF5 or Zarr library refused.
    #[error("{at}: {what}")]
    Backend {
        /// Where.
        at: Place,
        /// The library's message.
        what: String,
    },
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn did_you_mean(nearest: &[String]) -> String {
    match nearest {
        [] => String::new(),
        names => format!("; nearest: {}", names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")),
    }
}

/// The (at most three) candidates that resemble `name`, best first. For messages.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let lower = name.to_lowercase();
    let mut scored: Vec<(f64, &str)> = candidates
        .into_iter()
        .map(|c| {
            let c_lower = c.to_lowercase();
            let contains = !lower.is_empty() && (c_lower.contains(&lower) || lower.contains(&c_lower));
            (strsim::jaro_winkler(&lower, &c_lower) + if contains { 0.2 } else { 0.0 }, c)
        })
        .filter(|(score, _)| *score > 0.75)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(3).map(|(_, c)| c.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_names_come_best_first() {
        assert_eq!(nearest("x_pca", ["X_umap", "X_pca", "zzz"])[0], "X_pca");
        assert!(nearest("q", ["louvain"]).is_empty());
    }

    #[test]
    fn messages_name_file_and_path() {
        let e = Error::NotFound { at: Place::new("a.h5ad", "obsm/X"), nearest: vec!["X_pca".into()] };
        assert_eq!(e.to_string(), "`obsm/X` in `a.h5ad` does not exist; nearest: `X_pca`");
    }
}
