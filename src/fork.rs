//! Living in a process that forks, as Python's do. Threads do not survive a fork: in the child, locks that were held at that moment
//! stay so for ever, and rayon's global pool waits for threads that are not there.
//!
//! Who embeds this crate does its work inside [`during`], calls [`prepare`] before a fork and [`done`] after it. Then a fork
//! waits for work under way, and work in the child runs on threads of the child's own. Without forks, all this is two atomic
//! additions for each piece of work.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use parking_lot::Mutex;
use rayon::{ThreadPool, ThreadPoolBuilder};

static GATE: Gate = Gate(AtomicUsize::new(0));
/// How many forks lie between this process and the one that was started as a program.
static FORKS: AtomicU32 = AtomicU32::new(0);
/// The threads of a forked process, made when they are first needed, and for which fork.
static POOL: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);

/// Does a piece of work: a fork waits until it is done, and it does not begin during one.
pub fn during<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    // Work within work must not wait for a fork that waits for the outer.
    let _inside = GATE.enter(if NESTED.get() { FORKING } else { ASKED | FORKING });
    on_own_threads(work)
}

/// Work that other work may be waiting for: it goes on while a fork is waiting for that.
pub(crate) fn within<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let _inside = GATE.enter(FORKING);
    on_own_threads(work)
}

fn on_own_threads<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let work = || {
        let _nested = Nested(NESTED.replace(true));
        work()
    };
    match forks() {
        0 => work(),
        number => match own_pool(number) {
            Some(pool) => pool.install(work),
            None => work(),
        },
    }
}

thread_local! {
    /// Whether this thread is doing work.
    static NESTED: Cell<bool> = const { Cell::new(false) };
}

/// Sets it as it was before.
struct Nested(bool);

impl Drop for Nested {
    fn drop(&mut self) {
        NESTED.set(self.0);
    }
}

fn own_pool(number: u32) -> Option<Arc<ThreadPool>> {
    let mut known = POOL.lock();
    match &*known {
        Some((of, pool)) if *of == number => return Some(pool.clone()),
        // That of a parent: its threads are not here, and it is left alone.
        Some((_, pool)) => std::mem::forget(pool.clone()),
        None => {}
    }
    let pool = Arc::new(ThreadPoolBuilder::new().build().ok()?);
    *known = Some((number, pool.clone()));
    Some(pool)
}

/// Before a fork: waits until work under way is done, and keeps other work from beginning.
pub fn prepare() {
    GATE.close();
}

/// After a fork, in the parent and in the `child`, and also if it has failed.
pub fn done(child: bool) {
    if child {
        FORKS.fetch_add(1, SeqCst);
        GATE.renew();
    } else {
        GATE.open();
    }
}

/// How many forks lie between this process and the one that was started as a program. What has threads of its own, such as
/// a stream of blocks, ends with the process that began it: in another one neither ask it for more nor drop it.
#[must_use]
pub fn forks() -> u32 {
    FORKS.load(SeqCst)
}

/// Somebody wants to fork.
const ASKED: usize = 1 << (usize::BITS - 1);
/// Nobody is inside, and somebody forks.
const FORKING: usize = ASKED >> 1;
const WAIT: Duration = Duration::from_micros(100);

/// How many are inside, and the two flags. It is one number, and waiting is polling, so that a fork cannot catch it in between.
struct Gate(AtomicUsize);

/// Being inside.
struct Inside<'a>(&'a Gate);

impl Gate {
    /// Waits until none of these flags is up.
    fn enter(&self, closed: usize) -> Inside<'_> {
        while self.0.fetch_update(SeqCst, SeqCst, |now| (now & closed == 0).then(|| now + 1)).is_err() {
            std::thread::sleep(WAIT);
        }
        Inside(self)
    }

    /// Waits until nobody is inside, nor forks.
    fn close(&self) {
        loop {
            self.0.fetch_or(ASKED, SeqCst);
            if self.0.compare_exchange(ASKED, FORKING, SeqCst, SeqCst).is_ok() {
                return;
            }
            std::thread::sleep(WAIT);
        }
    }

    fn open(&self) {
        self.0.fetch_and(!FORKING, SeqCst);
    }

    /// As it was before anybody came.
    fn renew(&self) {
        self.0.store(0, SeqCst);
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn soon<T>(what: impl Fn() -> Option<T>) -> T {
        loop {
            match what() {
                Some(found) => return found,
                None => std::thread::sleep(WAIT),
            }
        }
    }

    #[test]
    fn a_fork_waits_for_work_and_work_for_a_fork() {
        let gate = Gate(AtomicUsize::new(0));
        let (said, heard) = channel();
        std::thread::scope(|scope| {
            let first = gate.enter(ASKED | FORKING);
            scope.spawn(|| {
                gate.close();
                assert_eq!(gate.0.load(SeqCst) & !ASKED, FORKING, "nobody is inside");
                let _ = said.send("forking");
                gate.open();
            });
            soon(|| (gate.0.load(SeqCst) & ASKED != 0).then_some(()));
            // What the first may be waiting for goes on; the fork does not happen yet.
            drop(gate.enter(FORKING));
            assert!(heard.try_recv().is_err());
            drop(first);
            assert_eq!(heard.recv(), Ok("forking"));
            drop(gate.enter(ASKED | FORKING));
        });
        assert_eq!(gate.0.load(SeqCst), 0);
    }

    #[test]
    fn work_within_work_is_known_as_such() {
        assert!(!NESTED.get());
        assert!(during(|| during(|| NESTED.get()) && NESTED.get()));
        assert!(!NESTED.get());
    }

    #[test]
    fn two_forks_take_turns() {
        let gate = Gate(AtomicUsize::new(0));
        gate.close();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| gate.close());
            soon(|| (gate.0.load(SeqCst) & ASKED != 0).then_some(()));
            assert!(!second.is_finished());
            gate.open();
        });
        assert_eq!(gate.0.load(SeqCst), FORKING, "the second forks, and nobody else has asked");
        gate.renew();
        drop(gate.enter(ASKED | FORKING));
    }

    #[test]
    fn a_child_has_threads_of_its_own() {
        assert_eq!(during(rayon::current_thread_index), None);
        let (own, same) = (own_pool(1).unwrap(), own_pool(1).unwrap());
        assert!(Arc::ptr_eq(&own, &same) && !Arc::ptr_eq(&own, &own_pool(2).unwrap()));
        assert!(own.install(rayon::current_thread_index).is_some());
    }
}
