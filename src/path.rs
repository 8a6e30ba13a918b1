//! [`ElemPath`]: a validated relative path of an element inside a store, such as `obsm/X_pca`.
//! The only place that joins or splits on `/`.

use std::fmt;

use crate::error::{Error, Result};

/// Relative path of a node: components joined by `/`, no leading or trailing slash; empty for the root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ElemPath(String);

impl ElemPath {
    /// The root.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// Parses `a/b/c`; slashes at the ends are ignored.
    ///
    /// # Errors
    /// [`Error::BadName`] if a component is empty, `.` or `..`, or holds a NUL.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim_matches('/');
        if !text.is_empty() {
            text.split('/').try_for_each(check_component)?;
        }
        Ok(Self(text.to_owned()))
    }

    /// This path with `below` (one or more components) appended.
    ///
    /// # Errors
    /// [`Error::BadName`], as [`parse`](Self::parse).
    pub fn join(&self, below: &str) -> Result<Self> {
        if below.is_empty() {
            check_component(below)?;
        }
        Ok(self.append(&Self::parse(below)?))
    }

    /// This path with a name that the crate itself chose, known to be a sound component.
    pub(crate) fn child(&self, name: &str) -> Self {
        debug_assert!(check_component(name).is_ok() && !name.contains('/'), "bad component {name:?}");
        self.append(&Self(name.to_owned()))
    }

    /// This path with `below` appended.
    #[must_use]
    pub fn append(&self, below: &Self) -> Self {
        match (self.is_root(), below.is_root()) {
            (true, _) => below.clone(),
            (_, true) => self.clone(),
            _ => Self(format!("{}/{}", self.0, below.0)),
        }
    }

    /// The group that holds this node; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        Some(self.0.rsplit_once('/').map_or_else(Self::root, |(up, _)| Self(up.to_owned())))
    }

    /// Last component; empty for the root.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// The components in order.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|c| !c.is_empty())
    }

    /// Every ancestor from the parent up to the root.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(self.parent(), Self::parent)
    }

    /// The rest of this path below `above`; `None` if it is not at or below it.
    #[must_use]
    pub fn strip_prefix(&self, above: &Self) -> Option<Self> {
        if above.is_root() {
            return Some(self.clone());
        }
        match self.0.strip_prefix(&above.0)? {
            "" => Some(Self::root()),
            rest => rest.strip_prefix('/').map(|r| Self(r.to_owned())),
        }
    }

    /// Whether this path is `above` or lies below it.
    #[must_use]
    pub fn starts_with(&self, above: &Self) -> bool {
        self.strip_prefix(above).is_some()
    }

    /// Whether this is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ElemPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check_component(name: &str) -> Result<()> {
    let why = match name {
        "" => "it is empty",
        "." | ".." => "it would leave its group",
        n if n.contains('\0') => "it holds a NUL character",
        n if cfg!(windows) && n.contains(['\\', ':']) => "it would be a path of its own",
        _ => return Ok(()),
    };
    Err(Error::BadName { name: name.to_owned(), why: why.to_owned() })
}

/// Checks a name for a *new* element: on top of what a path needs, nothing that a reader of HDF5 or Zarr would take for
/// something else (format rules: `/` nests, `\` becomes `/` in zarr-python, metadata file names collide).
///
/// # Errors
/// [`Error::BadName`] with the reason.
pub(crate) fn check_new_name(name: &str) -> Result<()> {
    check_component(name)?;
    let why = match name {
        n if n.contains('/') => "`/` separates groups; anndata 0.13 refuses such keys",
        n if n.len() > 255 => "file systems hold names of at most 255 bytes",
        n if n.chars().any(char::is_control) => "it holds a control character",
        n if n.contains('\\') => "zarr-python turns `\\` into `/`",
        "zarr.json" | ".zarray" | ".zgroup" | ".zattrs" | ".zmetadata" => "Zarr keeps its metadata under this name",
        _ => return Ok(()),
    };
    Err(Error::BadName { name: name.to_owned(), why: why.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_and_splits() -> Result<()> {
        let p = ElemPath::parse("/mod/rna/")?.join("obsm")?.child("X_pca");
        assert_eq!(p.as_str(), "mod/rna/obsm/X_pca");
        assert_eq!(p.name(), "X_pca");
        assert_eq!(p.strip_prefix(&ElemPath::parse("mod/rna")?).map(|r| r.to_string()), Some("obsm/X_pca".into()));
        assert_eq!(p.strip_prefix(&ElemPath::parse("mod/rn")?), None);
        assert_eq!(p.ancestors().map(|a| a.to_string()).collect::<Vec<_>>(), ["mod/rna/obsm", "mod/rna", "mod", ""]);
        Ok(())
    }

    #[test]
    fn refuses_what_leaves_the_store() {
        for bad in ["a/../b", "..", "a//b", "a/.", "x\0y"] {
            assert!(ElemPath::parse(bad).is_err(), "{bad:?}");
        }
        assert!(ElemPath::root().join("").is_err());
        for bad in ["", "a/b", "a\\b", "zarr.json"] {
            assert!(check_new_name(bad).is_err(), "{bad:?}");
        }
    }
}
