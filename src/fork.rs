//! Living in a process that forks, as Python's do. Threads do not survive a fork: in the child, locks that were held at that moment
//! stay so for ever, and rayon's global pool waits for threads that are not there.
//!
//! Who embeds this crate does its work inside [`during`], calls [`prepare`] before a fork and [`done`] after it. Then a fork
//! waits for work under way, and work in the child runs on threads of the child's own. Without forks, all this is two atomic
//! additions for each piece of work.
//!
//! Long work that tells how far it is [gives way](give_way) to forks then, and what it calls of others' is [`outside`] of it, so
//! that this may fork, too.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rayon::{ThreadPool, ThreadPoolBuilder, Yield};

static GATE: Gate = Gate(AtomicUsize::new(0));
/// How many forks lie between this process and the one that was started as a program.
static FORKS: AtomicU32 = AtomicU32::new(0);
/// The threads of a forked process, made when they are first needed, and for which fork.
static POOL: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);

/// Does a piece of work: a fork waits until it is done, and it does not begin during one.
pub fn during<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    // Work within work must not wait for a fork that waits for the outer.
    let _inside = GATE.enter(if DEPTH.get() > 0 { FORKING } else { ASKED | FORKING });
    on_own_threads(work)
}

/// Work that other work may be waiting for: it goes on while a fork is waiting for that.
pub(crate) fn within<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let _inside = GATE.enter(FORKING);
    on_own_threads(work)
}

/// Calls what does not belong to the work that calls it, and may fork: the work is not waited for meanwhile. A child sees the work
/// as it was at that moment, and for ever.
pub fn outside<T>(call: impl FnOnce() -> T) -> T {
    let _left = Left::new(&GATE);
    call()
}

/// Lets others fork, if somebody wants to. To be called by work where it holds nothing that other work may be waiting for.
pub fn give_way() {
    if DEPTH.get() == 0 || PILED.get() || !GATE.is_up(ASKED) {
        return;
    }
    outside(|| {
        while GATE.is_up(ASKED | FORKING) {
            // What is waited for may need this very thread.
            if rayon::yield_now() != Some(Yield::Executed) {
                thread::sleep(WAIT);
            }
        }
    });
}

fn on_own_threads<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    // Of this thread; what a thread of the pool is in, besides, is not this work's.
    let (here, depth) = (thread::current().id(), DEPTH.get() + 1);
    let work = || {
        let piled = PILED.get() || (DEPTH.get() > 0 && thread::current().id() != here);
        let _deeper = Deeper(DEPTH.replace(depth), PILED.replace(piled));
        work()
    };
    match forks() {
        0 => work(),
        number => match own_pool(number) {
            Some(pool) => pool.install(work),
            None => {
                be_own_pool();
                work()
            }
        },
    }
}

thread_local! {
    /// How many pieces of work this thread is doing, one within the other.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// Whether it does so on top of other work that a thread of a pool had begun: that is done only after this, so that this cannot
    /// give way to who waits for all.
    static PILED: Cell<bool> = const { Cell::new(false) };
}

/// Sets it as it was before.
struct Deeper(usize, bool);

