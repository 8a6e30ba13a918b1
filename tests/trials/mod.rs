//! Trials: the same small store in every container, the same edits, and what is in a store afterwards as a picture that two
//! trials can be compared by. `python/witness.py` has the same store, edits and numbers.
#![allow(dead_code, reason = "every test binary uses a part of it")]

pub mod disk;
pub mod reference;
pub mod strace;
pub mod witness;

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Component, Path, PathBuf};

use anndata_shadow::ndarray::Array2;
use anndata_shadow::polars::prelude::{NamedFrom, Series};
use anndata_shadow::{
    AnnDataShadow, Array, Change, Element, Error, Frame, Mode, MuDataShadow, OpenOptions, Receipt, Safety, WriteOptions,
};

/// Rows of the store.
pub const CELLS: usize = 300;

/// Element by its path, as a digest of its value; frames column by column, with their order.
pub type Picture = BTreeMap<String, String>;

/// Where trials take place: in memory, where there is such a place, so that waiting for the disk costs nothing.
pub fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// Lets a child do everything in the thread that calls, and go ahead of all other threads in the number of calls of each name:
/// strace counts calls by thread, and what starts tests opens and writes files, too.
pub fn in_one_thread() {
    rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global().unwrap();
    for _ in 0..64 {
        std::fs::write("/dev/null", "x").unwrap();
    }
}

/// A kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    H5ad,
    /// An h5ad that is written by `Safety::Copy`.
    H5adCopied,
    H5mu,
    V2,
    V3,
    Sharded,
}

impl Container {
    pub const ALL: [Self; 6] = [Self::H5ad, Self::H5adCopied, Self::H5mu, Self::V2, Self::V3, Self::Sharded];

    pub const fn name(self) -> &'static str {
        match self {
            Self::H5ad => "h5ad",
            Self::H5adCopied => "h5ad_copied",
            Self::H5mu => "h5mu",
            Self::V2 => "v2",
            Self::V3 => "v3",
            Self::Sharded => "v3_sharded",
        }
    }

    pub fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|c| c.name() == name).unwrap()
    }

    pub const fn is_zarr(self) -> bool {
        matches!(self, Self::V2 | Self::V3 | Self::Sharded)
    }

    /// Whether unmodified readers find old or new after a kill, too.
    pub const fn is_sound_without_recovery(self) -> bool {
        !matches!(self, Self::H5ad | Self::H5mu)
    }

    pub fn write_options(self) -> WriteOptions {
        let safety = if matches!(self, Self::H5adCopied) { Safety::Copy } else { Safety::Journal };
        WriteOptions::default().safety(safety)
    }

    /// Where in the store the cells are that are edited.
    pub const fn prefix(self) -> &'static str {
        if matches!(self, Self::H5mu) { "mod/rna/" } else { "" }
    }

    /// The name of the store in its folder.
    pub fn file(self) -> String {
        match self {
            Self::H5ad | Self::H5adCopied => "cells.h5ad".into(),
            Self::H5mu => "cells.h5mu".into(),
            zarr => format!("{}.zarr", zarr.name()),
        }
    }
}

/// One transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    AddEmbedding,
    ReplaceEmbedding,
    AddColumn,
    RemoveLayer,
    RenameElement,
    RenameColumn,
    /// Both additions.
    Add,
    /// All of these in one.
    All,
}

