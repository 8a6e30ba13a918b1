//! [`ReadAhead`]: an iterator that runs on a thread of its own, one item ahead of whoever consumes it.

use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::error::{Error, Place, Result};
use crate::fork;

/// The items of an iterator, the next of which is made while this one is consumed. At most one is ready and waiting. After an
/// error there are no more.
///
/// Dropped, it waits for the item that is being made, and nothing is read after that.
pub(super) struct ReadAhead<T> {
    /// `None` once there are no more.
    items: Option<Receiver<Result<T>>>,
    reader: Option<JoinHandle<()>>,
    /// In which process, counted by forks, the thread is.
    process: u32,
}

impl<T: Send + 'static> ReadAhead<T> {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`Error::Io`] if the system has no thread to give; `at` is what is read.
    pub(super) fn new(at: Place, mut source: impl Iterator<Item = Result<T>> + Send + 'static) -> Result<Self> {
        // Without room in the channel: what is finished waits in the reader's hand until it is asked for.
        let (sender, receiver) = sync_channel(0);
        let read = move || {
            while let Some(item) = fork::within(|| source.next()) {
                let failed = item.is_err();
                if sender.send(item).is_err() || failed {
                    return;
                }
            }
        };
        let reader = Builder::new().name("adshadow-read".into()).spawn(read);
        let reader = reader.map_err(|source| Error::Io { at, source })?;
        Ok(Self { items: Some(receiver), reader: Some(reader), process: fork::forks() })
    }
}

impl<T> ReadAhead<T> {
    /// Waits for the thread; what it panicked with goes on here.
    fn end(&mut self) {
        if fork::forks() != self.process {
            // Nobody is at the other end, and what it holds it holds for ever.
            return std::mem::forget((self.items.take(), self.reader.take()));
        }
        self.items = None;
        let Some(reader) = self.reader.take() else { return };
        while !reader.is_finished() && helps_the_pool() {}
        if let Err(panic) = reader.join()
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl<T> Iterator for ReadAhead<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        let items = self.items.as_ref()?;
        let item = loop {
            match items.try_recv() {
                Ok(item) => break Some(item),
                Err(TryRecvError::Disconnected) => break None,
                Err(TryRecvError::Empty) if helps_the_pool() => {}
                Err(TryRecvError::Empty) => break items.recv().ok(),
            }
        };
        if !matches!(item, Some(Ok(_))) {
            self.end();
        }
        item
    }
}

impl<T> Drop for ReadAhead<T> {
    fn drop(&mut self) {
        self.end();
    }
}

/// On a thread of rayon's pool, does a piece of other work there, or waits a moment. The reader decodes in that pool: if all
/// of its threads only waited for readers, none would ever be done. `false` on any other thread, which may simply wait.
fn helps_the_pool() -> bool {
    match rayon::yield_now() {
        None => false,
        Some(rayon::Yield::Executed) => true,
        Some(rayon::Yield::Idle) => {
            std::thread::sleep(Duration::from_micros(50));
            true
        }
    }
}
