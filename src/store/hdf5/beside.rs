//! What lies beside an HDF5 file while it is written: its journal, and copies that are to take its place.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// The name of a file beside `path`: a dot, its name, and what it is for.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(suffix);
    path.with_file_name(name)
}

/// The journal of a file, under its real name: whatever links lead to it, there is one journal.
pub(super) fn journal_of(path: &Path) -> PathBuf {
    beside(path, ".adshadow-journal")
}

/// What copies made on this computer end with: the process number follows, and means something only here.
fn copy_suffix() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!(".adshadow-copy-{host}-")
}

/// The file that this process writes to put it in the place of `path`.
pub(super) fn copy_of(path: &Path) -> PathBuf {
    beside(path, &format!("{}{}", copy_suffix(), std::process::id()))
}

/// Copies that processes of this computer have left which are gone, where the system tells.
pub(super) fn dead_copies(path: &Path) -> Vec<PathBuf> {
    let (Some(dir), true) = (path.parent(), Path::new("/proc/self").exists()) else { return Vec::new() };
    let start = beside(path, &copy_suffix());
    let Some(start) = start.file_name().map(|name| name.as_encoded_bytes().to_owned()) else { return Vec::new() };
    let names = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let dead = names.filter(|name| {
        let pid = name.as_encoded_bytes().strip_prefix(&start[..]).and_then(|pid| std::str::from_utf8(pid).ok());
        pid.and_then(|pid| pid.parse::<u32>().ok()).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
    });
    dead.map(|name| dir.join(name)).collect()
}

/// Makes a new file for the eyes of those who may see a file like `model`. Whatever has the name goes: nothing is followed
/// or written to that is there.
pub(super) fn create_like(path: &Path, model: &Metadata) -> io::Result<File> {
    remove(path)?;
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
    if let Err(error) = make_like(&file, model) {
        let _ = remove(path);
        return Err(error);
    }
    Ok(file)
}

#[cfg(unix)]
fn make_like(file: &File, model: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    // Only an administrator may give a file away; its group, its owner may set.
    let _ = fchown(file, None, Some(model.gid()));
    let _ = fchown(file, Some(model.uid()), None);
    let mut permissions = model.permissions();
    // It must be possible to go on where one process has stopped.
    permissions.set_mode(permissions.mode() | 0o600);
    file.set_permissions(permissions)
}

#[cfg(not(unix))]
fn make_like(_file: &File, _model: &Metadata) -> io::Result<()> {
    Ok(())
}

/// Whether a file may be written, and its journal be put beside it, as far as the system tells.
pub(in crate::store) fn check_writable(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?;
    #[cfg(unix)]
    rustix::fs::access(dir_of(&path.canonicalize()?), rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)?;
    Ok(())
}

/// Removes a file, if there is one.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path).or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
}

/// Makes names that were given or taken in the directory of `path` last.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    // Only where directories can be opened as files does an entry need syncing.
    if cfg!(unix) { File::open(dir_of(path))?.sync_all() } else { Ok(()) }
}

fn dir_of(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
