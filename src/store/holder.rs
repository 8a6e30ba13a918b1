//! Who holds a lock on a file, where the system tells: for messages.

use std::path::Path;

/// The processes that hold or wait for a lock on `path`, as `process 123 (python3)`; `None` where the system does not tell.
#[cfg(target_os = "linux")]
pub(crate) fn holders(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let inode = std::fs::metadata(path).ok()?.ino();
    // proc_locks(5): number, kind, mode, access, pid, major:minor:inode, range. Devices are named differently by some file
    // systems, so that only the inode is compared: a wrong name in a message is the worst that can come of it.
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let mut pids: Vec<u32> = locks
        .lines()
        .filter(|line| !line.contains("->"))
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip(4);
            let (pid, file) = (fields.next()?, fields.next()?);
            (file.rsplit(':').next()?.parse() == Ok(inode)).then(|| pid.parse().ok()).flatten()
        })
        .collect();
    pids.sort_unstable();
    pids.dedup();
    let named = pids.into_iter().map(|pid| match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
        // A lock goes under the name of who took it, as long as anybody holds it who was forked from there.
        _ if pid == std::process::id() => "this process, or one forked from it (a worker)".to_owned(),
        Ok(name) => format!("process {pid} ({})", name.trim()),
        Err(_) => format!("process {pid}"),
    });
    let named: Vec<String> = named.collect();
    (!named.is_empty()).then(|| named.join(", "))
}

/// As above: this system does not tell.
#[cfg(not(target_os = "linux"))]
pub(crate) fn holders(_path: &Path) -> Option<String> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn names_who_holds_a_lock() {
        let dir = std::env::temp_dir().join(format!("adshadow-holder-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        assert_eq!(holders(&dir), None);
        let file = std::fs::File::open(&dir).unwrap();
        file.lock().unwrap();
        assert_eq!(holders(&dir).as_deref(), Some("this process, or one forked from it (a worker)"));
        std::fs::remove_dir(&dir).unwrap();
    }
}