impl Edit {
    pub const EVERY: [Self; 8] = [
        Self::AddEmbedding,
        Self::ReplaceEmbedding,
        Self::AddColumn,
        Self::RemoveLayer,
        Self::RenameElement,
        Self::RenameColumn,
        Self::Add,
        Self::All,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::AddEmbedding => "add embedding",
            Self::ReplaceEmbedding => "replace embedding",
            Self::AddColumn => "add column",
            Self::RemoveLayer => "remove layer",
            Self::RenameElement => "rename element",
            Self::RenameColumn => "rename column",
            Self::Add => "both additions",
            Self::All => "all in one",
        }
    }

    pub fn named(name: &str) -> Self {
        Self::EVERY.into_iter().find(|e| e.name() == name).unwrap()
    }

    /// The edits that it is made of.
    pub const fn parts(self) -> &'static [Self] {
        use Edit::*;
        match self {
            AddEmbedding => &[AddEmbedding],
            ReplaceEmbedding => &[ReplaceEmbedding],
            AddColumn => &[AddColumn],
            RemoveLayer => &[RemoveLayer],
            RenameElement => &[RenameElement],
            RenameColumn => &[RenameColumn],
            Add => &[AddEmbedding, AddColumn],
            All => &[AddEmbedding, ReplaceEmbedding, AddColumn, RemoveLayer, RenameElement, RenameColumn],
        }
    }

    /// The elements that a single edit changes together: old or new as a whole.
    const fn touches(self) -> &'static [&'static str] {
        match self {
            Self::AddEmbedding => &["obsm/X_new"],
            Self::ReplaceEmbedding => &["obsm/X_pca"],
            Self::AddColumn => &["obs/stamp"],
            Self::RemoveLayer => &["layers/counts"],
            Self::RenameElement => &["obsm/X_umap", "obsm/X_tsne"],
            Self::RenameColumn => &["obs/batch", "obs/sample"],
            Self::Add | Self::All => &[],
        }
    }

    /// Sets it, in memory.
    pub fn apply(self, cells: &AnnDataShadow) -> Result<(), Error> {
        match self {
            Self::AddEmbedding => cells.obsm().insert("X_new", noise(140, 101)),
            Self::ReplaceEmbedding => cells.obsm().insert("X_pca", noise(150, 102)),
            Self::AddColumn => {
                cells.obs().insert(Series::new("stamp".into(), noise(1, 103).into_raw_vec_and_offset().0))
            }
            Self::RemoveLayer => cells.layers().remove("counts"),
            Self::RenameElement => cells.obsm().rename("X_umap", "X_tsne"),
            Self::RenameColumn => cells.obs().rename("batch", "sample"),
            Self::Add | Self::All => self.parts().iter().try_for_each(|part| part.apply(cells)),
        }
    }
}

/// Numbers that no compressor makes smaller, the same in Python.
pub fn noise(cols: usize, salt: u64) -> Array2<f64> {
    Array2::from_shape_fn((CELLS, cols), |(r, c)| {
        let i = (r * cols + c) as u64 + salt * 7919;
        ((i * 2_654_435_761) % (1 << 32)) as f64 / 4_294_967_296.0
    })
}

/// An open store of either kind.
pub enum Held {
    Cells(AnnDataShadow),
    Mu(MuDataShadow),
}

impl Held {
    pub fn open(container: Container, path: &Path, mode: Mode) -> Result<Self, Error> {
        let options = OpenOptions::default().mode(mode);
        if container == Container::H5mu {
            MuDataShadow::open_with(path, &options).map(Self::Mu)
        } else {
            AnnDataShadow::open_with(path, &options).map(Self::Cells)
        }
    }

    /// The cells that are edited.
    pub fn cells(&self) -> AnnDataShadow {
        match self {
            Self::Cells(cells) => cells.clone(),
            Self::Mu(mu) => mu.modality("rna").unwrap(),
        }
    }

    pub fn write(&self, container: Container) -> Result<Receipt, Error> {
        match self {
            Self::Cells(cells) => cells.write(container.write_options()),
            Self::Mu(mu) => mu.write(container.write_options()),
        }
    }

    pub fn changes(&self) -> Vec<Change> {
        match self {
            Self::Cells(cells) => cells.changes(),
            Self::Mu(mu) => mu.changes(),
        }
    }

    pub fn close(&self) -> Result<(), Error> {
        match self {
            Self::Cells(cells) => cells.close(),
            Self::Mu(mu) => mu.close(),
        }
    }

    /// Everything in it, read.
    pub fn picture(&self) -> Result<Picture, Error> {
        let mut picture = Picture::new();
        match self {
            Self::Cells(cells) => describe(cells, "", &mut picture)?,
            Self::Mu(mu) => {
                for element in mu.elements()?.iter().filter(|e| !e.path.starts_with("mod/")) {
                    picture.insert(element.path.clone(), digest(&*mu.member(&element.path)?.element()?));
                }
                frames([mu.obs(), mu.var()], "", &mut picture)?;
                for name in mu.modalities() {
                    describe(&mu.modality(&name)?, &format!("mod/{name}/"), &mut picture)?;
                }
            }
        }
        Ok(picture)
    }
}

