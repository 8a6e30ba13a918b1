//! Changes to a file, each command one transaction: `add`, `set`, `rm` and `mv`, and several of these in one with `apply`.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anndata_shadow::store::check_writable;
use anndata_shadow::{Element, Mode, OpenOptions, WriteOptions};

use crate::args::WriteArgs;
use crate::failure::{Failure, Outcome};
use crate::open::{Object, refuse_unfinished};
use crate::values;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Edit {
    /// A new element, from a file of values.
    Add { path: String, from: PathBuf },
    /// An element from a file of values, whether there is one already or not.
    Set { path: String, from: PathBuf },
    /// An element goes.
    Remove { path: String },
    /// An element gets another path.
    Move { old: String, new: String },
}

/// As it is said in the shell, but for the file.
impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add { path, from } => write!(f, "add {path} --from {}", from.display()),
            Self::Set { path, from } => write!(f, "set {path} --from {}", from.display()),
            Self::Remove { path } => write!(f, "rm {path}"),
            Self::Move { old, new } => write!(f, "mv {old} {new}"),
        }
    }
}

/// Makes all changes to the file at `path`, or none; or only says what they would be.
///
/// # Errors
/// The first change that cannot be made; then the file is as it was.
pub(crate) fn run(path: &Path, edits: &[Edit], how: &WriteArgs) -> Outcome<()> {
    let mode = if how.dry_run { Mode::Read } else { Mode::ReadWrite };
    if how.dry_run {
        check_writable(path)?;
        refuse_unfinished(path)?;
    }
    let object = Object::open(path, &OpenOptions::default().mode(mode).locking(how.lock.locking()))?;
    for edit in edits {
        make(&object, path, edit).map_err(|failure| match edits {
            [_] => failure,
            _ => Failure::Edit { edit: edit.to_string(), failure: Box::new(failure) },
        })?;
    }
    let mut out = io::stdout().lock();
    if how.dry_run {
        for change in object.changes() {
            writeln!(out, "{change}")?;
        }
        writeln!(out, "dry run: nothing written")?;
    } else {
        writeln!(out, "{}", object.write(WriteOptions::default().safety(how.safety.into()))?)?;
    }
    Ok(())
}

fn make(object: &Object, file: &Path, edit: &Edit) -> Outcome<()> {
    match edit {
        Edit::Add { path, from } => put(object, file, path, from, true),
        Edit::Set { path, from } => put(object, file, path, from, false),
        Edit::Remove { path } => match object.modality(path) {
            Some((mdata, name)) => Ok(mdata.remove_modality(name)?),
            None => {
                let (shadow, path) = object.holding(path)?;
                Ok(shadow.remove(&path)?)
            }
        },
        Edit::Move { old, new } => match (object.modality(old), object.modality(new)) {
            (Some((mdata, old)), Some((_, new))) => Ok(mdata.rename_modality(old, new)?),
            (None, None) => {
                let ((from_object, _), (to_object, to)) = (object.resolve(old)?, object.resolve(new)?);
                if from_object != to_object {
                    return Err(Failure::element(file, old, format!("it cannot move into another object, as `{new}`")));
                }
                let (shadow, path) = object.holding(old)?;
                Ok(shadow.rename(&path, to)?)
            }
            _ => Err(Failure::element(file, new, format!("`{old}` cannot become this: one of the two is a modality"))),
        },
    }
}

/// Takes values from a file to where they are to stand.
fn put(object: &Object, file: &Path, element: &str, from: &Path, is_new: bool) -> Outcome<()> {
    let (shadow, path) = object.holding(element)?;
    for (path, value) in values::read(&shadow, &path, from)? {
        let what = described(&value);
        let member = shadow.member(&path).map_err(|error| refused(from, &what, error))?;
        if is_new && member.exists()? {
            let why = format!("it exists already; `adshadow set` replaces it (from `{}`, {what})", from.display());
            return Err(Failure::element(file, &path, why));
        }
        member.set(value).map_err(|error| refused(from, &what, error))?;
    }
    Ok(())
}

fn refused(from: &Path, what: &str, error: anndata_shadow::Error) -> Failure {
    Failure::Refused { from: from.to_owned(), what: what.to_owned(), error: Box::new(error) }
}

fn described(element: &Element) -> String {
    let shape = crate::text::shape(&element.shape());
    if shape.is_empty() { element.describe() } else { format!("{} of shape {shape}", element.describe()) }
}
