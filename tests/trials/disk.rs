//! [`Disk`]: a file system as a loss of power may leave it, replayed from what strace has recorded.
//!
//! The model is a journaling file system without ordered data. What a file's `fsync` has not waited for may be lost: of its
//! items page by page (4096 bytes) in any combination, of its lengths each. Changes of a directory come to the disk in their
//! order, so that any number of the last ones may be lost until the directory is synced. A rename, between two directories,
//! too, is there or not; a sync of either directory waits for it. A new file is there when its directory's change is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use super::strace;

const PAGE: u64 = 4096;

/// A file or a directory, whatever its name.
type Inode = usize;

#[derive(Clone)]
enum Content {
    File(Vec<u8>),
    Directory(BTreeMap<String, Inode>),
}

/// Files and directories below a folder, which is inode 0.
#[derive(Clone)]
pub struct Disk {
    inodes: Vec<Content>,
}

/// A change, or the end of waiting for changes.
#[derive(Clone)]
pub enum Op {
    Data { file: Inode, at: u64, bytes: Vec<u8> },
    Length { file: Inode, length: u64 },
    Name { directory: Inode, name: String, inode: Inode },
    Unname { directory: Inode, name: String },
    Rename { from: (Inode, String), to: (Inode, String), exchange: bool },
    Sync(Inode),
}

impl Op {
    /// The directories that it changes.
    fn directories(&self) -> Vec<Inode> {
        match self {
            Self::Name { directory, .. } | Self::Unname { directory, .. } => vec![*directory],
            Self::Rename { from, to, .. } => vec![from.0, to.0],
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data { file, at, bytes } => write!(f, "{} bytes to file {file} at {at}", bytes.len()),
            Self::Length { file, length } => write!(f, "file {file} made {length} long"),
            Self::Name { directory, name, inode } => write!(f, "{inode} named {name} in {directory}"),
            Self::Unname { directory, name } => write!(f, "{name} removed from {directory}"),
            Self::Rename { from, to, exchange } => {
                let what = if *exchange { "exchanged with" } else { "renamed to" };
                write!(f, "{} in {} {what} {} in {}", from.1, from.0, to.1, to.0)
            }
            Self::Sync(inode) => write!(f, "{inode} synced"),
        }
    }
}

/// Which of the changes that nothing has waited for are lost.
#[derive(Debug, Clone, Copy)]
pub enum Loss {
    All,
    Nothing,
    /// The contents of files alone.
    Data,
    /// The changes of directories alone.
    Names,
    /// Some, by a seed.
    Some(u64),
}

impl Disk {
    /// As it is below `folder`.
    pub fn of(folder: &Path) -> Self {
        let mut disk = Self { inodes: vec![Content::Directory(BTreeMap::new())] };
        for (path, bytes) in super::tree(folder) {
            let (directory, name) = disk.place(&path).unwrap();
            let content = bytes.map_or_else(|| Content::Directory(BTreeMap::new()), Content::File);
            let inode = disk.add(content);
            disk.apply(&Op::Name { directory, name, inode });
        }
        disk
    }

    fn add(&mut self, content: Content) -> Inode {
        self.inodes.push(content);
        self.inodes.len() - 1
    }

    fn names(&self, directory: Inode) -> &BTreeMap<String, Inode> {
        match &self.inodes[directory] {
            Content::Directory(names) => names,
            Content::File(_) => panic!("not a directory"),
        }
    }

    fn names_mut(&mut self, directory: Inode) -> &mut BTreeMap<String, Inode> {
        match &mut self.inodes[directory] {
            Content::Directory(names) => names,
            Content::File(_) => panic!("not a directory"),
        }
    }

    fn bytes_mut(&mut self, file: Inode) -> &mut Vec<u8> {
        match &mut self.inodes[file] {
            Content::File(bytes) => bytes,
            Content::Directory(_) => panic!("not a file"),
        }
    }

    /// What is at a path from the folder.
    fn find(&self, path: &Path) -> Option<Inode> {
        path.components().filter(|c| *c != Component::CurDir).try_fold(0, |at, name| match &self.inodes[at] {
            Content::Directory(names) => names.get(name.as_os_str().to_str()?).copied(),
            Content::File(_) => None,
        })
    }

