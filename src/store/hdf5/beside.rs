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

/// The journal of a file, under its real name: whatever symbolic links lead to it, there is one journal. A hard link is a
/// real name of its own: who opens the file by it does not find a journal that lies beside the other.
pub(super) fn journal_of(path: &Path) -> PathBuf {
    beside(path, ".adshadow-journal")
}

/// What the names of copies end with: this, the computer, `-`, and the process number, which means something only there.
const COPY: &str = ".adshadow-copy-";

/// The name of this computer, or of this container.
fn host() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    host.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// The file that this process writes to put it in the place of `path`.
pub(super) fn copy_of(path: &Path) -> PathBuf {
    beside(path, &format!("{COPY}{}-{}", host(), std::process::id()))
}

/// Copies whose writers are gone.
pub(super) fn dead_copies(path: &Path) -> Vec<PathBuf> {
    let start = beside(path, COPY);
    let (Some(dir), Some(start)) = (path.parent(), start.file_name()) else { return Vec::new() };
    let names = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let dead = names.filter(|name| {
        let end = name.as_encoded_bytes().strip_prefix(start.as_encoded_bytes());
        let parts = end.and_then(|end| std::str::from_utf8(end).ok()?.split_once('-'));
        let writer = parts.and_then(|(host, pid)| Some((host, pid.parse().ok()?)));
        writer.is_some_and(|(writer, pid)| (writer != host() || is_gone(pid)) && is_free(&dir.join(name)))
    });
    dead.map(|name| dir.join(name)).collect()
}

/// Whether there is no such process on this computer, where the system tells.
fn is_gone(pid: u32) -> bool {
    Path::new("/proc/self").exists() && !Path::new(&format!("/proc/{pid}")).exists()
}

/// Whether a file is known to be locked by nobody, as a copy is by its writer, wherever that runs.
fn is_free(path: &Path) -> bool {
    let is_file = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file());
    is_file && OpenOptions::new().read(true).write(true).open(path).is_ok_and(|file| file.try_lock().is_ok())
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

/// Removes a file, if there is one. With too long a name there is none.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path).or_else(|e| match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename => Ok(()),
        _ => Err(e),
    })
}

/// Makes names that were given or taken in the directory of `path` last.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    // Only where directories can be opened as files does an entry need syncing.
    if cfg!(unix) { File::open(dir_of(path))?.sync_all() } else { Ok(()) }
}

fn dir_of(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