impl Drop for Deeper {
    fn drop(&mut self) {
        DEPTH.set(self.0);
        PILED.set(self.1);
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

/// Where the system has no threads to give: this one is all the pool there is for what it does, from now on.
fn be_own_pool() {
    // Refused if it is one already.
    if let Ok(pool) = ThreadPoolBuilder::new().num_threads(1).use_current_thread().build() {
        std::mem::forget(pool);
    }
}

/// Before a fork: waits until work under way is done, and keeps other work from beginning.
pub fn prepare() {
    while !prepare_within(Duration::MAX) {}
}

/// As [`prepare`], but waits no longer than that; `false` if work is still under way then. Other work goes on waiting: call it
/// again, or [`give_up`].
#[must_use]
pub fn prepare_within(patience: Duration) -> bool {
    GATE.close(patience)
}

/// Waits for work no longer: instead of a fork, or before one that is not to be held up. A child of that does without shadows:
/// somebody may have been at work on whatever it touches. [`done`] is to be called in the child only.
pub fn give_up() {
    GATE.unask();
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

/// Being outside for a while, of as many pieces of work as this thread is in.
struct Left<'a>(&'a Gate, usize);

impl Gate {
    /// Waits until none of these flags is up.
    fn enter(&self, closed: usize) -> Inside<'_> {
        self.add(1, closed);
        Inside(self)
    }

    fn add(&self, how_many: usize, closed: usize) {
        while self.0.fetch_update(SeqCst, SeqCst, |now| (now & closed == 0).then(|| now + how_many)).is_err() {
            thread::sleep(WAIT);
        }
    }

    fn is_up(&self, flags: usize) -> bool {
        self.0.load(SeqCst) & flags != 0
    }

    /// Waits until nobody is inside, nor forks; `false` if that takes longer.
    fn close(&self, patience: Duration) -> bool {
        let started = Instant::now();
        loop {
            self.0.fetch_or(ASKED, SeqCst);
            if self.0.compare_exchange(ASKED, FORKING, SeqCst, SeqCst).is_ok() {
                return true;
            }
            if started.elapsed() >= patience {
                return false;
            }
            thread::sleep(WAIT);
        }
    }

    /// Others who want to fork ask again by themselves.
    fn unask(&self) {
        self.0.fetch_and(!ASKED, SeqCst);
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

impl<'a> Left<'a> {
    fn new(gate: &'a Gate) -> Self {
        let depth = DEPTH.replace(0);
        gate.0.fetch_sub(depth, SeqCst);
        Self(gate, depth)
    }
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        // Not kept out by who waits for others, for they may be waiting for this work.
        self.0.add(self.1, FORKING);
        DEPTH.set(self.1);
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
                None => thread::sleep(WAIT),
            }
        }
    }

    #[test]
    fn a_fork_waits_for_work_and_work_for_a_fork() {
        let gate = Gate(AtomicUsize::new(0));
        let (said, heard) = channel();
        thread::scope(|scope| {
            let first = gate.enter(ASKED | FORKING);
            scope.spawn(|| {
                assert!(gate.close(Duration::MAX));
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
        assert_eq!(DEPTH.get(), 0);
        assert_eq!(during(|| (during(|| DEPTH.get()), DEPTH.get())), (2, 1));
        assert_eq!(DEPTH.get(), 0);
    }

    #[test]
    fn what_work_calls_may_fork() {
        let gate = Gate(AtomicUsize::new(0));
        let (_one, _two) = (gate.enter(FORKING), gate.enter(FORKING));
        let _deeper = Deeper(DEPTH.replace(2), false);
        {
            let _left = Left::new(&gate);
            assert_eq!(DEPTH.get(), 0, "what is called waits for forks as anybody does");
            assert!(gate.close(Duration::ZERO));
            gate.open();
            // Somebody else wants to, and waits for this one or for others: no reason for it to wait.
            gate.0.fetch_or(ASKED, SeqCst);
        }
        assert_eq!((gate.0.load(SeqCst), DEPTH.get()), (ASKED + 2, 2));
        gate.unask();
    }

    #[test]
    fn long_work_gives_way() {
        static FORKED: AtomicU32 = AtomicU32::new(0);
        let (said, heard) = channel();
        thread::scope(|scope| {
            scope.spawn(move || {
                during(|| {
                    let _ = said.send(());
                    while FORKED.load(SeqCst) == 0 {
                        give_way();
                    }
                });
            });
            heard.recv().unwrap();
            assert!(prepare_within(Duration::from_secs(60)));
            FORKED.store(1, SeqCst);
            done(false);
        });
    }

    #[test]
    fn waiting_for_work_can_be_given_up() {
        let gate = Gate(AtomicUsize::new(0));
        let _inside = gate.enter(FORKING);
        assert!(!gate.close(Duration::from_millis(1)));
        assert!(gate.is_up(ASKED), "nothing else begins");
        gate.unask();
        drop(gate.enter(ASKED | FORKING));
    }

    #[test]
    fn a_thread_alone_is_a_pool_of_its_own() {
        let found = thread::spawn(|| {
            let twice = [(); 2].map(|()| {
                be_own_pool();
                let ids = rayon::join(|| thread::current().id(), || thread::current().id());
                (rayon::current_num_threads(), ids)
            });
            let here = thread::current().id();
            twice.into_iter().all(|found| found == (1, (here, here)))
        });
        assert!(found.join().unwrap());
    }

    #[test]
    fn two_forks_take_turns() {
        let gate = Gate(AtomicUsize::new(0));
        assert!(gate.close(Duration::MAX));
        thread::scope(|scope| {
            let second = scope.spawn(|| gate.close(Duration::MAX));
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
