//! [`Phase`]: readers see what is before a publication or what is after it. A reading of an element takes several looks at
//! overlay and file; publishing waits until those under way are done, and new ones wait for it.

use std::cell::RefCell;
use std::time::Duration;

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

#[derive(Debug, Default)]
pub(super) struct Phase(RwLock<()>);

thread_local! {
    /// The phases that this thread reads in: who reads in one already may go on, even where a publication waits.
    static READING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// A reading under way.
pub(super) struct Reading<'a> {
    /// `None` if it takes part in another one.
    own: Option<(usize, RwLockReadGuard<'a, ()>)>,
}

impl Phase {
    fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Begins a reading, or takes part in the one that this thread is in.
    pub(super) fn read(&self) -> Reading<'_> {
        let nested = READING.with_borrow(|held| held.contains(&self.id()));
        if nested {
            return Reading { own: None };
        }
        let guard = self.0.read();
        READING.with_borrow_mut(|held| held.push(self.id()));
        Reading { own: Some((self.id(), guard)) }
    }

    /// Waits for the readings under way, and keeps new ones waiting; `None` if they take longer than that.
    pub(super) fn alone(&self, patience: Duration) -> Option<RwLockWriteGuard<'_, ()>> {
        self.0.try_write_for(patience)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        // Guards do not leave their thread.
        if let Some((id, _)) = &self.own {
            READING.with_borrow_mut(|held| held.retain(|h| h != id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_nest_and_publishing_waits_for_them() {
        let phase = Phase::default();
        let short = Duration::from_millis(5);
        let outer = phase.read();
        let inner = phase.read();
        assert!(phase.alone(short).is_none());
        drop(inner);
        assert!(phase.alone(short).is_none());
        drop(outer);
        assert!(phase.alone(short).is_some());
        // Another object's readings are its own.
        let other = Phase::default();
        let _one = phase.read();
        assert!(other.alone(short).is_some());
    }
}
