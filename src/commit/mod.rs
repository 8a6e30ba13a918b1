//! From pending changes to the file: a plan (pure, printable), its staging, and what was done.

mod change;
mod plan;

use std::time::Instant;

use crate::codec;
use crate::error::Result;
use crate::overlay::Delta;
use crate::path::ElemPath;
use crate::store::{IoStats, Safety, WriteStore};

pub use change::{Change, ChangeKind, Receipt};
use plan::{Step, plan};

/// The changes of the object at `base`.
pub(crate) fn changes(delta: &Delta, base: &ElemPath) -> Vec<Change> {
    let entries = delta.entries().into_iter().filter(|(path, _)| path.starts_with(base));
    entries.map(|(path, entry)| Change::of(delta, path, entry, base)).collect()
}

/// Pending changes that are staged: not visible yet, but all data are written.
pub(crate) struct Staged {
    changes: Vec<Change>,
    started: Instant,
    before: IoStats,
    anything: bool,
}

/// Stages the pending changes of the object at `base`; after Err nothing is staged. `objects` are the AnnData that changes may
/// belong to, and `base`.
///
/// # Errors
/// `Error::Exists` if an element that was taken for new is in the file already; those of the store.
pub(crate) fn stage(store: &dyn WriteStore, base: &ElemPath, objects: &[ElemPath], delta: &Delta) -> Result<Staged> {
    let (started, before) = (Instant::now(), store.stats());
    let steps = plan(store, objects, delta)?;
    all_or_none(store, || steps.iter().try_for_each(|step| carry_out(store, step)))?;
    Ok(Staged { changes: changes(delta, base), started, before, anything: !steps.is_empty() })
}

/// Stages by `how`, which says what it has staged, a change that was never pending; after Err nothing is staged.
pub(crate) fn stage_by(store: &dyn WriteStore, how: impl FnOnce(&dyn WriteStore) -> Result<Change>) -> Result<Staged> {
    let (started, before) = (Instant::now(), store.stats());
    let change = all_or_none(store, || how(store))?;
    Ok(Staged { changes: vec![change], started, before, anything: true })
}

fn all_or_none<T>(store: &dyn WriteStore, stage: impl FnOnce() -> Result<T>) -> Result<T> {
    stage().inspect_err(|_| {
        // What could not be swept is invisible; the first error is the one that matters.
        let _ = store.abandon();
    })
}

impl Staged {
    /// Makes it visible, all or none.
    ///
    /// # Errors
    /// Those of [`WriteStore::publish_with`].
    pub(crate) fn publish(self, store: &dyn WriteStore, safety: Safety) -> Result<Receipt> {
        if self.anything {
            store.publish_with(safety)?;
        }
        let done = store.stats() - self.before;
        Ok(Receipt {
            elements: self.changes,
            bytes_written: done.bytes_written,
            bytes_freed: done.bytes_freed,
            duration: self.started.elapsed(),
        })
    }
}

fn carry_out(store: &dyn WriteStore, step: &Step<'_>) -> Result<()> {
    match step {
        Step::Remove(at) => store.remove(at),
        Step::Rename(from, to) => store.rename(from, to),
        Step::Group(at) => codec::encode_dict(store, at),
        Step::Element(at, value, dialect) => codec::encode(store, at, value, dialect),
        Step::Raw(at, value, dialect) => codec::encode_raw(store, at, value, dialect),
        Step::Object(at, value, dialect) => codec::encode_anndata(store, at, value, dialect),
        Step::Columns(frame, columns) => store.set_attrs(frame, &codec::column_order_attr(columns)),
        Step::Modalities(at, names) => store.set_attrs(at, &codec::mod_order_attr(names)),
    }
}
