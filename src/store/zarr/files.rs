//! Files and directories on the disk: written, synced, moved to free places and exchanged, each in one step.

use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::path::Path;

use super::source::{Fault, Source};
use crate::store::names;

/// Called before each change, so that tests can let any of them be the last.
fn moment() -> io::Result<()> {
    #[cfg(test)]
    super::tests::trial::moment()?;
    Ok(())
}

/// Writes a new file to the disk itself.
pub(super) fn write_file(source: &Source, path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_file_like(source, path, bytes, None)
}

/// As [`write_file`], with the mode, group and owner of another file: whoever may read that one may read this one.
pub(super) fn write_file_like(source: &Source, path: &Path, bytes: &[u8], model: Option<&Metadata>) -> io::Result<()> {
    moment()?;
    let mut file = File::create(path)?;
    if let Some(model) = model {
        make_like(&file, model)?;
    }
    file.write_all(bytes)?;
    file.sync_all()?;
    source.meter.wrote(bytes.len() as u64);
    Ok(())
}

#[cfg(unix)]
fn make_like(file: &File, model: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let ours = file.metadata()?;
    // Only an administrator may give a file away; its group, its owner may set.
    if ours.gid() != model.gid() {
        let _ = fchown(file, None, Some(model.gid()));
    }
    if ours.uid() != model.uid() {
        let _ = fchown(file, Some(model.uid()), None);
    }
    if ours.mode() == model.mode() { Ok(()) } else { file.set_permissions(fs::Permissions::from_mode(model.mode())) }
}

#[cfg(not(unix))]
fn make_like(_file: &File, _model: &Metadata) -> io::Result<()> {
    Ok(())
}

/// Whether anything is at `path`, be it a link that leads nowhere.
pub(super) fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Takes the entries of the directory to the disk.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    moment()?;
    // Only where directories can be opened as files does an entry need syncing.
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

/// As [`sync_dir`], with all directories below.
pub(super) fn sync_below(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_below(&entry.path())?;
        }
    }
    sync_dir(dir)
}

/// Makes `to` another name for all files below `from`, with directories of their own; copies where files cannot have two names.
/// Refuses what is neither file nor directory: without it, the copy would read otherwise.
pub(super) fn link_below(source: &Source, from: &Path, to: &Path) -> Result<(), Fault> {
    create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (old, new) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            link_below(source, &old, &new)?;
        } else if entry.file_type()?.is_file() {
            link(source, &old, &new)?;
        } else {
            let old = old.display();
            return Err(Fault::Unsupported(format!(
                "`{old}` is neither a file nor a directory, and cannot be moved with it"
            )));
        }
    }
    Ok(())
}

/// Another name for a file; where files cannot have two, a copy.
pub(super) fn link(source: &Source, from: &Path, to: &Path) -> io::Result<()> {
    moment()?;
    if fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    // By way of another name: what is half copied must not be taken for the whole.
    let part = to.with_extension("part");
    write_file_like(source, &part, &fs::read(from)?, Some(&fs::metadata(from)?))?;
    rename(&part, to)
}

pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    moment()?;
    fs::rename(from, to)
}

pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    moment()?;
    fs::remove_file(path)
}

pub(super) fn create_dir(path: &Path) -> io::Result<()> {
    moment()?;
    fs::create_dir(path)
}

/// Removes a directory with all in it, if it is there.
pub(super) fn remove_dir(path: &Path) -> io::Result<()> {
    moment()?;
    fs::remove_dir_all(path).or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
}

/// Whether entries of the directory may be added, moved and removed, as far as the system tells.
pub(in crate::store) fn check_writable(dir: &Path) -> io::Result<()> {
    // Also for those whom no mode keeps out.
    if fs::metadata(dir)?.permissions().readonly() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    #[cfg(unix)]
    rustix::fs::access(dir, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)?;
    #[cfg(not(unix))]
    let _ = dir;
    Ok(())
}

/// Moves to a place that must be free: what somebody else has put there meanwhile is not replaced.
pub(super) fn move_to_free(from: &Path, to: &Path) -> io::Result<()> {
    moment()?;
    names::move_to_free(from, to)
}

/// Exchanges what is at two places; `false` where the system or the file system cannot.
pub(super) fn exchange(a: &Path, b: &Path) -> io::Result<bool> {
    moment()?;
    #[cfg(test)]
    if super::tests::trial::NO_EXCHANGE.get() {
        return Ok(false);
    }
    names::exchange(a, b)
}
