//! [`Bar`]: how far a long command is, on standard error.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar; it goes when it is dropped.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// Counts bytes.
    pub(crate) fn bytes() -> Self {
        Self::new("{bar:32} {bytes} of {total_bytes}, {eta} left")
    }

    /// Counts rows.
    pub(crate) fn rows() -> Self {
        Self::new("{bar:32} {human_pos} of {human_len}, {eta} left")
    }

    fn new(template: &str) -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    pub(crate) fn tell(&self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
