//! What is tried on what: [`Container`], [`Edit`], and a store of either kind open as [`Held`].

use std::path::Path;

use anndata_shadow::polars::prelude::{NamedFrom, Series};
use anndata_shadow::{
    AnnDataShadow, Change, Error, GeneIndexOptions, Mode, MuDataShadow, OpenOptions, Receipt, Safety, WriteOptions,
};

use super::noise;

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
    /// Version 3 without consolidated metadata.
    Plain,
}

impl Container {
    pub const ALL: [Self; 7] =
        [Self::H5ad, Self::H5adCopied, Self::H5mu, Self::V2, Self::V3, Self::Sharded, Self::Plain];

    pub const fn name(self) -> &'static str {
        match self {
            Self::H5ad => "h5ad",
            Self::H5adCopied => "h5ad_copied",
            Self::H5mu => "h5mu",
            Self::V2 => "v2",
            Self::V3 => "v3",
            Self::Sharded => "v3_sharded",
            Self::Plain => "v3_plain",
        }
    }

    pub fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|c| c.name() == name).unwrap()
    }

    pub const fn is_zarr(self) -> bool {
        !matches!(self, Self::H5ad | Self::H5adCopied | Self::H5mu)
    }

    /// The edits that are tried on it.
    pub fn edits(self) -> impl Iterator<Item = Edit> {
        let wanted = std::env::var("ADSHADOW_EDITS").unwrap_or_default();
        let fits = move |edit: Edit| match self {
            Self::H5mu => edit != Edit::AddIndex,
            Self::Plain | Self::H5adCopied => matches!(edit, Edit::ReplaceEmbedding | Edit::RenameColumn | Edit::All),
            Self::H5ad | Self::V3 => edit != Edit::RemoveModality,
            _ => !matches!(edit, Edit::RemoveModality | Edit::AddIndex),
        };
        Edit::EVERY.into_iter().filter(move |e| fits(*e) && (wanted.is_empty() || wanted.contains(e.name())))
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
    /// Of a MuData.
    RemoveModality,
    /// A gene index, which is written at once.
    AddIndex,
    /// Both additions.
    Add,
    /// All of these in one.
    All,
}

impl Edit {
    const EVERY: [Self; 10] = [
        Self::AddEmbedding,
        Self::ReplaceEmbedding,
        Self::AddColumn,
        Self::RemoveLayer,
        Self::RenameElement,
        Self::RenameColumn,
        Self::RemoveModality,
        Self::AddIndex,
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
            Self::RemoveModality => "remove modality",
            Self::AddIndex => "add index",
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
            RemoveModality => &[RemoveModality],
            AddIndex => &[AddIndex],
            Add => &[AddEmbedding, AddColumn],
            All => &[AddEmbedding, ReplaceEmbedding, AddColumn, RemoveLayer, RenameElement, RenameColumn],
        }
    }

    /// The elements that a single edit changes together: old or new as a whole.
    pub const fn touches(self) -> &'static [&'static str] {
        match self {
            Self::AddEmbedding => &["obsm/X_new"],
            Self::ReplaceEmbedding => &["obsm/X_pca"],
            Self::AddColumn => &["obs/stamp"],
            Self::RemoveLayer => &["layers/counts"],
            Self::RenameElement => &["obsm/X_umap", "obsm/X_tsne"],
            Self::RenameColumn => &["obs/batch", "obs/sample"],
            Self::AddIndex => &["layers/X_csc"],
            Self::RemoveModality | Self::Add | Self::All => &[],
        }
    }

    /// Sets it, in memory.
    pub fn apply(self, held: &Held) -> Result<(), Error> {
        let cells = held.cells();
        match self {
            Self::AddEmbedding => cells.obsm().insert("X_new", noise(140, 101)),
            Self::ReplaceEmbedding => cells.obsm().insert("X_pca", noise(150, 102)),
            Self::AddColumn => {
                cells.obs().insert(Series::new("stamp".into(), noise(1, 103).into_raw_vec_and_offset().0))
            }
            Self::RemoveLayer => cells.layers().remove("counts"),
            Self::RenameElement => cells.obsm().rename("X_umap", "X_tsne"),
            Self::RenameColumn => cells.obs().rename("batch", "sample"),
            Self::RemoveModality => match held {
                Held::Mu(mu) => mu.remove_modality("prot"),
                Held::Cells(_) => panic!("no MuData"),
            },
            Self::AddIndex => Ok(()),
            Self::Add | Self::All => self.parts().iter().try_for_each(|part| part.apply(held)),
        }
    }

    /// Writes it, once it is set.
    pub fn write(self, held: &Held, container: Container) -> Result<Receipt, Error> {
        match self {
            Self::AddIndex => held.cells().add_gene_index(&GeneIndexOptions::default()),
            _ => held.write(container),
        }
    }
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
}
