//! Steps of a write that a test can make fail, where no disk does so when it is wanted.

use std::io;

/// A step that may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A run is written into the file.
    Make,
    /// A run is taken back.
    TakeBack,
    /// The changes are taken out of the journal.
    Uncommit,
    /// Two names are exchanged, which some file systems cannot.
    Exchange,
    /// The name of a copy that has taken the file's place is made durable.
    Name,
}

/// Passes, unless a test has said otherwise.
#[cfg(not(test))]
pub(super) fn pass(_step: Step) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
thread_local! {
    /// Steps that are to fail, each after so many that pass.
    static FAILING: std::cell::RefCell<Vec<(Step, usize)>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// From now on, these steps of this thread fail, each after so many that pass; all others pass.
#[cfg(test)]
pub(super) fn fail(steps: &[(Step, usize)]) {
    FAILING.with_borrow_mut(|failing| *failing = steps.to_vec());
}

/// Passes, unless a test has said otherwise.
#[cfg(test)]
pub(super) fn pass(step: Step) -> io::Result<()> {
    FAILING.with_borrow_mut(|failing| match failing.iter_mut().find(|(failing, _)| *failing == step) {
        Some((_, 0)) => Err(io::Error::other(format!("made to fail: {step:?}"))),
        Some((_, left)) => {
            *left -= 1;
            Ok(())
        }
        None => Ok(()),
    })
}
