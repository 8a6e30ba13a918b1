//! [`side_by_side`]: many small readings at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::error::Result;

/// Results of `read` for 0 to `count`, on as many threads as there are cores.
///
/// These are not rayon's: who waits there does other work meanwhile, and must not begin a reading within a reading. And on a thread
/// of rayon's pool all is done one by one, for the readings decode in that pool, and are not to wait for threads that wait for them.
pub(super) fn side_by_side<T: Send>(count: usize, read: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(count);
    if cores < 2 || rayon::current_thread_index().is_some() {
        return (0..count).map(read).collect();
    }
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let found: Mutex<Vec<(usize, Result<T>)>> = Mutex::default();
    let work = || {
        while !failed.load(Relaxed) {
            let i = next.fetch_add(1, Relaxed);
            if i >= count {
                break;
            }
            let result = read(i);
            failed.fetch_or(result.is_err(), Relaxed);
            found.lock().push((i, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..cores {
            // Without another thread this one does it all.
            let _ = std::thread::Builder::new().name("adshadow-column".into()).spawn_scoped(scope, work);
        }
        work();
    });
    let mut found = found.into_inner();
    found.sort_unstable_by_key(|(i, _)| *i);
    found.into_iter().map(|(_, result)| result).collect()
}
