//! [`Recording`]: what a child did to a folder, from strace's transcript of its calls.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::disk::{Content, Disk, Inode, Op};
use super::strace;

/// What a child did to a folder.
pub struct Recording {
    /// Before.
    pub before: Disk,
    /// After; knows all inodes that there were.
    pub after: Disk,
    pub ops: Vec<Op>,
    /// How many of them came before the child said `written`.
    pub written: usize,
}

/// Runs a child and records all that it changes below `folder`.
pub fn record(child: &Command, folder: &Path) -> Recording {
    let before = Disk::of(folder);
    let text = strace::transcript(child);
    let mut recorder = Recorder { disk: before.clone(), folder, files: HashMap::new(), ops: Vec::new(), written: None };
    for line in text.lines() {
        recorder.line(line);
    }
    let Recorder { disk, ops, written, .. } = recorder;
    let (replayed, left) = (disk.tree(), super::tree(folder));
    for path in replayed.keys().chain(left.keys()) {
        let (replayed, left) = (replayed.get(path), left.get(path));
        assert!(replayed == left, "the recording does not give what the child has left in {}", path.display());
    }
    Recording { before, after: disk, ops, written: written.unwrap() }
}

struct Recorder<'a> {
    disk: Disk,
    folder: &'a Path,
    /// Open files by descriptor, and where in them the next `write` goes.
    files: HashMap<String, (Inode, u64)>,
    ops: Vec<Op>,
    written: Option<usize>,
}

