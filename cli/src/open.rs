//! Opening a file: an AnnData, or a MuData of which an element path names a part.

use std::path::Path;

use anndata_shadow::store::{Fate, left_over};
use anndata_shadow::{AnnDataShadow, Change, Error, MuDataShadow, OpenOptions, Receipt, WriteOptions};

use crate::failure::{Failure, Outcome};

/// Refuses a file with an interrupted write that is still to be carried out: opening it would do that, and who wants to have
/// nothing written is to decide when.
pub(crate) fn refuse_unfinished(path: &Path) -> Outcome<()> {
    match left_over(path)?.into_iter().find(|left| left.fate == Fate::CarryOut) {
        Some(left) => {
            let why = format!("{}; opening the file would finish it: run `adshadow recover` first", left.what);
            Err(Failure::file(path, why))
        }
        None => Ok(()),
    }
}

/// What a file holds.
pub(crate) enum Object {
    AnnData(AnnDataShadow),
    MuData(MuDataShadow),
}

impl Object {
    pub(crate) fn open(path: &Path, options: &OpenOptions) -> Outcome<Self> {
        match AnnDataShadow::open_with(path, options) {
            Ok(shadow) => Ok(Self::AnnData(shadow)),
            Err(error @ Error::NotAnnData { .. }) => match MuDataShadow::open_with(path, options) {
                Ok(mdata) => Ok(Self::MuData(mdata)),
                // Neither: what it was taken for first says more.
                Err(Error::NotMuData { .. }) => Err(error.into()),
                Err(other) => Err(other.into()),
            },
            Err(other) => Err(other.into()),
        }
    }

    fn ask_for_modality(mdata: &MuDataShadow, element: &str) -> Failure {
        let rest = match element.split_once('/') {
            Some((slot @ ("layers" | "raw"), name)) => format!("{slot}/{name}"),
            _ => "X".to_owned(),
        };
        let names: Vec<String> = mdata.modalities().iter().map(|m| format!("`mod/{m}/{rest}`")).collect();
        let why = format!("say what of which modality: {}", names.join(", "));
        Failure::element(mdata.path(), element, why)
    }

    /// The name of the modality that an element path leads into, and the rest of the path: in a MuData, `mod/rna/X` is X of a
    /// modality, everything else global. `None` stands for what is global, and for an AnnData that is the file's only object.
    pub(crate) fn resolve<'e>(&self, element: &'e str) -> Outcome<(Option<&'e str>, &'e str)> {
        let element = element.trim_matches('/');
        let Self::MuData(mdata) = self else { return Ok((None, element)) };
        let (head, below) = element.split_once('/').unwrap_or((element, ""));
        match (head, below.split_once('/')) {
            ("mod", Some((name, rest))) => Ok((Some(name), rest)),
            ("mod" | "X" | "layers" | "raw", _) => Err(Self::ask_for_modality(mdata, element)),
            // As in `x.h5mu/rna`.
            _ if mdata.modalities().iter().any(|m| m == head) && !below.is_empty() => Ok((Some(head), below)),
            _ => Ok((None, element)),
        }
    }

    /// The object that an element path leads into, and the rest of the path.
    pub(crate) fn holding(&self, element: &str) -> Outcome<(AnnDataShadow, String)> {
        let (modality, rest) = self.resolve(element)?;
        let shadow = match (self, modality) {
            (Self::AnnData(shadow), _) => shadow.clone(),
            (Self::MuData(mdata), Some(name)) => mdata.modality(name)?,
            (Self::MuData(mdata), None) => mdata.global().clone(),
        };
        Ok((shadow, rest.to_owned()))
    }

    /// The MuData and the name of its modality that an element path names, if it names a whole one: `mod/rna`.
    pub(crate) fn modality<'e>(&self, element: &'e str) -> Option<(&MuDataShadow, &'e str)> {
        match (self, element.trim_matches('/').split_once('/')) {
            (Self::MuData(mdata), Some(("mod", name))) if !name.contains('/') => Some((mdata, name)),
            _ => None,
        }
    }

    /// What would be written.
    pub(crate) fn changes(&self) -> Vec<Change> {
        match self {
            Self::AnnData(shadow) => shadow.changes(),
            Self::MuData(mdata) => mdata.changes(),
        }
    }

    /// Writes everything pending in one transaction.
    pub(crate) fn write(&self, options: WriteOptions) -> Outcome<Receipt> {
        Ok(match self {
            Self::AnnData(shadow) => shadow.write(options)?,
            Self::MuData(mdata) => mdata.write(options)?,
        })
    }
}