    /// The directory of a path, and the name in it.
    fn place(&self, path: &Path) -> Option<(Inode, String)> {
        Some((self.find(path.parent()?)?, path.file_name()?.to_str()?.to_owned()))
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Data { file, at, bytes } => {
                let (start, content) = (*at as usize, self.bytes_mut(*file));
                content.resize(content.len().max(start + bytes.len()), 0);
                content[start..start + bytes.len()].copy_from_slice(bytes);
            }
            Op::Length { file, length } => self.bytes_mut(*file).resize(*length as usize, 0),
            Op::Name { directory, name, inode } => {
                self.names_mut(*directory).insert(name.clone(), *inode);
            }
            Op::Unname { directory, name } => {
                self.names_mut(*directory).remove(name);
            }
            Op::Rename { from, to, exchange } => {
                let moved = self.names_mut(from.0).remove(&from.1).unwrap();
                if let Some(other) = self.names_mut(to.0).insert(to.1.clone(), moved).filter(|_| *exchange) {
                    self.names_mut(from.0).insert(from.1.clone(), other);
                }
            }
            Op::Sync(_) => {}
        }
    }

    /// The disk after a loss of power, `ops` having been called. `self` is as it was before them.
    pub fn after_loss(&self, inodes: &Self, ops: &[Op], loss: Loss) -> Self {
        let mut disk = self.clone();
        // New inodes start empty.
        for content in &inodes.inodes[disk.inodes.len()..] {
            disk.inodes.push(match content {
                Content::File(_) => Content::File(Vec::new()),
                Content::Directory(_) => Content::Directory(BTreeMap::new()),
            });
        }
        let mut dice = Dice(match loss {
            Loss::Some(seed) => seed,
            _ => 1,
        });
        let names = kept_names(ops, loss, &mut dice);
        let mut synced = BTreeSet::new();
        // From the end: an inode that is synced later has all that came before.
        let mut kept: Vec<Op> = Vec::new();
        for (i, op) in ops.iter().enumerate().rev() {
            let mut keep = |file: &Inode| match loss {
                _ if synced.contains(file) => true,
                Loss::All | Loss::Data => false,
                Loss::Nothing | Loss::Names => true,
                Loss::Some(_) => dice.throw(2) == 0,
            };
            match op {
                Op::Sync(inode) => {
                    synced.insert(*inode);
                }
                Op::Data { file, at, bytes } => {
                    for (at, part) in pages(*at, bytes).into_iter().rev() {
                        if keep(file) {
                            kept.push(Op::Data { file: *file, at, bytes: part.to_vec() });
                        }
                    }
                }
                Op::Length { file, .. } if keep(file) => kept.push(op.clone()),
                Op::Length { .. } => {}
                _ if names.contains(&i) => kept.push(op.clone()),
                _ => {}
            }
        }
        kept.iter().rev().for_each(|op| disk.apply(op));
        disk
    }

    /// Every file with its bytes, directories without, as [`super::tree`] gives them.
    pub fn tree(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        fn walk(disk: &Disk, at: Inode, path: &Path, found: &mut BTreeMap<PathBuf, Option<Vec<u8>>>) {
            for (name, inode) in disk.names(at) {
                let path = path.join(name);
                match &disk.inodes[*inode] {
                    Content::File(bytes) => {
                        found.insert(path, Some(bytes.clone()));
                    }
                    Content::Directory(_) => {
                        found.insert(path.clone(), None);
                        walk(disk, *inode, &path, found);
                    }
                }
            }
        }
        let mut found = BTreeMap::new();
        walk(self, 0, Path::new(""), &mut found);
        found
    }
}

/// Makes the files below `folder` those of `tree`. A file that is there keeps its inode number: by that a journal may know it.
pub fn lay_out(tree: &BTreeMap<PathBuf, Option<Vec<u8>>>, folder: &Path) {
    for (path, _) in super::tree(folder).iter().rev() {
        let at = folder.join(path);
        match tree.get(path) {
            Some(Some(_)) if at.is_file() => {}
            Some(None) if at.is_dir() => {}
            _ if at.is_dir() => std::fs::remove_dir_all(at).unwrap(),
            _ => std::fs::remove_file(at).unwrap(),
        }
    }
    for (path, bytes) in tree {
        match bytes {
            None => std::fs::create_dir_all(folder.join(path)).unwrap(),
            Some(bytes) => std::fs::write(folder.join(path), bytes).unwrap(),
        }
    }
}

/// The changes of directories that stay: those that were waited for with all before them, and of the others the first ones.
fn kept_names(ops: &[Op], loss: Loss, dice: &mut Dice) -> BTreeSet<usize> {
    let all: Vec<usize> = (0..ops.len()).filter(|i| !ops[*i].directories().is_empty()).collect();
    let is_before =
        |i: usize, j: usize| i <= j && ops[i].directories().iter().any(|d| ops[j].directories().contains(d));
    // All that must be there if these are.
    let with_earlier = |mut kept: BTreeSet<usize>| {
        for &j in all.iter().rev() {
            if kept.contains(&j) {
                kept.extend(all.iter().filter(|i| is_before(**i, j)));
            }
        }
        kept
    };
    let synced = |i: usize| {
        let directories = ops[i].directories();
        ops[i..].iter().any(|op| matches!(op, Op::Sync(inode) if directories.contains(inode)))
    };
    let durable = with_earlier(all.iter().copied().filter(|i| synced(*i)).collect());
    match loss {
        Loss::All | Loss::Names => durable,
        Loss::Nothing | Loss::Data => all.into_iter().collect(),
        Loss::Some(_) => {
            // Each directory stops somewhere, and with it those that share a change with it.
            let mut stopped = BTreeSet::new();
            let stays = |i: &usize| {
                let directories = ops[*i].directories();
                let stays =
                    durable.contains(i) || (!directories.iter().any(|d| stopped.contains(d)) && dice.throw(4) != 0);
                if !stays {
                    stopped.extend(directories);
                }
                stays
            };
            all.into_iter().filter(stays).collect()
        }
    }
}

fn pages(at: u64, bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let mut parts = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let to_border = (PAGE - (at + start as u64) % PAGE) as usize;
        let end = bytes.len().min(start + to_border);
        parts.push((at + start as u64, &bytes[start..end]));
        start = end;
    }
    parts
}

/// Numbers from a seed.
pub struct Dice(pub u64);

impl Dice {
    /// Below `sides`.
    pub fn throw(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides.max(1) as u64) as usize
    }
}

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
            "write" if arguments[0].starts_with("1<") => {
                if String::from_utf8_lossy(&text(arguments[1])).contains("written") {
                    self.written = Some(self.ops.len());
                }
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
            "lseek" => {
                if self.open_file(arguments[0]).is_some() {
                    self.files.get_mut(&descriptor(arguments[0])).unwrap().1 = result.parse().unwrap();
                }
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
