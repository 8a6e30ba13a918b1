//! What the system knows of this process. Where it has no `/proc`, the figures are 0.

use std::fs;

/// Ticks of a processor's time in a second, as Linux counts them in `/proc/self/stat`.
const TICKS: f64 = 100.0;

/// Lets the peak of memory begin anew.
pub fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Memory in use.
pub fn rss_mb() -> f64 {
    status("VmRSS:")
}

/// The most memory that was in use.
pub fn peak_mb() -> f64 {
    status("VmHWM:")
}

fn status(key: &str) -> f64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap_or_default();
    kib * 1024.0 / 1e6
}

/// Bytes that reads have given, out of memory or from the disk.
pub fn bytes_read() -> u64 {
    let text = fs::read_to_string("/proc/self/io").unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse().ok()).unwrap_or_default()
}

/// Processor time of all threads.
pub fn cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields after the name in brackets, which may hold blanks: user and system time are the 12th and the 13th.
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|f| f.parse::<f64>().ok()).sum::<f64>() / TICKS
}