fn describe(cells: &AnnDataShadow, prefix: &str, picture: &mut Picture) -> Result<(), Error> {
    for element in cells.elements()? {
        if element.info.kind != anndata_shadow::Kind::Mapping {
            picture.insert(format!("{prefix}{}", element.path), digest(&*cells.member(&element.path)?.element()?));
        }
    }
    frames([cells.obs(), cells.var()], prefix, picture)
}

fn frames(frames: [Frame; 2], prefix: &str, picture: &mut Picture) -> Result<(), Error> {
    for frame in frames {
        let at = format!("{prefix}{}", frame.name());
        picture.insert(format!("{at}/<names>"), digest(&frame.names()?));
        picture.insert(format!("{at}/<order>"), frame.columns()?.join(" "));
    }
    Ok(())
}

fn digest(value: &impl fmt::Debug) -> String {
    struct Sink(DefaultHasher);
    impl fmt::Write for Sink {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }
    let mut sink = Sink(DefaultHasher::new());
    fmt::write(&mut sink, format_args!("{value:?}")).unwrap();
    format!("{:016x}", sink.0.finish())
}

/// What opening, for reading, and reading everything gives.
pub fn picture_of(container: Container, path: &Path) -> Result<Picture, Error> {
    let held = Held::open(container, path, Mode::Read)?;
    let picture = held.picture()?;
    held.close()?;
    Ok(picture)
}

/// How a picture stands to those before and after an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Old,
    New,
    /// Each of several elements is old or new.
    Parts,
    Else(String),
}

/// Judges what was found, by the pictures before and after.
pub fn judge(container: Container, edit: Edit, found: &Picture, old: &Picture, new: &Picture) -> Verdict {
    if found == old {
        return Verdict::Old;
    }
    if found == new {
        return Verdict::New;
    }
    let is_of = |key: &str, names: &[&str]| {
        let key = key.strip_prefix(container.prefix()).unwrap_or(key);
        names.iter().any(|n| key == *n || key.strip_prefix(n).is_some_and(|rest| rest.starts_with('/')))
    };
    let only = |picture: &Picture, names: &[&str]| -> Picture {
        picture.iter().filter(|(key, _)| is_of(key, names)).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    let order = ["obs/<order>"];
    let mut groups: Vec<&[&str]> = edit.parts().iter().map(|part| part.touches()).collect();
    groups.push(&order);
    for names in &groups {
        let part = only(found, names);
        if part != only(old, names) && part != only(new, names) {
            return Verdict::Else(format!("{names:?} is neither old nor new"));
        }
    }
    let others = |picture: &Picture| -> Picture {
        picture
            .iter()
            .filter(|(key, _)| !groups.iter().any(|g| is_of(key, g)))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    };
    if others(found) != others(old) {
        let (found, old) = (others(found), others(old));
        let keys = found.keys().chain(old.keys()).filter(|k| found.get(*k) != old.get(*k));
        return Verdict::Else(format!("an element was damaged that is not edited: {:?}", keys.collect::<Vec<_>>()));
    }
    if edit.parts().len() > 1 { Verdict::Parts } else { Verdict::Else("partly old, partly new".into()) }
}

/// Every file in a folder with its bytes, by its path from there; directories without.
pub fn tree(at: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    fn walk(root: &Path, at: &Path, found: &mut BTreeMap<PathBuf, Option<Vec<u8>>>) {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_owned();
            if path.is_dir() {
                found.insert(name, None);
                walk(root, &path, found);
            } else {
                found.insert(name, Some(std::fs::read(&path).unwrap()));
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(at, at, &mut found);
    found
}

/// What tells two trees apart for readers that know nothing of us: what lies in our hidden places counts as there only.
pub fn visible(tree: &BTreeMap<PathBuf, Option<Vec<u8>>>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (path, bytes) in tree {
        match path.components().position(is_hidden) {
            None => (path, bytes).hash(&mut hasher),
            Some(i) if i + 1 == path.components().count() => (i, "hidden").hash(&mut hasher),
            Some(_) => {}
        }
    }
    hasher.finish()
}

/// Whether this is a name that we give to what is not part of the store.
pub fn is_hidden(name: Component<'_>) -> bool {
    let name = name.as_os_str().to_string_lossy();
    name.starts_with('.') && name.contains("adshadow")
}

/// An array as an element, for tests that set many.
pub fn element(values: Array2<f64>) -> Element {
    Array::from(values.into_dyn()).into()
}
