//! [`Bar`]: how far a long command is, on standard error where somebody sees it. [`Watch`]: that, and Ctrl-C, which stops the
//! command in good order the first time and at once the second.

use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::SIGINT;
use signal_hook::flag;

/// The exit code of a command that Ctrl-C has ended, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;

/// Whether Ctrl-C ends the program: somebody has pressed it before, or nobody would hear of it.
static STOP: AtomicBool = AtomicBool::new(false);

/// A bar; it goes when it is dropped.
pub(crate) struct Bar(Option<ProgressBar>);

impl Bar {
    /// Counts bytes.
    pub(crate) fn bytes() -> Self {
        Self::new("{bar:32} {bytes} of {total_bytes}, {eta} left")
    }

    /// Counts rows, or values.
    pub(crate) fn rows() -> Self {
        Self::new("{bar:32} {human_pos} of {human_len}, {eta} left")
    }

    fn new(template: &str) -> Self {
        if !io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(Some(bar))
    }

    pub(crate) fn tell(&self, done: u64, total: u64) {
        if let Some(bar) = &self.0 {
            bar.set_length(total);
            bar.set_position(done);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Watches over long work that can be stopped. When it is dropped there is nothing left to stop: the next Ctrl-C ends the program
/// at once.
pub(crate) struct Watch {
    bar: Bar,
    /// Whether Ctrl-C is noted.
    catches: bool,
}

impl Watch {
    pub(crate) fn new(bar: Bar) -> Self {
        // In this order: whether it is the second one is asked before the first one is noted. Where that cannot be, Ctrl-C ends
        // the program at once, which harms no file.
        let asked = flag::register_conditional_shutdown(SIGINT, INTERRUPTED.into(), &STOP);
        let catches = asked.and_then(|_| flag::register(SIGINT, &STOP)).is_ok();
        STOP.fetch_or(!catches, Ordering::Relaxed);
        Self { bar, catches }
    }

    /// Shows how far it is; says whether it is to go on.
    pub(crate) fn tell(&self, done: u64, total: u64) -> ControlFlow<()> {
        self.bar.tell(done, total);
        let stop = self.catches && STOP.load(Ordering::Relaxed);
        if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        STOP.store(true, Ordering::Relaxed);
    }
}
