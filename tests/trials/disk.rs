//! [`Disk`]: a file system as a loss of power may leave it, replayed from what strace has recorded.
//!
//! The model is a journaling file system without ordered data. What a file's `fsync` has not waited for may be lost: of its
//! items page by page (4096 bytes) in any combination, of its lengths each. Changes of a directory come to the disk in their
//! order, so that any number of the last ones may be lost until the directory is synced. A rename, between two directories,
//! too, is there or not; a sync of either directory waits for it. A new file is there when its directory's change is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Component, Path, PathBuf};

const PAGE: u64 = 4096;

/// A file or a directory, whatever its name.
pub type Inode = usize;

#[derive(Clone)]
pub enum Content {
    File(Vec<u8>),
    Directory(BTreeMap<String, Inode>),
}

/// Files and directories below a folder, which is inode 0.
#[derive(Clone)]
pub struct Disk {
    pub inodes: Vec<Content>,
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

    pub fn add(&mut self, content: Content) -> Inode {
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

    pub fn bytes_mut(&mut self, file: Inode) -> &mut Vec<u8> {
        match &mut self.inodes[file] {
            Content::File(bytes) => bytes,
            Content::Directory(_) => panic!("not a file"),
        }
    }

    /// What is at a path from the folder.
    pub fn find(&self, path: &Path) -> Option<Inode> {
        path.components().filter(|c| *c != Component::CurDir).try_fold(0, |at, name| match &self.inodes[at] {
            Content::Directory(names) => names.get(name.as_os_str().to_str()?).copied(),
            Content::File(_) => None,
        })
    }

    /// The directory of a path, and the name in it.
    pub fn place(&self, path: &Path) -> Option<(Inode, String)> {
        Some((self.find(path.parent()?)?, path.file_name()?.to_str()?.to_owned()))
    }

    pub fn apply(&mut self, op: &Op) {
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