impl Recorder<'_> {
    /// A line of strace's log: `PID CALL(ARGUMENTS) = RESULT`.
    fn line(&mut self, line: &str) {
        let Some((_, rest)) = line.split_once(' ') else { return };
        let Some((call, rest)) = rest.trim_start().split_once('(') else { return };
        let Some((arguments, result)) = rest.rsplit_once(" = ") else { return };
        let arguments = arguments.trim_end().trim_end_matches(')');
        let result = result.split(' ').next().unwrap_or_default();
        if result.starts_with('-') {
            return;
        }
        let arguments: Vec<&str> = arguments.split(", ").collect();
        let number = |i: usize| -> u64 { arguments[i].parse().unwrap_or_else(|_| panic!("{line:.300}")) };
        match call {
            "write" if arguments[0].starts_with("1<") && text(arguments[1]).starts_with(b"written") => {
                self.written = Some(self.ops.len());
            }
            "write" | "pwrite64" => {
                let Some(file) = self.open_file(arguments[0]) else { return };
                let done: usize = result.parse().unwrap();
                let bytes = text(arguments[1])[..done].to_vec();
                let at = if call == "write" { self.advance(arguments[0], done as u64) } else { number(3) };
                self.push(Op::Data { file, at, bytes });
            }
            "openat" => {
                let Some(path) = self.path(arguments[0], arguments[1]) else { return };
                let flags = arguments[2];
                let inode = match self.disk.find(&path) {
                    // Without a name.
                    Some(_) if flags.contains("O_TMPFILE") => self.disk.add(Content::File(Vec::new())),
                    Some(inode) => inode,
                    None if flags.contains("O_CREAT") => {
                        let (directory, name) = self.disk.place(&path).unwrap();
                        let inode = self.disk.add(Content::File(Vec::new()));
                        self.push(Op::Name { directory, name, inode });
                        inode
                    }
                    None => return,
                };
                if flags.contains("O_TRUNC") {
                    self.push(Op::Length { file: inode, length: 0 });
                }
                let end = match &self.disk.inodes[inode] {
                    Content::File(bytes) if flags.contains("O_APPEND") => bytes.len() as u64,
                    _ => 0,
                };
                self.files.insert(descriptor(result), (inode, end));
            }
            "lseek" if self.open_file(arguments[0]).is_some() => {
                self.files.get_mut(&descriptor(arguments[0])).unwrap().1 = result.parse().unwrap();
            }
            "ftruncate" => {
                if let Some(file) = self.open_file(arguments[0]) {
                    self.push(Op::Length { file, length: number(1) });
                }
            }
            "fallocate" => {
                let Some(file) = self.open_file(arguments[0]) else { return };
                let (length, end) = (self.disk.bytes_mut(file).len() as u64, number(2) + number(3));
                assert!(arguments[1] == "0" || arguments[1].contains("KEEP_SIZE"), "{line:.300}");
                if arguments[1] == "0" && end > length {
                    self.push(Op::Length { file, length: end });
                }
            }
            "fsync" | "fdatasync" => {
                if let Some(inode) = self.open_file(arguments[0]) {
                    self.push(Op::Sync(inode));
                }
            }
            "mkdir" | "mkdirat" => {
                let path = if call == "mkdir" {
                    self.path("AT_FDCWD", arguments[0])
                } else {
                    self.path(arguments[0], arguments[1])
                };
                let Some((directory, name)) = path.and_then(|p| self.disk.place(&p)) else { return };
                let inode = self.disk.add(Content::Directory(BTreeMap::new()));
                self.push(Op::Name { directory, name, inode });
            }
            "rmdir" | "unlink" | "unlinkat" => {
                let path = if call == "unlinkat" {
                    self.path(arguments[0], arguments[1])
                } else {
                    self.path("AT_FDCWD", arguments[0])
                };
                let Some((directory, name)) = path.and_then(|p| self.disk.place(&p)) else { return };
                self.push(Op::Unname { directory, name });
            }
            "rename" | "renameat" | "renameat2" => {
                let (from, to) = match call {
                    "rename" => (self.path("AT_FDCWD", arguments[0]), self.path("AT_FDCWD", arguments[1])),
                    _ => (self.path(arguments[0], arguments[1]), self.path(arguments[2], arguments[3])),
                };
                let place = |path: Option<PathBuf>| self.disk.place(&path?);
                let (Some(from), Some(to)) = (place(from), place(to)) else { return };
                let exchange = arguments.get(4).is_some_and(|flags| flags.contains("RENAME_EXCHANGE"));
                self.push(Op::Rename { from, to, exchange });
            }
            "link" | "linkat" => {
                let (from, to) = match call {
                    "link" => (self.path("AT_FDCWD", arguments[0]), self.path("AT_FDCWD", arguments[1])),
                    _ => (self.path(arguments[0], arguments[1]), self.path(arguments[2], arguments[3])),
                };
                let (Some(from), Some(to)) = (from, to) else { return };
                let (inode, (directory, name)) = (self.disk.find(&from).unwrap(), self.disk.place(&to).unwrap());
                self.push(Op::Name { directory, name, inode });
            }
            "copy_file_range" => {
                let Some(to) = self.open_file(arguments[2]) else { return };
                let from = self.open_file(arguments[0]).unwrap_or_else(|| panic!("{line:.300}"));
                let done: u64 = result.parse().unwrap();
                let (start, at) = (self.advance(arguments[0], done), self.advance(arguments[2], done));
                let bytes = self.disk.bytes_mut(from)[start as usize..(start + done) as usize].to_vec();
                self.push(Op::Data { file: to, at, bytes });
            }
            _ if self.open_file(arguments[0]).is_some() => {
                assert!(harmless(call), "a call that is not replayed: {line:.300}");
            }
            _ => {}
        }
    }

    fn push(&mut self, op: Op) {
        self.disk.apply(&op);
        self.ops.push(op);
    }

    /// Where the next `write` of so many bytes to a descriptor goes.
    fn advance(&mut self, argument: &str, bytes: u64) -> u64 {
        let place = &mut self.files.get_mut(&descriptor(argument)).unwrap().1;
        *place += bytes;
        *place - bytes
    }

    /// The file of a descriptor, `4<path>`, if it lies in the folder.
    fn open_file(&self, argument: &str) -> Option<Inode> {
        let path = shown_path(argument)?;
        let inside = path.strip_prefix(self.folder).ok()?;
        // By its name, for descriptors are copied; one that has none any more is known from its opening.
        Some(self.disk.find(inside).unwrap_or_else(|| self.files[&descriptor(argument)].0))
    }

    /// A path from the folder; `None` if it leads elsewhere.
    fn path(&self, directory: &str, path: &str) -> Option<PathBuf> {
        let path = PathBuf::from(String::from_utf8(text(path)).ok()?);
        let path = if path.is_absolute() { path } else { shown_path(directory)?.join(path) };
        path.strip_prefix(self.folder).ok().map(Path::to_owned)
    }
}

/// Calls that change nothing that a store is made of.
fn harmless(call: &str) -> bool {
    ["ioctl", "chmod", "fchmod", "fchmodat", "fchown", "utimensat", "mmap", "sync_file_range"].contains(&call)
}

/// The number in `4<path>`.
fn descriptor(argument: &str) -> String {
    argument.split('<').next().unwrap_or_default().to_owned()
}

/// The path in `4<path>`.
fn shown_path(argument: &str) -> Option<PathBuf> {
    let hex = argument.split_once('<')?.1.split('>').next()?;
    String::from_utf8(text(hex)).ok().map(PathBuf::from)
}

/// Bytes that strace shows as `"\x41\x42"`.
fn text(hex: &str) -> Vec<u8> {
    hex.trim_matches('"').split("\\x").skip(1).filter_map(|byte| u8::from_str_radix(byte.get(..2)?, 16).ok()).collect()
}
