//! Opening files, and what writers that died have left at them: changes that are published are made, what was appended and
//! never published is cut off.

use std::fs;
use std::path::{Path, PathBuf};

use super::claim::Claim;
use super::journal::{self, Left};
use super::volume::Volume;
use super::{beside, error, held};
use crate::error::{Error, Place, Result};
use crate::store::{Fate, LeftOver, Locking};

/// The volume of a file for reading. Published changes are made first, if that may be done; else they are read as if they were.
pub(super) fn open_read(path: &Path, locking: Locking) -> Result<Volume> {
    let io_error = error::system(path);
    let real = path.canonicalize().map_err(&io_error)?;
    let journal = beside::journal_of(&real);
    // Without locks it is not known whether their writer is dead, and is not making them at this moment.
    if locking == Locking::On && fs::symlink_metadata(&journal).is_ok() && has_changes(path, &journal)? {
        match open_write(path, locking, &mut Vec::new()) {
            // Whoever may not, or not now, reads through the journal.
            Ok(_) | Err(Error::Io { .. } | Error::Busy { .. } | Error::Unsupported { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let file = held::open(path, false, locking)?;
    let changes = match journal::look(&journal, &file).map_err(error::system(&journal))? {
        Some(Left::Changes(changes)) => Some(changes),
        Some(Left::Misfit(why)) => return Err(misfit(&journal, path, &why)),
        Some(Left::Nothing | Left::Tail(_)) | None => None,
    };
    Volume::reading(real, file, changes.as_ref()).map_err(io_error)
}

/// Whether there are published changes that are not known to be made. Looked at without a lock: what is found here is looked
/// for again.
fn has_changes(path: &Path, journal: &Path) -> Result<bool> {
    let file = fs::File::open(path).map_err(error::system(path))?;
    Ok(matches!(journal::look(journal, &file).map_err(error::system(journal))?, Some(Left::Changes(_))))
}

/// The volume of a file for reading and writing, after what others have left was put in order; `done` gets a sentence for each
/// thing.
pub(super) fn open_write(path: &Path, locking: Locking, done: &mut Vec<String>) -> Result<Volume> {
    let io_error = error::system(path);
    let real = path.canonicalize().map_err(&io_error)?;
    let file = held::open(path, true, locking)?;
    let journal = beside::journal_of(&real);
    if let Some(left) = journal::look(&journal, &file).map_err(error::system(&journal))? {
        match left {
            Left::Misfit(why) => return Err(misfit(&journal, path, &why)),
            Left::Changes(changes) => {
                changes.apply(&file).map_err(&io_error)?;
                done.push(format!(
                    "made the changes that were published and not made yet ({} places)",
                    changes.runs.len()
                ));
            }
            Left::Tail(base) => {
                let length = file.metadata().map_err(&io_error)?.len();
                file.set_len(base).and_then(|()| file.sync_all()).map_err(&io_error)?;
                done.push(format!("cut off {} bytes that were written and never published", length - base));
            }
            Left::Nothing => done.push("removed a journal that has no meaning any more".to_owned()),
        }
        beside::remove(&journal).and_then(|()| beside::sync_dir(&journal)).map_err(error::system(&journal))?;
    }
    for copy in beside::dead_copies(&real) {
        // What cannot be removed harms nobody.
        if beside::remove(&copy).is_ok() {
            done.push(format!("removed the unfinished copy `{}`", copy.display()));
        }
    }
    Volume::writing(real, file).map_err(io_error)
}

fn misfit(journal: &Path, path: &Path, why: &str) -> Error {
    let what = format!(
        "this journal of a write to `{}` that was interrupted cannot be used: {why}; if the file was replaced, or another \
         program has written it since, remove the journal and open the file again",
        path.display()
    );
    Error::Malformed { at: Place::new(journal.display(), ""), what }
}

/// What interrupted writes have left at a file. Changes nothing; nothing is left by one that goes on.
///
/// # Errors
/// [`Error::Io`].
pub(in crate::store) fn left_over(path: &Path) -> Result<Vec<LeftOver>> {
    let io_error = error::system(path);
    let real = path.canonicalize().map_err(&io_error)?;
    let file = match held::open(path, false, Locking::On) {
        Ok(file) => file,
        Err(Error::Busy { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let left = |path: PathBuf, what: String, fate| LeftOver { path, what, fate };
    let journal = beside::journal_of(&real);
    let (mut found, mut is_refused) = (Vec::new(), false);
    if let Some(what) = journal::look(&journal, &file).map_err(error::system(&journal))? {
        let (what, fate) = match what {
            Left::Changes(changes) => (
                format!("a write that is published and not known to be complete ({} places)", changes.runs.len()),
                Fate::CarryOut,
            ),
            Left::Tail(base) => {
                let length = file.metadata().map_err(&io_error)?.len();
                (
                    format!("a write that was interrupted before it was published ({} bytes)", length - base),
                    Fate::Forget,
                )
            }
            Left::Nothing => ("a journal that has no meaning any more".to_owned(), Fate::Forget),
            Left::Misfit(why) => {
                is_refused = true;
                let what = format!(
                    "a journal that cannot be used: {why}; if the file was replaced, or another program has written it \
                     since, remove the journal"
                );
                (what, Fate::LeaveAlone)
            }
        };
        found.push(left(journal, what, fate));
    }
    // Where opening is refused, nothing else is done either.
    let fate = if is_refused { Fate::LeaveAlone } else { Fate::Forget };
    let copies = beside::dead_copies(&real).into_iter();
    found.extend(copies.map(|copy| left(copy, "an unfinished copy of the file".to_owned(), fate)));
    Ok(found)
}

/// Puts in order what interrupted writes have left at a file. Gives a sentence for each thing that was done.
///
/// # Errors
/// [`Error::Io`]; [`Error::Busy`] if somebody has the file open; [`Error::Malformed`] for a journal that cannot be used;
/// [`Error::Unsupported`] where there are no locks.
pub(in crate::store) fn recover(path: &Path, locking: Locking) -> Result<Vec<String>> {
    let _claim = Claim::new(path, true).ok_or_else(|| error::claimed(path, true))?;
    let mut done = Vec::new();
    open_write(path, locking, &mut done)?;
    Ok(done)
}
