//! Changes of the file system, counted, and what happens to one of them: it fails, or the process is gone from there on.

use std::cell::Cell;
use std::io;

/// What becomes of a change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) enum Fate {
    /// All are done.
    Fine,
    /// The one of this number fails.
    Fails(usize),
    /// From this number on none is done any more.
    Killed(usize),
    /// The first fails, and from the second on none is done any more.
    Stuck(usize, usize),
}

thread_local! {
    static FATE: Cell<Fate> = const { Cell::new(Fate::Fine) };
    static COUNT: Cell<usize> = const { Cell::new(0) };
    /// As if the file system could not exchange.
    pub(in super::super) static NO_EXCHANGE: Cell<bool> = const { Cell::new(false) };
}

/// A change is about to happen.
pub(in super::super) fn moment() -> io::Result<()> {
    let number = COUNT.replace(COUNT.get() + 1);
    let fails = match FATE.get() {
        Fate::Fine => false,
        Fate::Fails(at) => number == at,
        Fate::Killed(from) => number >= from,
        Fate::Stuck(at, from) => number == at || number >= from,
    };
    if fails { Err(io::Error::other("a trial")) } else { Ok(()) }
}

/// Lets `act` happen with this fate of its changes; gives what it gives, and how many changes it tried.
pub(in super::super) fn with<T>(fate: Fate, act: impl FnOnce() -> T) -> (T, usize) {
    COUNT.set(0);
    FATE.set(fate);
    let done = act();
    FATE.set(Fate::Fine);
    (done, COUNT.get())
}
